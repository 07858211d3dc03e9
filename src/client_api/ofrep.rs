//! The OpenFeature Remote Evaluation Protocol, 0.3.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::ApiRequest;
use super::evaluation::FlagEvaluation;
use super::events;
use super::flag_catalog::{CatalogFlag, FlagCatalog, version};
use super::reply::{Reply, matches};
use super::subject::{ClaimedUser, Subject};

/// Why no flag can be evaluated.
pub(super) struct Misread {
    code: &'static str,
    why: &'static str,
}

/// Reads the context off a body.
pub(super) fn read(body: &[u8]) -> Result<ClaimedUser, Misread> {
    let misread = |code, why| Misread { code, why };
    let body: Value =
        serde_json::from_slice(body).map_err(|_| misread("PARSE_ERROR", "the body is not JSON"))?;
    let Value::Object(body) = body else {
        return Err(misread("PARSE_ERROR", "the body is not an object"));
    };
    let context = match body.get("context") {
        None | Some(Value::Null) => &Map::new(),
        Some(Value::Object(context)) => context,
        Some(_) => return Err(misread("INVALID_CONTEXT", "the context is not an object")),
    };
    match context.get("targetingKey") {
        None | Some(Value::Null | Value::String(_)) => Ok(ClaimedUser::from_json(context)),
        Some(_) => Err(misread(
            "INVALID_CONTEXT",
            "the targeting key is not a text",
        )),
    }
}

impl Misread {
    /// 400, about one flag or all of them.
    pub(super) fn reply(&self, key: Option<&str>) -> Reply {
        Reply::json(StatusCode::BAD_REQUEST, failure(key, self.code, self.why))
    }
}

/// There is no such flag for apps.
pub(super) fn not_found(key: &str) -> Reply {
    let why = format!("there is no flag {key:?}");
    let body = failure(Some(key), "FLAG_NOT_FOUND", &why);
    Reply::json(StatusCode::NOT_FOUND, body)
}

/// Answers about one flag.
pub(super) fn one(request: &ApiRequest<'_>, entry: &CatalogFlag, subject: &Subject<'_>) -> Reply {
    let evaluation = entry.alone(request.snapshot, subject, request.moment);
    let status = if lacks_key(&evaluation) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let mut body = String::with_capacity(256);
    push(&mut body, entry, &evaluation, &metadata(request));
    Reply::json(status, body)
}

/// Answers about every flag.
pub(super) fn all(request: &ApiRequest<'_>, catalog: &FlagCatalog, subject: &Subject<'_>) -> Reply {
    let evaluations = catalog.evaluations(request.snapshot, subject, request.moment);
    // With the stream's address, so that nobody keeps one that has run out.
    let stream = events::address(request);
    let etag = version(request.snapshot, subject, &evaluations, stream.as_bytes());
    if matches(request.if_none_match(), &etag) {
        return Reply::not_modified(&etag);
    }
    let metadata = metadata(request);
    let mut body = String::with_capacity(256 * evaluations.len() + 512);
    body.push_str("{\"flags\":[");
    for (index, (entry, evaluation)) in catalog.entries.iter().zip(&evaluations).enumerate() {
        if index > 0 {
            body.push(',');
        }
        push(&mut body, entry, evaluation, &metadata);
    }
    // Writing to a `String` cannot fail.
    let _ = write!(
        body,
        "],\"metadata\":{metadata},\"eventStreams\":[{{\"type\":\"sse\",\"url\":{}}}]}}",
        json!(stream)
    );
    Reply::versioned(&etag, body)
}

/// One flag's answer, or why there is none.
fn push(body: &mut String, entry: &CatalogFlag, evaluation: &FlagEvaluation, metadata: &str) {
    if lacks_key(evaluation) {
        let why = "without a targeting key this flag's percentage cannot be drawn";
        body.push_str(&failure(
            Some(&entry.flag.name),
            "TARGETING_KEY_MISSING",
            why,
        ));
        return;
    }
    // Writing to a `String` cannot fail.
    let _ = write!(
        body,
        "{{{},\"reason\":\"{}\",\"metadata\":{metadata}}}",
        entry.rendering.answer(evaluation).evaluation,
        reason(entry, evaluation)
    );
}

fn lacks_key(evaluation: &FlagEvaluation) -> bool {
    evaluation.missing_id && !evaluation.on
}

fn reason(entry: &CatalogFlag, evaluation: &FlagEvaluation) -> &'static str {
    if !entry.flag.enabled {
        "DISABLED"
    } else if evaluation.randomised {
        "SPLIT"
    } else if entry.rendering.is_static {
        "STATIC"
    } else {
        "TARGETING_MATCH"
    }
}

/// Every official provider wants details with every error.
fn failure(key: Option<&str>, code: &str, why: &str) -> String {
    let mut body = json!({ "errorCode": code, "errorDetails": why });
    if let (Some(body), Some(key)) = (body.as_object_mut(), key) {
        body.insert("key".to_owned(), key.into());
    }
    body.to_string()
}

fn metadata(request: &ApiRequest<'_>) -> String {
    format!("{{\"digest\":\"{}\"}}", request.snapshot.digest)
}
