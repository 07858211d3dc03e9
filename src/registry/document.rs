//! The text of `kills.json`, read as far as it can be: what is well-formed holds, whatever stands beside it.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::book::{Book, Doubt, Kill, Name};
use crate::context::Moment;

/// The form that is written. Members that come later are additions, which earlier versions keep as they are; what an
/// earlier version would misread takes another number.
const VERSION: u64 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u64,
    kills: Vec<KillDocument<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<DoubtDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cleared: Vec<NameDocument>,
    #[serde(flatten)]
    further: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct KillDocument<'a> {
    service: &'a str,
    flag: &'a str,
    at_unix_ms: i64,
    by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(flatten)]
    further: &'a Map<String, Value>,
}

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

/// Writes what is known.
pub(super) fn write(book: &Book) -> serde_json::Result<Vec<u8>> {
    let kills = book.kills().map(|((service, flag), kill)| KillDocument {
        service,
        flag,
        at_unix_ms: kill.at.unix_ms,
        by: &kill.by,
        reason: kill.reason.as_deref(),
        further: &kill.further,
    });
    let unknown = book.doubts().iter().map(|doubt| DoubtDocument {
        service: doubt.service.clone(),
        why: doubt.why.clone(),
    });
    let cleared = book.cleared.iter().map(|(service, flag)| NameDocument {
        service: service.clone(),
        flag: flag.clone(),
    });
    serde_json::to_vec_pretty(&Document {
        version: VERSION,
        kills: kills.collect(),
        unknown: unknown.collect(),
        cleared: cleared.collect(),
        further: &book.further,
    })
}

/// Reads what can be read, and doubts the rest.
pub(super) fn read(text: &[u8]) -> Book {
    let mut reading = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let whole = Whole(&mut reading).deserialize(&mut deserializer);
    match whole.and_then(|()| deserializer.end()) {
        Err(error) => reading.doubt(None, format!("it cannot all be read ({error})")),
        Ok(()) => reading.check(),
    }
    reading.book
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    book: Book,
    version: Option<Value>,
    has_kills: bool,
}

impl Reading {
    /// What could not be read may be about any canary, or any of a service.
    fn doubt(&mut self, service: Option<String>, why: String) {
        self.book.doubts.push(Doubt { service, why });
        self.book.is_damaged = true;
    }

    /// Whether the document as a whole is one that is understood here.
    fn check(&mut self) {
        match &self.version {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            Some(version) => {
                let why = format!(
                    "it is of another version ({version}), and what else it says is not known"
                );
                self.doubt(None, why);
            }
            None => self.doubt(None, "it has no version".to_owned()),
        }
        if !self.has_kills {
            self.doubt(None, "it has no list of kills".to_owned());
        }
    }

    fn take_kill(&mut self, value: Value) {
        match kill(value) {
            Ok((name, kill)) => {
                self.book.kills.insert(name, kill);
            }
            Err(service) => {
                let why = "one of the kills in it cannot be read".to_owned();
                self.doubt(service, why);
            }
        }
    }

    fn take_member(&mut self, key: String, value: Value) {
        match &*key {
            "version" => self.version = Some(value),
            "unknown" => match Vec::<DoubtDocument>::deserialize(value) {
                Ok(doubts) => self
                    .book
                    .doubts
                    .extend(doubts.into_iter().map(|doubt| Doubt {
                        service: doubt.service,
                        why: doubt.why,
                    })),
                Err(error) => self.doubt(None, format!("`unknown` in it cannot be read ({error})")),
            },
            // What cannot be read of it stays unknown.
            "cleared" => {
                let names = Vec::<NameDocument>::deserialize(value).unwrap_or_default();
                let names = names.into_iter().map(|name| (name.service, name.flag));
                self.book.cleared.extend(names);
            }
            _ => {
                self.book.further.insert(key, value);
            }
        }
    }
}

/// A kill is one that names a service and a flag; an error has the service, if that much can be read. When and by whom
/// is for people, and no reason to lift it.
fn kill(value: Value) -> Result<(Name, Kill), Option<String>> {
    let Value::Object(mut members) = value else {
        return Err(None);
    };
    let mut text = |key: &str| match members.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (service, flag) = (text("service"), text("flag"));
    let (by, reason) = (text("by"), text("reason"));
    let (Some(service), Some(flag)) = (&service, flag) else {
        return Err(service);
    };
    let at = members.remove("at_unix_ms").and_then(|at| at.as_i64());
    let kill = Kill {
        at: Moment {
            unix_ms: at.unwrap_or_default(),
        },
        by: by.unwrap_or_else(|| "unknown".to_owned()),
        reason,
        further: members,
    };
    Ok(((service.clone(), flag), kill))
}

/// The document, member by member: what comes before an error has been taken in by then.
struct Whole<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "kills" {
                map.next_value_seed(List(self.0))?;
            } else {
                let value = map.next_value()?;
                self.0.take_member(key, value);
            }
        }
        Ok(())
    }
}

/// The kills, one after the other.
struct List<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of kills")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.has_kills = true;
        while let Some(value) = list.next_element::<Value>()? {
            self.0.take_kill(value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
