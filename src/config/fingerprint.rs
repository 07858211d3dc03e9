//! The digest of a configuration: equal for files that say the same, whatever their comments, layout and key order.

use sha2::{Digest as _, Sha256};

use super::node::{Entry, Node, Value};
use crate::digest::Digest;

/// Top-level keys that decide nothing about requests.
const LEFT_OUT: [&str; 4] = ["listeners", "admin", "logging", "unleash"];

/// What of `server` decides about requests.
const OF_SERVER: &str = "trusted_proxies";

/// Hashes what decides about requests, secrets included, which the digest does not give away. Of `sources` the order
/// decides, not where they are or how they are asked.
pub fn digest<'a>(root: &Node, sources: impl Iterator<Item = &'a str>) -> Digest {
    let mut hash = Sha256::new();
    let entries: Vec<(&str, &Node)> = root
        .entries()
        .iter()
        .filter(|entry| !LEFT_OUT.contains(&entry.key.as_str()))
        .filter_map(|entry| match entry.key.as_str() {
            "server" => Some((OF_SERVER, entry.value.get(OF_SERVER)?)),
            key => Some((key, &entry.value)),
        })
        .collect();
    add_map(entries, &mut hash);
    for source in sources {
        add_text(source, &mut hash);
    }
    Digest(hash.finalize().into())
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
        Value::Map(entries) => add_map(entries.iter().map(pair).collect(), hash),
    }
}

fn pair(entry: &Entry) -> (&str, &Node) {
    (&entry.key, &entry.value)
}

fn add_map(mut entries: Vec<(&str, &Node)>, hash: &mut Sha256) {
    entries.sort_by_key(|(key, _)| *key);
    add_length(b'm', entries.len(), hash);
    for (key, value) in entries {
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
