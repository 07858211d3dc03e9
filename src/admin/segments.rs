//! `/api/v1/segments`: the audiences that rings refer to, and those that Serin keeps itself to be changed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::actor::Actor;
use super::kept::written::WrittenSegment;
use super::kept::{Terms, kept_by, order, put_document, shown};
use super::path::Names;
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::config::document::Document;
use crate::config::kept::{CompiledKept, Subject};
use crate::engine::origin::SERIN;
use crate::publisher::flag_keeper::{Keeper, KeptOrder};
use crate::spelling::nearest;

/// The longest name of a segment, in bytes.
const MAX_NAME: usize = 200;

/// Every segment in short.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Segments")]
pub(super) struct SegmentsView {
    segments: Vec<SegmentView>,
    /// Segments that Serin keeps and that are not used, because `routes.yaml` has others of their names.
    shadowed: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedSegment")]
struct SegmentView {
    name: String,
    /// `routes.yaml` or `serin`.
    #[schemars(extend("enum" = ["routes.yaml", SERIN]))]
    kept_by: &'static str,
    /// Who belongs to it, in words; nothing of one that does not compile.
    condition: Option<String>,
    compiles: bool,
}

/// Shows every segment.
pub(super) async fn list_all(State(state): Shared) -> Result<Json<SegmentsView>, Problem> {
    let compiled = compiled(&state).await?;
    let documents = state.flags.registry().documents();
    let is_kept = |name: &str| {
        let subject = Subject::Segment(name.into());
        documents.segments.contains_key(name) && !compiled.is_shadowed(&subject)
    };
    let known = compiled.segments().map(|segment| SegmentView {
        name: segment.name.to_string(),
        kept_by: match is_kept(&segment.name) {
            true => SERIN,
            false => "routes.yaml",
        },
        condition: Some(segment.condition.to_string()),
        compiles: true,
    });
    let mut segments: Vec<SegmentView> = known.collect();
    let kept = documents.segments.keys();
    let (shadowed, kept): (Vec<_>, Vec<_>) = kept
        .cloned()
        .partition(|name| compiled.is_shadowed(&Subject::Segment(name.clone())));
    let broken = kept
        .into_iter()
        .filter(|name| compiled.is_broken(&Subject::Segment(name.clone())));
    segments.extend(broken.map(|name| SegmentView {
        name: name.to_string(),
        kept_by: SERIN,
        condition: None,
        compiles: false,
    }));
    segments.sort_by(|one, other| one.name.cmp(&other.name));
    let shadowed = shadowed.iter().map(ToString::to_string).collect();
    Ok(Json(SegmentsView { segments, shadowed }))
}

/// Shows one segment: what was put, or what `routes.yaml` has in words.
pub(super) async fn show(
    State(state): Shared,
    Names(name): Names<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let compiled = compiled(&state).await?;
    let documents = state.flags.registry().documents();
    let subject = Subject::Segment(name.as_str().into());
    let kept = documents.segments.get(&*name);
    if let Some(document) = kept.filter(|_| !compiled.is_shadowed(&subject)) {
        return shown(document, &headers);
    }
    let mut segments = compiled.segments();
    match segments.find(|segment| *segment.name == *name) {
        Some(segment) => {
            let condition = segment.condition.to_string();
            shown(
                &Document::new(json!(WrittenSegment { condition })),
                &headers,
            )
        }
        None => {
            let names = compiled.segments().map(|segment| &*segment.name);
            let hint = nearest(&name, names).map(|name| format!("; did you mean `{name}`?"));
            let hint = hint.unwrap_or_default();
            let detail = format!("there is no segment `{name}`{hint}");
            Err(Problem::new(404, detail))
        }
    }
}

/// Keeps a segment.
pub(super) async fn put(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(name): Names<String>,
    terms: Terms,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let detail = format!("the name of a segment is one line of at most {MAX_NAME} bytes");
        return Err(Problem::new(422, detail));
    }
    put_document(state, Subject::Segment(name.into()), body, terms, &actor).await
}

/// Keeps a segment no more.
pub(super) async fn delete(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(name): Names<String>,
    terms: Terms,
) -> Result<Response, Problem> {
    let subject = Subject::Segment(name.as_str().into());
    let compiled = compiled(&state).await?;
    let is_kept = state
        .flags
        .registry()
        .documents()
        .segments
        .contains_key(&*name);
    if !is_kept && compiled.segments().any(|segment| *segment.name == *name) {
        return Err(kept_by(&Keeper::File, "segment", &name, None));
    }
    order(state, KeptOrder::Delete(subject), terms, actor.signature()).await
}

async fn compiled(state: &AdminState) -> Result<Arc<CompiledKept>, Problem> {
    let compiled = state.flags.compiled().await;
    compiled.map_err(|failure| Problem::new(503, failure.to_string()))
}
