//! When Redis was last heard of before it was lost. It is noted beside registrations for as long as Redis is away: leases that
//! ran then do not run out meanwhile, even if the gateway is started again.

use serde_json::Value;

use crate::clock::Reading;
use crate::context::Moment;
use crate::state::table::{Table, Write};

/// The note: milliseconds since 1970.
const NOTE: &str = "unreachable_since_unix_ms";

/// What an earlier process has noted, if Redis was away when it ended.
pub(super) fn noted(table: &Table) -> Option<Reading> {
    let unix_ms = table.notes.get(NOTE)?.as_i64()?;
    Some(Reading {
        moment: Moment { unix_ms },
        // Times in files are by the calendar with which the process begins.
        moved_ms: 0,
    })
}

/// The note for an absence.
pub(super) fn note(lost: Reading) -> Write {
    Write::Note {
        name: NOTE.to_owned(),
        value: Some(lost.moment.unix_ms.into()),
    }
}

/// Takes the note away, if there is one.
pub(super) fn outdated(table: &Table) -> Option<Write> {
    table.notes.get(NOTE).map(|_: &Value| Write::Note {
        name: NOTE.to_owned(),
        value: None,
    })
}
