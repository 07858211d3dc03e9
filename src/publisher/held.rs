//! What the audit trail gets to know of flags that a flag server lacks and that are held.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::audit::actor::Actor;
use crate::audit::entry::{Action, Deed};
use crate::snapshot::Snapshot;

/// How many flags an entry names; the counts are whole.
const NAMED: usize = 100;

/// The entry that says that other flags of a source are held than before.
pub(super) fn deed(
    source: &str,
    before: &[Arc<str>],
    held: &[Arc<str>],
    running: &Snapshot,
) -> Deed {
    let over: Vec<Arc<str>> = before
        .iter()
        .filter(|flag| !held.contains(flag))
        .cloned()
        .collect();
    let (there, gone): (Vec<_>, Vec<_>) = over
        .into_iter()
        .partition(|flag| running.flag(flag).is_some());
    let (action, after) = match held {
        [] => (
            Action::EndHold,
            json!({ "removed": named(&gone), "returned": named(&there) }),
        ),
        held => (
            Action::HoldRemoval,
            json!({ "held": named(held), "removed": named(&gone), "returned": named(&there) }),
        ),
    };
    Deed::new(Actor::gateway(), action, source).changing(json!({ "held": named(before) }), after)
}

/// How many flags there are, and the names of the first.
pub(super) fn named(flags: &[Arc<str>]) -> Value {
    let names: Vec<&str> = flags.iter().take(NAMED).map(|flag| &**flag).collect();
    json!({ "count": flags.len(), "flags": names })
}
