//! What of an event is for a token's services.

use std::sync::Arc;

use crate::admin::actor::Actor;
use crate::events::{Event, EventKind};
use crate::snapshot::Snapshot;
use crate::snapshot::changes::Changes;
use crate::snapshot::store::SnapshotStore;

/// The event as somebody may hear it; `None`: it is about other services alone. What is about the gateway (its flag
/// servers, its end), everybody hears.
pub(super) fn share(event: Arc<Event>, actor: &Actor, store: &SnapshotStore) -> Option<Arc<Event>> {
    if actor.services.is_none() {
        return Some(event);
    }
    let snapshot = store.load();
    let sees = |flag: &str| actor.may_see_flag(flag, &snapshot);
    let is_shared = match &event.what {
        EventKind::Published {
            generation,
            digest,
            changes,
        } => {
            let changes = Arc::new(of_flags(changes, actor, &snapshot));
            let what = EventKind::Published {
                generation: *generation,
                digest: *digest,
                changes,
            };
            return Some(instead(&event, what));
        }
        EventKind::Held { source, flags } => {
            let seen: Arc<[Arc<str>]> = flags.iter().filter(|flag| sees(flag)).cloned().collect();
            // None at all: no flag is held any more.
            let is_shared = flags.is_empty() || !seen.is_empty();
            let what = EventKind::Held {
                source: source.clone(),
                flags: seen,
            };
            return is_shared.then(|| instead(&event, what));
        }
        EventKind::Ordered { service, .. } | EventKind::Registered { service, .. } => {
            actor.is_for(service)
        }
        EventKind::Endpoint { service, .. } => actor.is_for(service),
        EventKind::Audited(entry) => {
            let service = entry.service.as_deref();
            service.is_some_and(|service| actor.is_for(service))
        }
        EventKind::Kept { kind, name, .. } => *kind == "flag" && sees(name),
        EventKind::SourceTrouble { .. }
        | EventKind::SourceRecovered { .. }
        | EventKind::Settled { .. }
        | EventKind::Stopping => true,
    };
    is_shared.then_some(event)
}

fn instead(event: &Event, what: EventKind) -> Arc<Event> {
    let mut event = event.clone();
    event.what = what;
    Arc::new(event)
}

fn of_flags(changes: &Changes, actor: &Actor, snapshot: &Snapshot) -> Changes {
    let mut changes = changes.clone();
    let sees = |flag: &str| actor.may_see_flag(flag, snapshot);
    for names in [
        &mut changes.added,
        &mut changes.changed,
        &mut changes.removed,
    ] {
        names.retain(|flag| sees(flag));
    }
    changes.rebucketed.retain(|moved| sees(&moved.flag));
    changes
        .taking
        .retain(|taking| actor.is_for(&taking.service));
    changes
}
