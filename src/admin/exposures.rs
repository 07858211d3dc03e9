//! `/api/v1/exposures`: who was served by what, as it is recorded, and how to have a user forgotten.

use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Query as UrlQuery, State};
use axum::http::request::Parts;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::actor::Actor;
use super::body::document;
use super::problem::{Problem, at_fault};
use super::{AdminState, Shared};
use crate::attribution::exposures::{Exposures, Recorded, Tally, Wanted};
use crate::audit::entry::{Action, Deed};
use crate::meter::Counter;

/// How many are shown unless more are asked for.
const USUAL: usize = 100;
/// How many are shown at most: as many as can be looked at.
const MOST: usize = 1_000;

/// Exposures, the newest last.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Exposures")]
pub(super) struct ExposuresView {
    exposures: Vec<ExposureView>,
}

/// That a user was served by a deployment under a flag: the first time of a day.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Exposure")]
struct ExposureView {
    /// Its number in the spool: later ones have greater ones.
    sequence: u64,
    /// The same for the same exposure, whichever gateway says it.
    id: String,
    #[schemars(extend("format" = "date-time"))]
    time: String,
    /// As `attribution.exposures.users` says: a hash, or the ID.
    user: String,
    service: String,
    flag: String,
    variant: Option<String>,
    #[schemars(extend("enum" = ["canary", "control", "other"]))]
    arm: String,
    assigned: String,
    served: String,
    /// Why another deployment served than the assigned one.
    cause: Option<String>,
    /// Why it was assigned.
    reason: String,
    ring: Option<String>,
    /// Whether a percentage decided.
    randomised: bool,
    route: Option<String>,
    generation: u64,
    gateway: String,
    properties: Value,
}

/// How the record is doing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExposureFigures")]
pub(super) struct FiguresView {
    /// Exposures that were appended to the spool since the start.
    recorded: u64,
    /// Those that it had already.
    repeated: u64,
    /// Sights that found the queue full.
    dropped: u64,
    /// Exposures that could not be written.
    unwritten: u64,
    /// How many are remembered, so as not to be recorded twice.
    remembered: usize,
    /// How large the spool is.
    spool_bytes: u64,
    /// Why nothing can be written now.
    last_error: Option<String>,
}

/// Figures, and counts by day.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExposureStats")]
pub(super) struct StatsView {
    #[serde(flatten)]
    figures: FiguresView,
    /// Of today and the last day before, in UTC.
    arms: Vec<ArmView>,
}

/// How many users a day has on a side.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExposureArm")]
struct ArmView {
    #[schemars(extend("format" = "date"))]
    day: String,
    service: String,
    flag: String,
    #[schemars(extend("enum" = ["canary", "control", "other"]))]
    arm: String,
    count: u64,
}

/// Whom to forget.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ForgetRequest")]
pub(super) struct ForgetDocument {
    /// The user's ID as it is, not its hash.
    #[schemars(length(min = 1))]
    user: String,
}

/// What was removed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Forgotten")]
pub(super) struct ForgottenView {
    /// How many records: in the spool, in the files of sinks, and among what sinks refused.
    removed: u64,
}

impl FiguresView {
    /// Those of a gateway's exposures.
    pub(super) fn of(exposures: &Exposures) -> Self {
        let (figures, spool) = (exposures.figures(), exposures.spool().figures());
        let count = |counter: &Counter| counter.get();
        Self {
            recorded: count(&figures.recorded),
            repeated: count(&figures.repeated),
            dropped: count(&figures.dropped),
            unwritten: count(&figures.unwritten),
            remembered: figures.remembered.load(Ordering::Relaxed),
            spool_bytes: spool.bytes,
            last_error: spool.trouble,
        }
    }
}

impl ExposureView {
    fn of(recorded: &Recorded, exposures: &Exposures) -> Self {
        let found = &*recorded.document;
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Self {
            sequence: recorded.sequence,
            id: found.id.to_string(),
            time: found.time.to_string(),
            user: exposures.users().shown(&found.user).into(),
            service: found.service.to_string(),
            flag: found.flag.to_string(),
            variant: text(&found.variant),
            arm: found.arm.to_string(),
            assigned: found.assigned.to_string(),
            served: found.served.to_string(),
            cause: text(&found.cause),
            reason: found.reason.to_string(),
            ring: text(&found.ring),
            randomised: found.randomised,
            route: text(&found.route),
            generation: found.generation,
            gateway: found.gateway.to_string(),
            properties: json!(found.properties),
        }
    }
}

impl From<Tally> for ArmView {
    fn from(tally: Tally) -> Self {
        Self {
            day: tally.day.into(),
            service: tally.service.into(),
            flag: tally.flag.into(),
            arm: tally.arm.into(),
            count: tally.count,
        }
    }
}

/// Which exposures a client asks for.
#[derive(Debug)]
pub(super) struct Asked {
    after: Option<u64>,
    user: Option<String>,
    flag: Option<String>,
    limit: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = UrlQuery::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let UrlQuery(query) = query.map_err(|error| Problem::new(400, error.body_text()))?;
        let mut asked = Self {
            after: None,
            user: None,
            flag: None,
            limit: USUAL,
        };
        for (name, value) in query {
            match name.as_str() {
                "after" => asked.after = Some(number(&name, &value, 0, u64::MAX)?),
                "user" => asked.user = Some(value),
                "flag" => asked.flag = Some(value),
                "limit" => {
                    let limit = number(&name, &value, 1, MOST as u64)?;
                    asked.limit = usize::try_from(limit).unwrap_or(MOST);
                }
                _ => {
                    let detail = format!(
                        "there is no parameter `{name}`; there are `after`, `user`, `flag` and `limit`"
                    );
                    return Err(at_fault(400, &name, &detail));
                }
            }
        }
        Ok(asked)
    }
}

fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, Problem> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let detail = format!("`{text}` is no number from {least} to {most}");
            at_fault(400, name, &detail)
        })
}

/// Shows the exposures that were recorded last. A token that is for some services sees what is of these.
pub(super) async fn list(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    asked: Asked,
) -> Result<Json<ExposuresView>, Problem> {
    let exposures = recorded(&state)?;
    let found = exposures.latest(&Wanted {
        after: asked.after,
        user: asked.user.as_deref(),
        flag: asked.flag.as_deref(),
        services: actor.services.as_deref(),
        limit: asked.limit,
    });
    let views = found.iter().map(|found| ExposureView::of(found, exposures));
    Ok(Json(ExposuresView {
        exposures: views.collect(),
    }))
}

/// Shows figures, and how many users were recorded on which side.
pub(super) async fn stats(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
) -> Result<Json<StatsView>, Problem> {
    let exposures = recorded(&state)?;
    let tallies = exposures.tallies().into_iter();
    let visible = tallies.filter(|tally| actor.is_for(&tally.service));
    Ok(Json(StatsView {
        figures: FiguresView::of(exposures),
        arms: visible.map(ArmView::from).collect(),
    }))
}

/// Removes what is recorded of a user. In the trail stands who asked for it, and for whom by a hash, if there is a key.
pub(super) async fn forget(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ForgottenView>, Problem> {
    let exposures = recorded(&state)?;
    let ForgetDocument { user } = document(body)?;
    if user.is_empty() {
        return Err(at_fault(422, "user", "`user` is empty: name the user's ID"));
    }
    let place = state.bounds.search()?;
    // Nobody erases anything from the audit trail: it never has the ID.
    let pseudonym = exposures.users().hashed(&user);
    let object = pseudonym.map_or_else(|| "a user".to_owned(), String::from);
    let attribution = state.attribution.clone();
    // On a task of its own: what has begun is carried through, even if the caller goes away.
    let forgotten = tokio::spawn(async move {
        let _place = place;
        attribution.forget(&user).await
    });
    let forgotten = forgotten.await;
    let forgotten = forgotten.map_err(|panic| Problem::new(500, panic.to_string()))?;
    let removed = forgotten.map_err(|why| {
        Problem::new(503, format!("not all of it is removed ({why}): ask again")).retry_after(1)
    })?;
    let deed = Deed::new(actor.signature(), Action::ForgetUser, object);
    let deed = deed.changing(json!({ "records": removed }), json!({ "records": 0 }));
    let audit = state.publisher.events().audit();
    audit.record(deed).written().await;
    Ok(Json(ForgottenView { removed }))
}

fn recorded(state: &AdminState) -> Result<&Exposures, Problem> {
    let attribution = &state.attribution;
    attribution.exposures.as_ref().ok_or_else(|| {
        let trouble = attribution.trouble.as_deref();
        match trouble {
            Some(trouble) => Problem::new(503, trouble),
            None => {
                let detail = "no exposures are recorded: `attribution.exposures` is not configured";
                Problem::new(404, detail)
            }
        }
    })
}
