//! Answers of Serin's own: redirects, fixed responses and errors.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::Session;

use crate::config::ShutoffResponse;
use crate::dispatch::Answer;
use crate::edit::{Edit, HeaderSink};

/// The challenge that a 401 has to carry (RFC 9110, section 11.6.1). What identity is read from is nobody's to know, and
/// cookies and headers have no scheme of their own; this one (RFC 6750, section 3) makes no browser ask for a password.
const CHALLENGE: &str = "Bearer realm=\"users\"";

/// After how many seconds one may try again what Serin had to refuse.
pub(super) const COME_BACK: &str = "1";

/// Sends a redirect or a fixed response, with its route's edits.
pub(super) async fn answer(
    session: &mut Session,
    answer: Answer,
    edits: &[Edit],
    request_id: Option<HeaderValue>,
) -> pingora::Result<()> {
    let mut header = text_header(answer.status, answer.body.len(), request_id)?;
    if let Some(location) = answer.location {
        header.insert_header(LOCATION, location)?;
    }
    header.apply(edits);
    send(session, header, Bytes::from(answer.body.into_string())).await
}

/// Sends what a service's shutoff says, with its route's edits. Nobody may keep it: the service will be back.
pub(super) async fn shut_off<'e>(
    session: &mut Session,
    respond: &ShutoffResponse,
    edits: impl Iterator<Item = &'e Edit>,
    request_id: Option<HeaderValue>,
) -> pingora::Result<()> {
    let mut header = text_header(respond.status, respond.body.len(), request_id)?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    if let Some(seconds) = respond.retry_after {
        header.insert_header(RETRY_AFTER, seconds)?;
    }
    header.apply(edits);
    send(
        session,
        header,
        Bytes::from(String::from(respond.body.clone())),
    )
    .await
}

/// Sends an error in one line of text.
pub(super) async fn error(
    session: &mut Session,
    status: StatusCode,
    why: &str,
    request_id: Option<HeaderValue>,
) -> pingora::Result<()> {
    let body = format!(
        "{} {}: {why}\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let mut header = text_header(status, body.len(), request_id)?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        header.insert_header(RETRY_AFTER, COME_BACK)?;
    }
    if status == StatusCode::UNAUTHORIZED {
        header.insert_header(WWW_AUTHENTICATE, CHALLENGE)?;
    }
    send(session, header, Bytes::from(body)).await
}

fn text_header(
    status: StatusCode,
    length: usize,
    request_id: Option<HeaderValue>,
) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(5))?;
    if let Some(id) = request_id {
        header.insert_header("x-request-id", id)?;
    }
    // These have no body, and so no length either (RFC 9110, section 8.6).
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        header.insert_header(CONTENT_LENGTH, length)?;
    }
    if length > 0 {
        header.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8")?;
    }
    Ok(header)
}

pub(super) async fn send(
    session: &mut Session,
    header: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    let bodiless = body.is_empty() || session.req_header().method == http::Method::HEAD;
    session
        .write_response_header(Box::new(header), bodiless)
        .await?;
    // Over HTTP/2 only this ends a response that has no body, too: left open, its stream would be cancelled.
    let body = (!bodiless).then_some(body);
    session.write_response_body(body, true).await
}
