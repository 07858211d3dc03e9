//! A kill, and a gap in what is known about kills.

use std::fmt;

use serde_json::{Map, Value};

use crate::context::Moment;

/// A service's name and a flag's.
pub(super) type Name = (String, String);

/// When, by whom and why a canary was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// When.
    pub at: Moment,
    /// The address that the order came from.
    pub by: String,
    /// Why, in the words of the person who gave the order.
    pub reason: Option<String>,
    /// What else is stored of it, by a later version: kept as it is.
    pub(super) further: Map<String, Value>,
}

impl Kill {
    /// A kill.
    pub fn new(at: Moment, by: String, reason: Option<String>) -> Self {
        Self {
            at,
            by,
            reason,
            further: Map::new(),
        }
    }
}

/// A gap in what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The service whose canaries it may be about; `None`: any.
    pub(super) service: Option<String>,
    /// What could not be read.
    pub(super) why: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, why } = self;
        match service {
            Some(service) => {
                write!(f, "{why}: users of {service}'s canaries are on stable")
            }
            None => write!(f, "{why}: users of all canaries are on stable"),
        }
    }
}
