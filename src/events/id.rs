//! The names of events.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The name of an event: the gateway's start and a number, as in `19a2c0f4e31-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// When the gateway started, in milliseconds since 1970.
    pub run: u64,
    /// The event's number since then; the first has 1.
    pub number: u64,
}

/// Why a text is no event's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event's ID looks like 19a2c0f4e31-17")]
pub struct NoEventId;

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.run, self.number)
    }
}

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (run, number) = text.split_once('-').ok_or(NoEventId)?;
        let wrong = |_: ParseIntError| NoEventId;
        Ok(Self {
            run: u64::from_str_radix(run, 16).map_err(wrong)?,
            number: number.parse().map_err(wrong)?,
        })
    }
}
