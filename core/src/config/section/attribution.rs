//! `attribution`.

mod sinks;

use std::sync::Arc;

use crate::config::attribution::{
    AttributionConfig, ExposuresConfig, Lanes, ReceiptKey, ReceiptsConfig, UserForm,
};
use crate::config::flag_server::Secret;
use crate::config::keys::ATTRIBUTION;
use crate::config::keys::attribution as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::tls::StatedFile;
use crate::identity::Property;

/// The hash's own length, which RFC 7518, section 3.2, asks for.
const SHORTEST_SECRET: usize = 32;

/// A shorter key can be guessed, and with it every user ID.
const SHORTEST_KEY: usize = 16;

/// Compiles `attribution`, but for its lanes. `properties` are those of `identity`.
pub fn compile(reader: &mut Reader, root: &Node, properties: &[Property]) -> AttributionConfig {
    let attribution = ATTRIBUTION.node(root);
    let receipts = keys::RECEIPTS.node(attribution);
    let exposures = keys::EXPOSURES.node(attribution);
    let exposures = exposures.map(|node| self::exposures(reader, node, properties));
    AttributionConfig {
        receipts: receipts.and_then(|node| self::receipts(reader, node)),
        sinks: sinks::sinks(reader, attribution, exposures.as_ref()),
        spool: sinks::spool(reader, attribution),
        exposures,
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
        return Some(ReceiptKey::PrivateKey(StatedFile {
            path: keys::PRIVATE_KEY.read(reader, node)?,
            span: file?.span,
            key: format!("attribution.receipts.{}", keys::PRIVATE_KEY.name()),
        }));
    };
    let secret = keys::RECEIPT_KEY.read(reader, node)?;
    if secret.len() < SHORTEST_SECRET {
        let message =
            format!("this key has fewer than {SHORTEST_SECRET} characters and can be guessed");
        reader.problems.warning(stated.span, message);
    }
    Some(ReceiptKey::Secret(Secret::new(&secret)))
}

fn exposures(reader: &mut Reader, node: &Node, known: &[Property]) -> ExposuresConfig {
    let users = keys::USERS.read(reader, node);
    let key = key(reader, node);
    let stated = keys::KEY.node(node).and_then(Node::scalar);
    let is_awaited = stated.is_some_and(|scalar| scalar.is_placeholder());
    if users == UserForm::Hash && key.is_none() && !is_awaited {
        reader
            .problems
            .error(node.span, "`users: hash` needs a `key`")
            .hint(
                "add `key: \"${ATTRIBUTION_KEY}\"`, the same for all gateways; or `users: plain`",
            );
    }
    ExposuresConfig {
        users,
        key,
        anonymous: keys::ANONYMOUS.read(reader, node),
        control: keys::CONTROL.read(reader, node),
        properties: properties(reader, node, known),
    }
}

fn key(reader: &mut Reader, exposures: &Node) -> Option<Secret> {
    let node = keys::KEY.node(exposures)?;
    let key = keys::KEY.read(reader, exposures)?;
    if key.len() < SHORTEST_KEY {
        let message =
            format!("this key has fewer than {SHORTEST_KEY} characters and can be guessed");
        reader.problems.warning(node.span, message);
    }
    Some(Secret::new(&key))
}

fn properties(reader: &mut Reader, exposures: &Node, known: &[Property]) -> Vec<Arc<str>> {
    let mut chosen: Vec<Arc<str>> = Vec::new();
    for node in keys::PROPERTIES.items(exposures) {
        let Some(name) = reader.name(node) else {
            continue;
        };
        let Some(property) = known.iter().find(|property| *property.name == *name) else {
            let names: Vec<&str> = known.iter().map(|property| &*property.name).collect();
            let hint = match names.as_slice() {
                [] => "there is none under `identity.properties`".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            };
            let message = format!("`{name}` is no property of `identity.properties`");
            reader.problems.error(node.span, message).hint(hint);
            continue;
        };
        if !chosen.contains(&property.name) {
            chosen.push(property.name.clone());
        }
    }
    chosen
}
