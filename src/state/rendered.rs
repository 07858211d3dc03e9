//! The text of records as it stands in their file: a write of a large file renders those alone that have changed since the last one.

use std::io;

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::table::{Records, Write};

/// What stands before each line of a record, beside its own indentation.
const INDENT: &[u8] = b"\n    ";

/// By key, the text of a record.
#[derive(Debug, Default)]
pub(super) struct Rendered(FxHashMap<String, Box<[u8]>>);

impl Rendered {
    /// Has the records that `writes` are about rendered again.
    pub(super) fn forget(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::Put { key, .. } | Write::Remove { key, .. } = write {
                self.0.remove(key);
            }
        }
    }

    /// Has all records rendered again.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// Appends an object of the records, as the member of an object that begins its members with two spaces.
    pub(super) fn append(&mut self, records: &Records, text: &mut Vec<u8>) -> io::Result<()> {
        let mut begin: &[u8] = b"{";
        for (key, record) in records {
            text.extend_from_slice(begin);
            text.extend_from_slice(INDENT);
            serde_json::to_writer(&mut *text, key)?;
            text.extend_from_slice(b": ");
            match self.0.get(key) {
                Some(known) => text.extend_from_slice(known),
                None => {
                    let rendered = render(record)?;
                    text.extend_from_slice(&rendered);
                    self.0.insert(key.clone(), rendered);
                }
            }
            begin = b",";
        }
        let end: &[u8] = if records.is_empty() { b"{}" } else { b"\n  }" };
        text.extend_from_slice(end);
        Ok(())
    }
}

/// A record's text. No string in it has a line break, which is escaped there.
fn render(record: &Value) -> io::Result<Box<[u8]>> {
    let text = serde_json::to_vec_pretty(record)?;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    Ok(lines.join(INDENT).into())
}
