//! Unleash's frontend API: the flags of one user, for apps.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ApiRequest;
use super::flag_catalog::{FlagCatalog, version};
use super::reply::{Reply, matches};
use super::subject::{ClaimedUser, Subject};

/// The body of `POST /api/frontend`.
#[derive(Deserialize)]
struct FrontendRequest {
    context: Option<Map<String, Value>>,
    /// The only flags that are asked for; none named: every one.
    toggles: Option<Vec<String>>,
}

/// What was asked, whichever way.
pub(super) struct SuppliedContext {
    pub(super) said: ClaimedUser,
    pub(super) only: Vec<String>,
}

impl SuppliedContext {
    /// Reads it off the query, or the body of a POST.
    pub(super) fn read(request: &ApiRequest<'_>, body: &[u8]) -> Result<Self, Reply> {
        if request.head.method != "POST" {
            return Ok(Self {
                said: ClaimedUser::from_query(request.head.query),
                only: Vec::new(),
            });
        }
        let question: FrontendRequest = serde_json::from_slice(body).map_err(|_| {
            let why = "the body is not {\"context\": {…}}";
            Reply::error(StatusCode::BAD_REQUEST, why)
        })?;
        Ok(Self {
            said: ClaimedUser::from_json(&question.context.unwrap_or_default()),
            only: question.toggles.unwrap_or_default(),
        })
    }
}

/// Answers with the flags of a user: those that are on, or `all`.
pub(super) fn answer(
    request: &ApiRequest<'_>,
    catalog: &FlagCatalog,
    subject: &Subject<'_>,
    only: &[String],
    all: bool,
) -> Reply {
    let evaluations = catalog.evaluations(request.snapshot, subject, request.moment);
    let kind = [u8::from(all)];
    let names = only.iter().flat_map(|name| name.bytes().chain([0]));
    let more: Vec<u8> = kind.into_iter().chain(names).collect();
    let etag = version(request.snapshot, subject, &evaluations, &more);
    if matches(request.if_none_match(), &etag) {
        return Reply::not_modified(&etag);
    }
    let mut body = String::with_capacity(256 * evaluations.len() + 16);
    body.push_str("{\"toggles\":[");
    let first = body.len();
    for (entry, evaluation) in catalog.entries.iter().zip(&evaluations) {
        let wanted = only.is_empty() || only.iter().any(|name| **name == *entry.flag.name);
        if !wanted || !(all || evaluation.on) {
            continue;
        }
        if body.len() > first {
            body.push(',');
        }
        body.push_str(&entry.rendering.answer(evaluation).toggle);
    }
    body.push_str("]}");
    Reply::versioned(&etag, body)
}
