//! `request_headers` and `response_headers`: edits of headers.

use http::{HeaderName, header};

use crate::config::diagnostic::Span;
use crate::config::keys::routes as keys;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Pair};
use crate::config::reader::Reader;
use crate::config::value;
use crate::edit::Edit;

/// Whose headers are edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

/// Headers that belong to one connection (RFC 9110, section 7.6.1) or frame the message.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Compiles edits: removals first, then what is set, then what is added.
pub fn edits(reader: &mut Reader, node: Option<&Node>, side: Side) -> Vec<Edit> {
    let mut edits = Vec::new();
    for item in keys::REMOVE.items(node) {
        let name = reader.header_name(item);
        edits.extend(
            name.filter(|name| may_edit(reader, name, item.span, side, false))
                .map(Edit::Remove),
        );
    }
    for pair in keys::SET.pairs(node) {
        if let Some((name, value)) = field(reader, pair, side, true) {
            edits.push(Edit::Set(name, value));
        }
    }
    for pair in keys::ADD.pairs(node) {
        if let Some((name, value)) = field(reader, pair, side, false) {
            edits.push(Edit::Add(name, value));
        }
    }
    edits
}

fn field(
    reader: &mut Reader,
    pair: &Pair,
    side: Side,
    set: bool,
) -> Option<(HeaderName, http::HeaderValue)> {
    let name = name(reader, pair);
    let value = reader.header_value(&pair.value);
    let name = name.filter(|name| may_edit(reader, name, pair.key_span, side, set))?;
    Some((name, value?))
}

/// A header's name that stands as a key.
pub fn name(reader: &mut Reader, pair: &Pair) -> Option<HeaderName> {
    value::header_name(&pair.key)
        .map_err(|hint| {
            let message = format!(
                "`{}` is not the name of a header",
                value::shortened(&pair.key)
            );
            reader.problems.error(pair.key_span, message).hint(hint);
        })
        .ok()
}

fn may_edit(reader: &mut Reader, name: &HeaderName, span: Span, side: Side, set: bool) -> bool {
    let message = if HOP_BY_HOP.contains(&name.as_str()) {
        format!("`{name}` is about one connection and cannot be edited")
    } else if name.as_str().starts_with("x-serin-") {
        format!("`{name}` is one of Serin's own headers and cannot be edited")
    } else if *name == header::HOST && !(set && side == Side::Request) {
        "`host` can only be set, and only for requests".to_owned()
    } else {
        return true;
    };
    reader.problems.error(span, message);
    false
}
