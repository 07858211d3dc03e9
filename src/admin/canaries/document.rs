//! A registration as a pipeline sends it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::admin::body::document;
use crate::admin::diagnostic::DiagnosticView;
use crate::admin::kept::document::Rings;
use crate::admin::problem::Problem;
use crate::cluster::UpstreamUrl;
use crate::config::value;
use crate::config::value::targets;
use crate::publisher::registrar::Order;
use crate::registry::registrations::record::About;

/// The longest text that people may say, in bytes.
const LONGEST: usize = 500;
/// The shortest lease.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Registration")]
pub(in crate::admin) struct RegistrationDocument {
    url: String,
    /// How long it lasts that is not renewed, as in `30m`.
    #[schemars(regex(pattern = "^[0-9]+(ms|s|m|h|d)$"))]
    ttl: Option<String>,
    #[schemars(length(max = LONGEST))]
    branch: Option<String>,
    #[schemars(length(max = LONGEST))]
    commit: Option<String>,
    #[schemars(length(max = LONGEST))]
    version: Option<String>,
    #[schemars(length(max = LONGEST))]
    owner: Option<String>,
    #[schemars(length(max = LONGEST))]
    description: Option<String>,
    health: Option<HealthDocument>,
    /// Its audience where no flag has its name: rings as a flag has them.
    #[schemars(with = "Option<Rings>")]
    rings: Option<Value>,
    stickiness: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HealthRequest")]
struct HealthDocument {
    path: String,
}

/// What a body orders.
pub(super) fn order(
    service: Arc<str>,
    name: Arc<str>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Order, Problem> {
    let said: RegistrationDocument = document(body)?;
    let url = said.url.parse::<UpstreamUrl>();
    let url = url.map_err(|why| {
        let shown = value::shortened(&said.url);
        wrong("url", &format!("`{shown}` is no URL of an upstream: {why}"))
    })?;
    let ttl = said.ttl.as_deref().map(ttl).transpose()?;
    let health_path = said.health.map(|health| health.path);
    if let Some(path) = &health_path {
        targets::probe_path(path).map_err(|hint| {
            let shown = value::shortened(path);
            wrong("health.path", &format!("`{shown}` is no path: {hint}"))
        })?;
    }
    if said.rings.as_ref().is_some_and(|rings| !rings.is_array()) {
        return Err(wrong(
            "rings",
            "`rings` is a list of rings, as a flag has it",
        ));
    }
    Ok(Order {
        service,
        name,
        url,
        health_path,
        about: About {
            branch: line("branch", said.branch)?,
            commit: line("commit", said.commit)?,
            version: line("version", said.version)?,
            owner: line("owner", said.owner)?,
            description: line("description", said.description)?,
        },
        rings: said.rings,
        stickiness: said.stickiness,
        ttl,
    })
}

fn ttl(text: &str) -> Result<Duration, Problem> {
    let shown = value::shortened(text);
    let ttl = value::duration(text)
        .map_err(|hint| wrong("ttl", &format!("`{shown}` is no TTL: {hint}")))?;
    if ttl < SHORTEST {
        let shortest = value::written_duration(SHORTEST);
        let detail = format!("the TTL `{shown}` is shorter than {shortest}, which is the least");
        return Err(wrong("ttl", &detail));
    }
    Ok(ttl)
}

fn line(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let is_line = |text: &String| text.len() <= LONGEST && !text.chars().any(char::is_control);
    match text {
        Some(text) if !is_line(&text) => {
            let detail = format!("`{field}` is one line of at most {LONGEST} bytes");
            Err(wrong(field, &detail))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

fn wrong(field: &str, detail: &str) -> Problem {
    let error = DiagnosticView::of_member(field, detail.to_owned());
    Problem::new(422, detail).with_errors(vec![error])
}
