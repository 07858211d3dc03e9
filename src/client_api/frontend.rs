//! Unleash's frontend API: the flags of one user, for apps.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Asked;
use super::catalogue::{FlagCatalog, version};
use super::reply::{Reply, matches};
use super::subject::{Said, Subject};

/// The body of `POST /api/frontend`.
#[derive(Deserialize)]
struct FrontendRequest {
    context: Option<Map<String, Value>>,
    /// The only flags that are asked for; none named: every one.
    toggles: Option<Vec<String>>,
}

/// What was asked, whichever way.
pub(super) struct SuppliedContext {
    pub(super) said: Said,
    pub(super) only: Vec<String>,
}

impl SuppliedContext {
    /// Reads it off the query, or the body of a POST.
    pub(super) fn read(asked: &Asked<'_>, body: &[u8]) -> Result<Self, Reply> {
        if asked.head.method != "POST" {
            return Ok(Self {
                said: Said::from_query(asked.head.query),
                only: Vec::new(),
            });
        }
        let question: FrontendRequest = serde_json::from_slice(body).map_err(|_| {
            let why = "the body is not {\"context\": {…}}";
            Reply::error(StatusCode::BAD_REQUEST, why)
        })?;
        Ok(Self {
            said: Said::from_json(&question.context.unwrap_or_default()),
            only: question.toggles.unwrap_or_default(),
        })
    }
}

/// Answers with the flags of a user: those that are on, or `all`.
pub(super) fn answer(
    asked: &Asked<'_>,
    catalogue: &FlagCatalog,
    subject: &Subject<'_>,
    only: &[String],
    all: bool,
) -> Reply {
    let verdicts = catalogue.verdicts(asked.snapshot, subject, asked.moment);
    let kind = [u8::from(all)];
    let names = only.iter().flat_map(|name| name.bytes().chain([0]));
    let more: Vec<u8> = kind.into_iter().chain(names).collect();
    let etag = version(asked.snapshot, subject, &verdicts, &more);
    if matches(asked.if_none_match(), &etag) {
        return Reply::not_modified(&etag);
    }
    let mut body = String::with_capacity(256 * verdicts.len() + 16);
    body.push_str("{\"toggles\":[");
    let first = body.len();
    for (entry, verdict) in catalogue.entries.iter().zip(&verdicts) {
        let wanted = only.is_empty() || only.iter().any(|name| **name == *entry.flag.name);
        if !wanted || !(all || verdict.on) {
            continue;
        }
        if body.len() > first {
            body.push(',');
        }
        body.push_str(&entry.wording.answer(verdict).toggle);
    }
    body.push_str("]}");
    Reply::versioned(&etag, body)
}
