//! The text of a kind's file, read as far as it can be: what is well-formed holds, whatever stands beside it.

use std::collections::btree_map::Entry;
use std::fmt;
use std::io::{self, Write as _};

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::first_kills;
use super::held::{Damage, Loaded};
use super::kind::Kind;
use super::rendered::Rendered;
use super::table::Table;

/// The form that is written. Members that come later are additions, which earlier versions keep as they are; what an
/// earlier version would misread takes another number.
const VERSION: u64 = 2;
/// The form of a file that has kills alone, in a list, without a checksum.
const FIRST_VERSION: u64 = 1;
/// What a file with a checksum begins with. The checksum is that of the text after its line, without the white space at
/// the end, which editors add.
const CHECKSUM: &str = "{\n  \"sha256\": \"";
const AFTER_CHECKSUM: &str = "\",\n";

/// Writes a table, of whose records some may be `rendered` already.
pub(super) fn write(table: &Table, rendered: &mut Rendered) -> io::Result<Vec<u8>> {
    let Table { records, notes } = table;
    let mut members = Vec::new();
    write!(members, "  \"version\": {VERSION},\n  \"records\": ")?;
    rendered.append(records, &mut members)?;
    // Notes as members of their own, after the records: without the bracket that their object begins with.
    let notes = serde_json::to_vec_pretty(notes)?;
    match notes.strip_prefix(b"{\n") {
        Some(notes) => {
            members.extend_from_slice(b",\n");
            members.extend_from_slice(notes);
        }
        None => members.extend_from_slice(b"\n}"),
    }
    let sum = checksum(&members);
    let mut text = Vec::with_capacity(members.len() + 96);
    write!(text, "{CHECKSUM}{sum}{AFTER_CHECKSUM}")?;
    text.extend_from_slice(&members);
    text.push(b'\n');
    Ok(text)
}

/// Reads what can be read, and says what cannot.
pub(super) fn read(kind: Kind, text: &[u8]) -> Loaded {
    let mut reading = Reading {
        kind,
        loaded: Loaded::default(),
        version: None,
        sum: None,
        has_list: false,
        has_records: false,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let whole = Whole(&mut reading).deserialize(&mut deserializer);
    match whole.and_then(|()| deserializer.end()) {
        Err(error) => reading.damage(None, format!("it cannot all be read ({error})")),
        Ok(()) => reading.check(text),
    }
    reading.loaded
}

fn checksum(text: &[u8]) -> String {
    let digest = Sha256::digest(text.trim_ascii_end());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the checksum `sum` stands where it is written and is that of the text after it.
fn is_intact(text: &[u8], sum: &Value) -> bool {
    let Some(sum) = sum.as_str() else {
        return false;
    };
    let begin = format!("{CHECKSUM}{sum}{AFTER_CHECKSUM}");
    let rest = text.strip_prefix(begin.as_bytes());
    rest.is_some_and(|rest| checksum(rest) == sum)
}

/// What has been read so far.
struct Reading {
    kind: Kind,
    loaded: Loaded,
    version: Option<Value>,
    sum: Option<Value>,
    /// Whether there is a list of kills.
    has_list: bool,
    has_records: bool,
}

impl Reading {
    fn damage(&mut self, service: Option<String>, why: String) {
        self.loaded.damage.push(Damage { service, why });
    }

    /// Whether the document as a whole is one that is understood here.
    fn check(&mut self, text: &[u8]) {
        let version = self.version.take();
        let is_first = match version.as_ref().map(Value::as_u64) {
            Some(Some(VERSION)) => false,
            Some(Some(FIRST_VERSION)) if self.kind == Kind::Kills => true,
            None => {
                self.damage(None, "it has no version".to_owned());
                false
            }
            Some(_) => {
                let version = version.unwrap_or_default();
                let why = format!(
                    "it is of another version ({version}), and what else it says is not known"
                );
                return self.damage(None, why);
            }
        };
        match self.sum.take() {
            Some(sum) if !is_intact(text, &sum) => {
                let why = "its checksum is not that of its text: it is damaged, or somebody has edited it and must take out its line `sha256`";
                self.damage(None, why.to_owned());
            }
            None if !is_first => {
                tracing::warn!(
                    "{} in state_dir have no checksum: somebody has edited them, and they are taken as they are",
                    self.kind.name()
                );
            }
            _ => {}
        }
        match (is_first, self.has_list, self.has_records) {
            (true, false, _) => self.damage(None, "it has no list of kills".to_owned()),
            (false, _, false) => self.damage(None, "it has no records".to_owned()),
            _ => {}
        }
    }

    fn take_record(&mut self, key: String, value: Value) {
        match self.loaded.table.records.entry(key) {
            Entry::Vacant(place) => {
                place.insert(value);
            }
            Entry::Occupied(first) => {
                let key = first.key();
                let why = format!("it has two records of {key:?}, of which the first holds");
                self.damage(None, why);
            }
        }
    }

    fn take_kill(&mut self, entry: Value) {
        match first_kills::record(entry) {
            // The last of two of a name, as ever.
            Ok((key, record)) => {
                self.loaded.table.records.insert(key, record);
            }
            Err(service) => {
                let why = "one of the kills in it cannot be read".to_owned();
                self.damage(service, why);
            }
        }
    }

    fn take_member(&mut self, name: String, value: Value) {
        match &*name {
            "version" => self.version = Some(value),
            "sha256" => self.sum = Some(value),
            _ => {
                self.loaded.table.notes.insert(name, value);
            }
        }
    }
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
        while let Some(name) = map.next_key::<String>()? {
            if name == "records" {
                map.next_value_seed(Members(self.0))?;
            } else if name == "kills" && self.0.kind == Kind::Kills {
                map.next_value_seed(List(self.0))?;
            } else {
                let value = map.next_value()?;
                self.0.take_member(name, value);
            }
        }
        Ok(())
    }
}

/// The records, one after the other.
struct Members<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.has_records = true;
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            self.0.take_record(key, value);
        }
        Ok(())
    }
}

/// The kills of the first form, one after the other.
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
        self.0.has_list = true;
        while let Some(entry) = list.next_element::<Value>()? {
            self.0.take_kill(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
