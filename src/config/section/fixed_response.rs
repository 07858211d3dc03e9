//! `status` and `body` of an answer that the file gives: a route's `respond`, and a service's `shutoff`.

use http::StatusCode;

use crate::config::node::Node;
use crate::config::reader::Reader;

/// Reads status and body. No status: it cannot be read, which has been told.
pub(super) fn compile<'n>(
    reader: &mut Reader,
    node: Option<&'n Node>,
    default: StatusCode,
) -> (Option<StatusCode>, &'n str) {
    let part = |key: &str| node.and_then(|node| node.get(key));
    let status = match part("status") {
        Some(node) => reader.integer(node, 200..=599).and_then(status_code),
        None => Some(default),
    };
    let body = part("body");
    let text = body
        .and_then(Node::scalar)
        .map_or("", |scalar| scalar.text());
    let bodiless = status.is_some_and(|status| matches!(status.as_u16(), 204 | 205 | 304));
    if let (true, Some(body), false) = (bodiless, body, text.is_empty()) {
        reader
            .problems
            .error(body.span, "responses with this status have no body");
    }
    (status, text)
}

/// A status by its number.
pub(super) fn status_code(status: u32) -> Option<StatusCode> {
    u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
}
