//! The OpenFeature Remote Evaluation Protocol, 0.3.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Asked;
use super::catalogue::{Entry, FlagCatalog, Verdict, version};
use super::events;
use super::reply::{Reply, matches};
use super::subject::{Said, Subject};

/// Why no flag can be evaluated.
pub(super) struct Misread {
    code: &'static str,
    why: &'static str,
}

/// Reads the context off a body.
pub(super) fn read(body: &[u8]) -> Result<Said, Misread> {
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
        None | Some(Value::Null | Value::String(_)) => Ok(Said::from_json(context)),
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
pub(super) fn one(asked: &Asked<'_>, entry: &Entry, subject: &Subject<'_>) -> Reply {
    let verdict = entry.alone(asked.snapshot, subject, asked.moment);
    let status = if lacks_key(&verdict) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let mut body = String::with_capacity(256);
    push(&mut body, entry, &verdict, &metadata(asked));
    Reply::json(status, body)
}

/// Answers about every flag.
pub(super) fn all(asked: &Asked<'_>, catalogue: &FlagCatalog, subject: &Subject<'_>) -> Reply {
    let verdicts = catalogue.verdicts(asked.snapshot, subject, asked.moment);
    // With the stream's address, so that nobody keeps one that has run out.
    let stream = events::address(asked);
    let etag = version(asked.snapshot, subject, &verdicts, stream.as_bytes());
    if matches(asked.if_none_match(), &etag) {
        return Reply::not_modified(&etag);
    }
    let metadata = metadata(asked);
    let mut body = String::with_capacity(256 * verdicts.len() + 512);
    body.push_str("{\"flags\":[");
    for (index, (entry, verdict)) in catalogue.entries.iter().zip(&verdicts).enumerate() {
        if index > 0 {
            body.push(',');
        }
        push(&mut body, entry, verdict, &metadata);
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
fn push(body: &mut String, entry: &Entry, verdict: &Verdict, metadata: &str) {
    if lacks_key(verdict) {
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
        entry.wording.answer(verdict).evaluation,
        reason(entry, verdict)
    );
}

fn lacks_key(verdict: &Verdict) -> bool {
    verdict.missing_id && !verdict.on
}

fn reason(entry: &Entry, verdict: &Verdict) -> &'static str {
    if !entry.flag.enabled {
        "DISABLED"
    } else if verdict.randomised {
        "SPLIT"
    } else if entry.wording.is_static {
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

fn metadata(asked: &Asked<'_>) -> String {
    format!("{{\"digest\":\"{}\"}}", asked.snapshot.digest)
}
