//! A kill, and what is noted beside kills, as the store has them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::kill::{Doubt, Kill, Name};
use crate::context::Moment;

/// The note of what is not known.
pub(super) const UNKNOWN: &str = "unknown";
/// The note of what an operator has said not to be killed, in spite of that.
pub(super) const CLEARED: &str = "cleared";

#[derive(Serialize, Deserialize)]
struct DoubtDocument {
    service: Option<String>,
    why: String,
}

#[derive(Serialize, Deserialize)]
struct NameDocument {
    service: String,
    flag: String,
}

/// The key of a kill's record. No service's name has a slash.
pub(super) fn key((service, flag): &Name) -> String {
    format!("{service}/{flag}")
}

/// The service and flag that a record is of.
pub(super) fn name(key: &str) -> Option<Name> {
    let (service, flag) = key.split_once('/')?;
    Some((service.to_owned(), flag.to_owned()))
}

/// The record of a kill.
pub(super) fn write((service, flag): &Name, kill: &Kill) -> Value {
    let mut members = kill.further.clone();
    members.insert("service".to_owned(), json!(service));
    members.insert("flag".to_owned(), json!(flag));
    members.insert("at_unix_ms".to_owned(), json!(kill.at.unix_ms));
    members.insert("by".to_owned(), json!(kill.by));
    if let Some(reason) = &kill.reason {
        members.insert("reason".to_owned(), json!(reason));
    }
    Value::Object(members)
}

/// The kill that a record says. When and by whom is for people, and no reason to lift it.
pub(super) fn read(record: Value) -> Kill {
    let Value::Object(mut members) = record else {
        return Kill::new(Moment { unix_ms: 0 }, "unknown".to_owned(), None);
    };
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (by, reason) = (text("by"), text("reason"));
    let at = members.remove("at_unix_ms").and_then(|at| at.as_i64());
    members.remove("service");
    members.remove("flag");
    Kill {
        at: Moment {
            unix_ms: at.unwrap_or_default(),
        },
        by: by.unwrap_or_else(|| "unknown".to_owned()),
        reason,
        further: members,
    }
}

/// The note of doubts; none where there are none.
pub(super) fn write_doubts(doubts: &[Doubt]) -> Option<Value> {
    let document = |doubt: &Doubt| json!({ "service": doubt.service, "why": doubt.why });
    let doubts: Vec<Value> = doubts.iter().map(document).collect();
    (!doubts.is_empty()).then_some(Value::Array(doubts))
}

/// The doubts that a note says. One that cannot be read is a doubt itself.
pub(super) fn read_doubts(notes: &Map<String, Value>) -> Vec<Doubt> {
    let Some(note) = notes.get(UNKNOWN) else {
        return Vec::new();
    };
    match Vec::<DoubtDocument>::deserialize(note) {
        Ok(doubts) => doubts
            .into_iter()
            .map(|DoubtDocument { service, why }| Doubt { service, why })
            .collect(),
        Err(error) => vec![Doubt {
            service: None,
            why: format!("`unknown` in it cannot be read ({error})"),
        }],
    }
}

/// The note of names; none where there are none.
pub(super) fn write_names<'a>(names: impl Iterator<Item = &'a Name>) -> Option<Value> {
    let names: Vec<Value> = names
        .map(|(service, flag)| json!({ "service": service, "flag": flag }))
        .collect();
    (!names.is_empty()).then_some(Value::Array(names))
}

/// The names that a note says. What cannot be read of it stays unknown.
pub(super) fn read_names(notes: &Map<String, Value>) -> Vec<Name> {
    let note = notes.get(CLEARED).unwrap_or(&Value::Null);
    let names = Vec::<NameDocument>::deserialize(note).unwrap_or_default();
    names
        .into_iter()
        .map(|NameDocument { service, flag }| (service, flag))
        .collect()
}
