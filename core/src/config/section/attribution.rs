//! `attribution`.

use crate::config::attribution::{AttributionConfig, Lanes, ReceiptKey, ReceiptsConfig};
use crate::config::flag_server::Secret;
use crate::config::keys::ATTRIBUTION;
use crate::config::keys::attribution as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;

/// The hash's own length, which RFC 7518, section 3.2, asks for.
const SHORTEST_SECRET: usize = 32;

/// Compiles `attribution`, but for its lanes.
pub fn compile(reader: &mut Reader, root: &Node) -> AttributionConfig {
    let receipts = keys::RECEIPTS.node(ATTRIBUTION.node(root));
    AttributionConfig {
        receipts: receipts.and_then(|node| self::receipts(reader, node)),
    }
}

/// Compiles `attribution.lanes`.
pub fn lanes(reader: &mut Reader, root: &Node) -> Lanes {
    keys::LANES.read(reader, ATTRIBUTION.node(root))
}

fn receipts(reader: &mut Reader, node: &Node) -> Option<ReceiptsConfig> {
    let key = receipt_key(reader, node);
    let cookie = keys::COOKIE.read(reader, node);
    let header = keys::HEADER.read(reader, node);
    if keys::COOKIE.node(node).is_none() && keys::HEADER.node(node).is_none() {
        reader
            .problems
            .error(node.span, "receipts need a `cookie` or a `header` to come and go in")
            .hint("add `cookie: serin_receipt` for browsers, `header: x-serin-receipt` for apps, or both");
    }
    let ttl = keys::TTL.read(reader, node);
    Some(ReceiptsConfig {
        key: key?,
        cookie,
        header,
        ttl,
    })
}

fn receipt_key(reader: &mut Reader, node: &Node) -> Option<ReceiptKey> {
    let (secret, file) = (keys::RECEIPT_KEY.node(node), keys::PRIVATE_KEY.node(node));
    let (Some(stated), None) = (secret, file) else {
        if secret.is_some() == file.is_some() {
            reader
                .problems
                .error(node.span, "receipts need one of `key` and `private_key`")
                .hint("a secret, as in `key: \"${RECEIPT_KEY}\"`; or a file, as in `private_key: ed25519.pem`");
        }
        let path = keys::PRIVATE_KEY.read(reader, node)?;
        return Some(ReceiptKey::PrivateKey(path));
    };
    let secret = keys::RECEIPT_KEY.read(reader, node)?;
    if secret.len() < SHORTEST_SECRET {
        let message =
            format!("this key has fewer than {SHORTEST_SECRET} characters and can be guessed");
        reader.problems.warning(stated.span, message);
    }
    Some(ReceiptKey::Secret(Secret::new(&secret)))
}
