//! Where the chain goes on when the trail is opened, and what is told of what was found.

use std::io;

use serde_json::{Value, json};

use super::actor::Actor;
use super::chain::Link;
use super::entry::{Action, Deed};
use super::files::Found;

/// What an opened trail goes on with.
pub(super) struct Resumed {
    /// The end of the chain.
    pub(super) end: Link,
    /// What the first entry tells, if there is anything to be told.
    pub(super) deed: Option<Deed>,
    /// What is wrong with what was there.
    pub(super) damage: Option<String>,
}

/// Logs what was found, and says where the chain goes on.
pub(super) fn resumed(recovered: io::Result<(Option<Link>, Found)>) -> Resumed {
    let (end, found) = match recovered {
        Ok(recovered) => recovered,
        Err(error) => {
            let damage = format!("the audit trail cannot be read ({error}), and begins anew");
            return anew(damage, Value::Null);
        }
    };
    let deed = match found {
        Found::Whole => None,
        Found::Cut(bytes) => {
            let why = format!("the last entry had no end, and its {bytes} bytes were cut off");
            tracing::warn!("audit.ndjson: {why}");
            let deed = Deed::new(Actor::gateway(), Action::CutTrail, "audit.ndjson");
            let deed = deed.changing(Value::Null, json!({ "bytes": bytes }));
            Some(deed.because(Some(why)))
        }
        Found::Broken { line, fault } => {
            let damage = format!(
                "line {line} of the audit trail's newest file: {fault}; it is put aside as audit.1.ndjson, and the trail begins anew"
            );
            return anew(damage, json!({ "line": line }));
        }
    };
    Resumed {
        end: end.unwrap_or_else(Link::first),
        deed,
        damage: None,
    }
}

fn anew(damage: String, before: Value) -> Resumed {
    tracing::error!("{damage}");
    let deed = Deed::new(Actor::gateway(), Action::BeginTrail, "audit.ndjson");
    let deed = deed.changing(before, Value::Null);
    Resumed {
        end: Link::first(),
        deed: Some(deed.because(Some(damage.clone()))),
        damage: Some(damage),
    }
}
