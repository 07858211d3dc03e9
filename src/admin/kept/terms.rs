//! How an order is meant: preconditions (RFC 9110, section 13) and dry runs. And documents with their entity tags.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::admin::problem::Problem;
use crate::config::document::Document;
use crate::publisher::flag_keeper::{Precondition, tag};

/// How an order is meant, as its header fields and its query say.
#[derive(Debug)]
pub(in crate::admin) struct Terms {
    pub(in crate::admin) precondition: Precondition,
    pub(in crate::admin) is_dry_run: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Terms {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Problem::new(400, error.body_text()))?;
        let mut is_dry_run = false;
        for (name, value) in query {
            is_dry_run = match (name.as_str(), value.as_str()) {
                ("dry_run", "true" | "") => true,
                ("dry_run", "false") => false,
                ("dry_run", _) => {
                    let detail = format!("`dry_run` is true or false, not `{value}`");
                    return Err(Problem::new(422, detail));
                }
                // A slip here would carry an order out that was only to be tried.
                _ => {
                    let detail = format!("there is no parameter `{name}`; there is `dry_run`");
                    return Err(Problem::new(422, detail));
                }
            };
        }
        Ok(Self {
            precondition: precondition(&parts.headers)?,
            is_dry_run,
        })
    }
}

fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let (matching, none) = (tags(headers, &IF_MATCH)?, tags(headers, &IF_NONE_MATCH)?);
    Ok(match (matching, none) {
        (None, None) => Precondition::None,
        (Some(Tags::Any), None) => Precondition::Present,
        (Some(Tags::These(tags)), None) => Precondition::OneOf(tags),
        (None, Some(Tags::Any)) => Precondition::Absent,
        (None, Some(Tags::These(tags))) => Precondition::NoneOf(tags),
        (Some(_), Some(_)) => {
            let detail = "If-Match and If-None-Match together cannot be met here: send one of them";
            return Err(Problem::new(400, detail));
        }
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// Without their quotes. Weak ones never match, and are left out.
    These(Vec<String>),
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let wrong = || {
        let detail = format!("`{name}` is `*`, or entity tags in quotes with commas between them");
        Problem::new(400, detail)
    };
    let mut found = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(name) {
        is_there = true;
        let value = value.to_str().map_err(|_| wrong())?;
        if value.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        for tag in value.split(',') {
            let tag = tag.trim();
            let (tag, is_weak) = match tag.strip_prefix("W/") {
                Some(tag) => (tag, true),
                None => (tag, false),
            };
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let tag = tag.filter(|tag| !tag.contains('"')).ok_or_else(wrong)?;
            if !is_weak {
                found.push(tag.to_owned());
            }
        }
    }
    Ok(is_there.then_some(Tags::These(found)))
}

/// A document with its entity tag; 304 where the client has it already.
pub(in crate::admin) fn shown(
    document: &Document,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let tag = tag(document);
    let is_known = match tags(headers, &IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(tags)) => tags.contains(&tag),
    };
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(document.json()).into_response(),
    };
    set_tag(&mut response, &tag);
    Ok(response)
}

/// Adds the entity tag.
pub(super) fn set_tag(response: &mut Response, tag: &str) {
    // A tag is hexadecimal.
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::IF_MATCH;
    use axum::http::{HeaderMap, HeaderValue};

    use super::{Precondition, Tags, precondition, tags};

    fn with(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn preconditions_are_read_as_rfc_9110_has_them() {
        let read = |all: &[(&'static str, &'static str)]| precondition(&with(all)).ok();
        let these = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect();
        assert_eq!(read(&[]), Some(Precondition::None));
        assert_eq!(read(&[("if-match", "*")]), Some(Precondition::Present));
        assert_eq!(
            read(&[("if-none-match", " * ")]),
            Some(Precondition::Absent)
        );
        assert_eq!(
            read(&[("if-match", r#""a", "b""#), ("if-match", r#""c""#)]),
            Some(Precondition::OneOf(these(&["a", "b", "c"])))
        );
        assert_eq!(
            read(&[("if-none-match", r#""a""#)]),
            Some(Precondition::NoneOf(these(&["a"])))
        );
        // A weak tag matches nothing where the strong comparison is asked for.
        assert_eq!(
            tags(&with(&[("if-match", r#"W/"a""#)]), &IF_MATCH)
                .ok()
                .flatten(),
            Some(Tags::These(Vec::new()))
        );
        for wrong in ["a", "\"a", "", "\"a\" \"b\"", "W/a"] {
            assert_eq!(read(&[("if-match", wrong)]), None, "{wrong}");
        }
        assert_eq!(read(&[("if-match", "*"), ("if-none-match", "*")]), None);
    }
}
