//! The digest of a configuration: equal for files that say the same, whatever their comments, layout and key order.

use sha2::{Digest as _, Sha256};

use super::keys::ROOT;
use super::keys::shape::{Key, Scope, Shape};
use super::node::{Node, Pair, Value};
use crate::digest::Digest;

/// Hashes what decides about requests ([`Scope`]), secrets included, which the digest does not give away. Of `sources`
/// the order decides.
pub fn digest<'a>(root: &Node, sources: impl Iterator<Item = &'a str>) -> Digest {
    let mut hash = Sha256::new();
    let mut deciding = Vec::new();
    for pair in root.pairs() {
        match scope(&ROOT, pair) {
            Scope::Decides => deciding.push(parts(pair)),
            Scope::ByKey => deciding.extend(deciding_keys(pair)),
            Scope::Source | Scope::Carried | Scope::Process => {}
        }
    }
    add_map(deciding, &mut hash);
    for source in sources {
        add_text(source, &mut hash);
    }
    Digest(hash.finalize().into())
}

/// Those of a section's own keys that decide.
fn deciding_keys(section: &Pair) -> impl Iterator<Item = (&str, &Node)> {
    let shape = known(&ROOT, section).and_then(Key::shape);
    let decides = move |pair: &&Pair| {
        let scope = shape.map(|shape| scope(&shape, pair));
        scope.is_none_or(|scope| scope == Scope::Decides)
    };
    section.value.pairs().iter().filter(decides).map(parts)
}

/// The scope of a key. An unknown key is an error of the file, whatever its scope.
fn scope(shape: &Shape, pair: &Pair) -> Scope {
    known(shape, pair).map_or(Scope::Decides, |key| key.statement().scope)
}

fn known(shape: &Shape, pair: &Pair) -> Option<&'static dyn Key> {
    let mut known = shape.map?.known.iter();
    known.find(|key| key.name() == pair.key).copied()
}

// Every value begins with its kind and its length: no two trees give the same bytes.
fn add(node: &Node, hash: &mut Sha256) {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_nothing() => hash.update(b"n"),
        Value::Scalar(scalar) => add_text(scalar.text(), hash),
        Value::List(items) => {
            add_length(b'l', items.len(), hash);
            for item in items {
                add(item, hash);
            }
        }
        Value::Map(pairs) => add_map(pairs.iter().map(parts).collect(), hash),
    }
}

fn parts(pair: &Pair) -> (&str, &Node) {
    (&pair.key, &pair.value)
}

fn add_map(mut pairs: Vec<(&str, &Node)>, hash: &mut Sha256) {
    pairs.sort_by_key(|(key, _)| *key);
    add_length(b'm', pairs.len(), hash);
    for (key, value) in pairs {
        add_text(key, hash);
        add(value, hash);
    }
}

fn add_text(text: &str, hash: &mut Sha256) {
    add_length(b's', text.len(), hash);
    hash.update(text.as_bytes());
}

fn add_length(kind: u8, length: usize, hash: &mut Sha256) {
    hash.update([kind]);
    hash.update((length as u64).to_be_bytes());
}
