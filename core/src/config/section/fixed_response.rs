//! `status` and `body` of an answer that the file gives: a route's `respond`, and a service's `shutoff`.

use http::StatusCode;

use crate::config::keys::key::Setting;
use crate::config::keys::kinds::Status;
use crate::config::keys::kinds::texts::Text;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;

/// Reads status and body by their keys. No status: it cannot be read, and the reader has noted why.
pub(super) fn compile(
    reader: &mut Reader,
    response: Option<&Node>,
    status: &Setting<Status>,
    body: &Setting<Text>,
) -> (Option<StatusCode>, Box<str>) {
    let status = status.try_read(reader, response);
    let text = body.read(reader, response);
    let bodiless = status.is_some_and(|status| matches!(status.as_u16(), 204 | 205 | 304));
    if let (true, Some(node), false) = (bodiless, body.node(response), text.is_empty()) {
        reader
            .problems
            .error(node.span, "responses with this status have no body");
    }
    (status, text)
}
