//! Makes a flag in Unleash say what is wanted: reads, plans, does, and reads again until nothing is left to do.

use http::Method;
use serde_json::{Value, json};

use super::plan::{self, ROUNDS, Step, VARIANT};
use super::record::CanaryRecord;
use crate::config::unleash::UnleashPlace;
use crate::source::unleash::admin_api::{AdminApi, AdminError, flag_path};
use crate::source::unleash::admin_flag::{GRADUAL, guard, own_tag};

/// What a flag is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// That there is this canary.
    Present(CanaryRecord),
    /// That there is none any more.
    Absent,
}

/// Makes it so. What is so already is not written again.
pub(super) async fn execute(api: &AdminApi, flag: &str, wish: &Wish) -> Result<(), AdminError> {
    // Serin's names allow it, Unleash's and a URL's path do not.
    if flag.contains('/') {
        return Err(AdminError::Impossible(format!(
            "Unleash has no names with a slash, such as `{flag}`"
        )));
    }
    let mut last = "others change the flag all the time".to_owned();
    let mut is_taken = false;
    for _ in 0..ROUNDS {
        let found = api.find(flag, is_taken).await?;
        let steps = match wish {
            Wish::Present(canary) => plan::to_record(canary, &found, api.place()),
            Wish::Absent => Ok(plan::to_withdraw(&found, api.place())),
        };
        let steps = steps.map_err(AdminError::Impossible)?;
        if steps.is_empty() {
            return Ok(());
        }
        match take(api, flag, wish, &steps).await {
            Ok(()) => {}
            // Another gateway was faster, or a person.
            Err(AdminError::Changed(why)) => {
                is_taken = steps.iter().any(|step| matches!(step, Step::Create(_)));
                last = why;
            }
            Err(error) => return Err(error),
        }
    }
    Err(AdminError::Unavailable {
        message: last,
        retry_after: None,
    })
}

async fn take(api: &AdminApi, flag: &str, wish: &Wish, steps: &[Step]) -> Result<(), AdminError> {
    let UnleashPlace { project, .. } = api.place();
    let path = flag_path(project, flag);
    for step in steps {
        match step {
            Step::Create(description) => {
                let folder = format!("/admin/projects/{project}/features");
                let body = json!({ "name": flag, "type": "release", "description": description });
                api.tell(Method::POST, &folder, &body).await?;
            }
            Step::Tag => {
                let tags = json!({ "addedTags": [own_tag()], "removedTags": [] });
                let body = json!({ "features": [flag], "tags": tags });
                let path = format!("/admin/projects/{project}/tags");
                api.tell(Method::PUT, &path, &body).await?;
            }
            Step::Revive => {
                let path = format!("/admin/archive/revive/{flag}");
                api.tell(Method::POST, &path, &Value::Null).await?;
            }
            Step::Describe(text) => {
                let patch = json!([{ "op": "add", "path": "/description", "value": text }]);
                api.tell(Method::PATCH, &path, &patch).await?;
            }
            Step::MarkStale(stale) => {
                let body = json!({ "features": [flag], "stale": stale });
                let path = format!("/admin/projects/{project}/stale");
                api.tell(Method::POST, &path, &body).await?;
            }
            Step::AddGuard => api.add_strategy(project, flag, &guard(flag)).await?,
            Step::AddCanary => {
                if let Wish::Present(canary) = wish {
                    let strategy = canary_strategy(canary);
                    api.add_strategy(project, flag, &strategy).await?;
                }
            }
            Step::Patch { strategy, patch } => {
                api.patch_strategy(project, (flag, strategy), patch).await?;
            }
            Step::Archive => api.tell(Method::DELETE, &path, &Value::Null).await?,
        }
    }
    Ok(())
}

/// The strategy that people open a canary by: disabled, so that nobody gets it before they do.
fn canary_strategy(canary: &CanaryRecord) -> Value {
    let payload = json!({ "url": &*canary.url }).to_string();
    let variant = json!({
        "name": VARIANT, "weight": 1000, "weightType": "variable", "stickiness": "default",
        "payload": { "type": "json", "value": payload },
    });
    json!({
        "name": GRADUAL, "title": "Canary", "disabled": true, "sortOrder": 0,
        "constraints": [], "segments": [], "variants": [variant],
        "parameters": { "rollout": "100", "stickiness": "default", "groupId": &*canary.flag },
    })
}
