//! `/api/v1/flags`: every flag there is, and those that Serin keeps itself to be changed.

mod view;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::actor::Actor;
use super::body::document;
use super::diagnostic::DiagnosticView;
use super::kept::switched::{Ring, switch};
use super::kept::written::WrittenFlag;
use super::kept::{Terms, kept_by, order, put_document, shown};
use super::path::Names;
use super::problem::Problem;
use crate::config::document::Document;
use crate::config::kept::Subject;
use crate::config::kept::ring::RingChange;
use crate::config::value;
use crate::engine::Origin;
use crate::flag::Share;
use crate::publisher::flag_keeper::{Keeper, KeptOrder};
use crate::spelling::nearest;
pub(super) use view::FlagsView;

/// What is to be otherwise about a ring.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RingRequest")]
pub(super) struct RingDocument {
    enabled: Option<bool>,
    rollout: Option<String>,
}

/// Shows every flag in short that is for the token's services.
pub(super) async fn list(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
) -> Json<FlagsView> {
    let snapshot = state.publisher.store().load();
    let documents = state.flags.registry().documents();
    let is_shown = |flag: &str| actor.may_see_flag(flag, &snapshot);
    Json(FlagsView::of(&snapshot, &documents, is_shown))
}

/// Shows one flag as `routes.yaml` has it.
pub(super) async fn show(
    State(state): Shared,
    Names(name): Names<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = state.publisher.store().load();
    let documents = state.flags.registry().documents();
    let Some(flag) = snapshot.flag(&name) else {
        let names = snapshot.flags.iter().map(|flag| &*flag.name);
        let hint = nearest(&name, names).map(|name| format!("; did you mean `{name}`?"));
        let hint = hint.unwrap_or_default();
        let detail = format!("there is no flag `{name}`{hint}");
        return Err(Problem::new(404, detail));
    };
    let kept = documents.flags.get(&*name);
    match (&flag.origin, kept) {
        (Origin::Serin, Some(document)) => shown(document, &headers),
        (
            Origin::Serin
            | Origin::Registration
            | Origin::Local
            | Origin::Unleash(_)
            | Origin::LaunchDarkly(_),
            _,
        ) => shown(&Document::new(json!(WrittenFlag::from(&**flag))), &headers),
    }
}

/// Keeps a flag.
pub(super) async fn put(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(name): Names<String>,
    terms: Terms,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    value::flag_name(&name).map_err(|hint| {
        Problem::new(
            422,
            format!("`{name}` cannot be the name of a flag: {hint}"),
        )
    })?;
    put_document(state, Subject::Flag(name.into()), body, terms, &actor).await
}

/// Keeps a flag no more.
pub(super) async fn delete(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(name): Names<String>,
    terms: Terms,
) -> Result<Response, Problem> {
    let subject = Subject::Flag(name.into());
    order(state, KeptOrder::Delete(subject), terms, actor.signature()).await
}

/// Opens or closes one ring, wherever its flag is kept.
pub(super) async fn ring(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names((flag, ring)): Names<(String, String)>,
    terms: Terms,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let change = ring_change(document(body)?)?;
    match state.flags.keeper(&flag) {
        Some(Keeper::Unleash(server)) => {
            let by = actor.by();
            tracing::info!(%by, %flag, %ring, "a ring is to be switched in Unleash");
            let ring = Ring { flag, ring, change };
            switch(state, server, ring, terms, actor.signature()).await
        }
        Some(keeper @ Keeper::LaunchDarkly(_)) => Err(kept_by(&keeper, "flag", &flag, Some(&ring))),
        Some(Keeper::File | Keeper::Serin | Keeper::Registration) | None => {
            let ordered = KeptOrder::Ring(flag.into(), ring, change);
            order(state, ordered, terms, actor.signature()).await
        }
    }
}

fn ring_change(document: RingDocument) -> Result<RingChange, Problem> {
    let RingDocument { enabled, rollout } = document;
    let rollout = rollout.map(|text| text.parse::<Share>().map_err(|error| (text, error)));
    let rollout = rollout.transpose().map_err(|(text, error)| {
        let message = format!("`{text}` is not a percentage");
        let told = DiagnosticView::of_member("rollout", message).with_hint(error.to_string());
        let detail = format!("`rollout`: `{text}` is not a percentage; {error}");
        Problem::new(422, detail).with_errors(vec![told])
    })?;
    match (enabled, rollout) {
        (None, None) => Err(Problem::new(
            422,
            "nothing is to be changed: send `enabled` (true or false), `rollout` (as in \"5%\"), or both",
        )),
        (enabled, rollout) => Ok(RingChange { enabled, rollout }),
    }
}
