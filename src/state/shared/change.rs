//! What a write asks of Redis.

use serde_json::Value;

/// What a write asks Redis to do with one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) key: String,
    /// `None`: it is removed.
    pub(super) record: Option<Value>,
    pub(super) expected: Condition,
}

/// What must stand in Redis for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Whatever it is.
    Any,
    /// Nothing, or a removal.
    Absent,
    /// The record of this revision.
    Revision(u64),
}

impl Condition {
    /// As the script takes it.
    pub(super) fn written(self) -> String {
        match self {
            Self::Any => "any".to_owned(),
            Self::Absent => "absent".to_owned(),
            Self::Revision(revision) => revision.to_string(),
        }
    }
}
