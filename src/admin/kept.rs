//! What flags and segments that Serin keeps have in common as resources.

pub(super) mod document;
mod refusal;
pub(super) mod switched;
mod terms;
mod view;
pub(super) mod written;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::actor::Actor;
use super::problem::Problem;
use super::{AdminState, json};
use crate::audit::actor::Actor as Signature;
use crate::config::document::Document;
use crate::config::kept::Subject;
use crate::publisher::flag_keeper::{KeptOrder, KeptReport, KeptTerms, tag};
pub(super) use refusal::kept_by;
use refusal::refusal;
use terms::set_tag;
pub(super) use terms::{Terms, shown};
pub(super) use view::KeptView;

/// Orders that the document in a body is kept.
pub(super) async fn put_document(
    state: Arc<AdminState>,
    subject: Subject,
    body: Result<Bytes, BytesRejection>,
    terms: Terms,
    actor: &Actor,
) -> Result<Response, Problem> {
    let document = Arc::new(Document::new(json::value(body)?));
    let put = KeptOrder::Put(subject, document);
    order(state, put, terms, actor.signature()).await
}

/// Gives an order on a task of its own: what has begun is carried through, even if whoever asked for it goes away.
pub(super) async fn order(
    state: Arc<AdminState>,
    order: KeptOrder,
    terms: Terms,
    actor: Signature,
) -> Result<Response, Problem> {
    let Terms {
        precondition,
        is_dry_run,
    } = terms;
    let (subject, ring) = match &order {
        KeptOrder::Put(subject, _) | KeptOrder::Delete(subject) => (subject.clone(), None),
        KeptOrder::Ring(flag, ring, _) => (Subject::Flag(flag.clone()), Some(ring.clone())),
    };
    let terms = KeptTerms {
        precondition,
        is_dry_run,
        actor,
    };
    let keeper = state.flags.clone();
    let done = tokio::spawn(async move { keeper.order(order, terms).await });
    match done.await {
        Ok(Ok(report)) => Ok(answer(&report, is_dry_run)),
        Ok(Err(failure)) => Err(refusal(failure, &subject, ring.as_deref())),
        Err(panic) => Err(Problem::new(500, panic.to_string())),
    }
}

fn answer(report: &KeptReport, is_dry_run: bool) -> Response {
    let status = match report.is_new && !is_dry_run {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let view = KeptView::of(report, is_dry_run);
    let mut response = (status, Json(view)).into_response();
    if let Some(document) = &report.document {
        set_tag(&mut response, &tag(document));
    }
    response
}

fn named(subject: &Subject) -> (&'static str, &str) {
    match subject {
        Subject::Segment(name) => ("segment", name),
        Subject::Flag(name) => ("flag", name),
    }
}
