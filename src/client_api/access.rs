//! Who may ask: tokens, and the origins of pages.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderValue, StatusCode};

use super::endpoint::{Audience, Endpoint};
use super::reply::Reply;
use crate::config::client_api::ClientApiConfig;
use crate::config::token::{self, Token};
use crate::request::{HeaderLookup, RequestHead};
use crate::route::cors::preflighted;

/// How long a browser may remember that a page may ask.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");
/// How many bytes of header names a page may ask leave for.
const MOST_NAMES: usize = 2048;

/// Looks at the token, where the endpoint takes one.
///
/// # Errors
/// 401 without one that is known, 403 with one of the wrong kind.
pub(super) fn authorize(
    config: &ClientApiConfig,
    audience: Audience,
    head: &RequestHead<'_>,
) -> Result<(), Reply> {
    let (right, wrong) = match audience {
        Audience::Everybody => return Ok(()),
        Audience::Apps => (&config.tokens, &config.backend_tokens),
        Audience::Servers => (&config.backend_tokens, &config.tokens),
    };
    let Some(given) = token(head.headers) else {
        let why = "a token is needed in Authorization or X-API-Key";
        return Err(Reply::error(StatusCode::UNAUTHORIZED, why));
    };
    // By hash: how long it takes says nothing about the tokens.
    let given = Token::of(given);
    let is_in = |tokens: &[Token]| {
        tokens
            .iter()
            .fold(false, |found, token| found | token.is(&given))
    };
    match (is_in(right), is_in(wrong)) {
        (true, _) => Ok(()),
        (false, true) => Err(Reply::error(
            StatusCode::FORBIDDEN,
            "this kind of token is not for this endpoint",
        )),
        (false, false) => Err(Reply::error(
            StatusCode::UNAUTHORIZED,
            "this token is not known",
        )),
    }
}

/// The token of a request: OFREP's providers may send it in `X-API-Key` instead.
fn token(headers: &dyn HeaderLookup) -> Option<&str> {
    let authorization = headers.text("authorization").map(str::trim).map(bearer);
    let filled = |token: &&str| !token.is_empty();
    let key = || headers.text("x-api-key").map(str::trim);
    authorization
        .filter(filled)
        .or_else(|| key().filter(filled))
}

/// The token by itself, or as RFC 6750 writes it.
fn bearer(value: &str) -> &str {
    token::bearer(value).unwrap_or(value)
}

/// The origin of the page that asks, if it is one that may.
pub(super) fn origin<'c>(
    config: &'c ClientApiConfig,
    head: &RequestHead<'_>,
) -> Option<&'c HeaderValue> {
    let origin = head.headers.first(ORIGIN.as_str())?;
    config
        .cors
        .iter()
        .find(|allowed| allowed.as_bytes() == origin)
}

/// Lets the page read the answer. The identity may be a cookie's, so credentials are let through; the origins are
/// exact.
pub(super) fn share(reply: &mut Reply, origin: Option<&HeaderValue>) {
    reply.headers.push((
        VARY,
        HeaderValue::from_static("origin, authorization, x-api-key"),
    ));
    if let Some(origin) = origin {
        reply.headers.extend([
            (ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
            (
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            ),
            (
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("etag, retry-after"),
            ),
        ]);
    }
}

/// Answers a browser that asks whether a page may ask.
pub(super) fn preflight(
    endpoint: Endpoint,
    head: &RequestHead<'_>,
    origin: Option<&HeaderValue>,
) -> Reply {
    if origin.is_none() {
        let why = "pages of this origin may not ask";
        return Reply::error(StatusCode::FORBIDDEN, why);
    }
    let mut reply = Reply::empty(StatusCode::NO_CONTENT)
        .with(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(endpoint.methods()),
        )
        .with(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    // SDKs add header fields of their own, and users add theirs: none of them means anything here.
    let names = head.headers.first(ACCESS_CONTROL_REQUEST_HEADERS.as_str());
    if let Some(names) = names.filter(|names| names.len() <= MOST_NAMES)
        && let Ok(names) = HeaderValue::from_bytes(names)
    {
        reply = reply.with(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    reply
}

/// Whether it is a browser's question rather than a request.
pub(super) fn is_preflight(method: &str, headers: &dyn HeaderLookup) -> bool {
    preflighted(method, headers).is_some()
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn tokens_stand_alone_or_behind_their_scheme() {
        assert_eq!(bearer("abc"), "abc");
        assert_eq!(bearer("Bearer abc"), "abc");
        assert_eq!(bearer("bearer  abc"), "abc");
        assert_eq!(
            bearer("default:production.bearer é"),
            "default:production.bearer é"
        );
    }
}
