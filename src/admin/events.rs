//! `GET /api/v1/events`: what happens, as it happens (server-sent events, WHATWG HTML section 9.2).

mod resumption;
mod share;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _, stream};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Shared;
use super::actor::Actor;
use super::problem::Problem;
use crate::audit::entry::Entry;
use crate::config::admin::AdminToken;
use crate::context::Moment;
use crate::digest::Digest;
use crate::events::{Event, EventId, EventKind, Heard, KeptAction, Listener, Missed};
use crate::snapshot::changes::{Changes, Rebucketed, Taking};
use crate::snapshot::store::SnapshotStore;
use resumption::Resumption;
use share::share;

/// A comment is sent this often when nothing happens, so that neither side takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many flags an event names; the counts are whole.
const NAMED: usize = 1_000;

/// The flags that a snapshot does not have in common with the one before.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FlagChanges")]
pub(super) struct ChangesView<'a> {
    counts: CountsView,
    added: Vec<&'a str>,
    changed: Vec<&'a str>,
    removed: Vec<&'a str>,
    rebucketed: Vec<RebucketedView<'a>>,
    taking: Vec<TakingView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangeCounts")]
struct CountsView {
    added: usize,
    changed: usize,
    removed: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rebucketed")]
struct RebucketedView<'a> {
    flag: &'a str,
    ring: Option<&'a str>,
    why: &'a str,
}

/// A flag that begins to take users from running canaries.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Taking")]
struct TakingView<'a> {
    service: &'a str,
    flag: &'a str,
    from: Vec<&'a str>,
    could_take: String,
}

/// Who listens, for as long as their token is one.
struct Audience {
    /// What happened while they were away, and is told first.
    kept: VecDeque<Arc<Event>>,
    listener: Listener,
    store: Arc<SnapshotStore>,
    actor: Actor,
    tokens: watch::Receiver<Arc<[AdminToken]>>,
}

/// Streams events, until the client goes away, their token is taken away or is for something else, or the process ends. The
/// first says what runs now; before it comes what a client cannot be told any more that was here before.
pub(super) async fn events(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Resumption(last): Resumption,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Problem> {
    let place = state.bounds.event_stream()?;
    // Listens first and looks then, so that nothing falls between the two.
    let resumed = state.publisher.events().resume(last);
    let running = state.publisher.store().load();
    let connected =
        json!({ "generation": running.generation, "digest": running.digest.to_string() });
    let missed = resumed.missed.map(of_missed);
    let connected = identified(resumed.after, "connected", &connected);
    let first = stream::iter(missed.into_iter().chain([connected]));
    let audience = Audience {
        kept: resumed.kept.into(),
        listener: resumed.listener,
        store: state.publisher.store().clone(),
        actor,
        tokens: state.reloader.watch_admin_tokens(),
    };
    let rest = stream::unfold(audience, next);
    let messages = first.chain(rest).map(move |message| {
        // Held until the stream ends.
        let _ = &place;
        Ok(message)
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

async fn next(mut audience: Audience) -> Option<(Message, Audience)> {
    let message = match audience.hear().await? {
        Heard::Event(event) => {
            let (name, data) = described(&event);
            identified(event.id, name, &data)
        }
        Heard::Lagged(lost) => message("lagged", &json!({ "lost": lost })),
    };
    Some((message, audience))
}

impl Audience {
    /// What is heard next; `None`: nothing more.
    async fn hear(&mut self) -> Option<Heard> {
        loop {
            // Looked at before anything is told: the reload may have come while this stream began.
            if !self.actor.is_still_let_in(&self.tokens.borrow_and_update()) {
                tracing::info!(client = %self.actor.address, token = %self.actor, "a stream of events ends: its token has changed");
                return None;
            }
            let heard = match self.kept.pop_front() {
                Some(event) => Heard::Event(event),
                None => tokio::select! {
                    biased;
                    changed = self.tokens.changed() => {
                        changed.ok()?;
                        continue;
                    }
                    heard = self.listener.next() => heard?,
                },
            };
            match heard {
                Heard::Event(event) => {
                    if let Some(event) = share(event, &self.actor, &self.store) {
                        return Some(Heard::Event(event));
                    }
                }
                lagged @ Heard::Lagged(_) => return Some(lagged),
            }
        }
    }
}

fn of_missed(missed: Missed) -> Message {
    let (reason, lost) = match missed {
        Missed::TooOld(lost) => ("too_old", Some(lost)),
        // What happened before the start is not counted.
        Missed::Restarted(_) => ("restarted", None),
        Missed::Unknown => ("unknown", None),
    };
    message("missed", &json!({ "reason": reason, "lost": lost }))
}

/// A message after which a client that comes back goes on.
fn identified(id: EventId, name: &'static str, data: &Value) -> Message {
    let message = Message::default().id(id.to_string());
    message.event(name).data(data.to_string())
}

/// JSON has no line breaks outside of its texts, and escapes them within.
fn message(name: &'static str, data: &Value) -> Message {
    Message::default().event(name).data(data.to_string())
}

/// The event's name and its data.
fn described(event: &Event) -> (&'static str, Value) {
    let (name, data) = match &event.what {
        EventKind::Published {
            generation,
            digest,
            changes,
        } => ("snapshot", of_snapshot(*generation, digest, changes)),
        EventKind::Held { source, flags } => ("held", of_held(source, flags)),
        EventKind::SourceTrouble { source, error } => ("source", of_source(source, Some(error))),
        EventKind::SourceRecovered { source } => ("source", of_source(source, None)),
        EventKind::Ordered {
            service,
            flag,
            killed,
            by,
            reason,
            is_elsewhere: _,
        } => {
            let state = if *killed { "killed" } else { "restored" };
            let data = json!({ "by": by, "reason": reason.as_deref() });
            ("canary", merged(data, of_canary(service, flag, state)))
        }
        EventKind::Registered {
            service,
            flag,
            state,
            url,
            by,
        } => {
            let data = json!({ "url": url, "by": by });
            ("canary", merged(data, of_canary(service, flag, state)))
        }
        EventKind::Endpoint {
            service,
            deployment,
            address,
            state,
            why,
        } => {
            let place = json!({ "service": service, "deployment": deployment });
            let now = json!({ "endpoint": address, "state": state, "why": why });
            ("endpoint", merged(place, now))
        }
        EventKind::Kept {
            kind,
            name,
            action,
            by,
        } => {
            let which = json!({ "kind": kind, "name": &**name, "by": by });
            ("flag", merged(of_kept(action), which))
        }
        EventKind::Settled { by } => ("kills", json!({ "state": "known", "by": by })),
        // It has its own moment.
        EventKind::Audited(entry) => return ("audit", of_entry(entry)),
        EventKind::Stopping => ("stopping", json!({})),
    };
    (name, merged(data, json!({ "at": shown(event.at) })))
}

/// The members of both.
fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (one.as_object_mut(), other) {
        members.extend(more);
    }
    one
}

fn of_snapshot(generation: u64, digest: &Digest, changes: &Changes) -> Value {
    let (digest, flags) = (digest.to_string(), ChangesView::from(changes));
    json!({ "generation": generation, "digest": digest, "flags": flags })
}

fn of_held(source: &str, flags: &[Arc<str>]) -> Value {
    json!({ "source": source, "count": flags.len(), "flags": names(flags) })
}

fn of_source(source: &str, error: Option<&str>) -> Value {
    let state = if error.is_some() {
        "trouble"
    } else {
        "recovered"
    };
    json!({ "source": source, "state": state, "error": error })
}

fn of_canary(service: &str, flag: &str, state: &str) -> Value {
    json!({ "service": service, "flag": flag, "state": state })
}

/// An entry of the audit trail, as the trail has it.
fn of_entry(entry: &Entry) -> Value {
    serde_json::from_str(&entry.line).unwrap_or_default()
}

/// What was done to a flag or segment that Serin keeps.
fn of_kept(action: &KeptAction) -> Value {
    match action {
        KeptAction::Put => json!({ "action": "put" }),
        KeptAction::Deleted => json!({ "action": "deleted" }),
        KeptAction::Ring {
            ring,
            enabled,
            rollout,
        } => {
            let rollout = rollout.map(|share| share.to_string());
            json!({ "action": "ring", "ring": &**ring, "enabled": enabled, "rollout": rollout })
        }
    }
}

fn shown(at: Moment) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms).unwrap_or_default();
    format!("{at:.3}")
}

fn first<T>(all: &[T]) -> &[T] {
    all.get(..NAMED).unwrap_or(all)
}

fn names(all: &[Arc<str>]) -> Vec<&str> {
    first(all).iter().map(|name| &**name).collect()
}

impl<'a> From<&'a Changes> for ChangesView<'a> {
    fn from(changes: &'a Changes) -> Self {
        let rebucketed = first(&changes.rebucketed).iter();
        Self {
            counts: CountsView {
                added: changes.added.len(),
                changed: changes.changed.len(),
                removed: changes.removed.len(),
            },
            added: names(&changes.added),
            changed: names(&changes.changed),
            removed: names(&changes.removed),
            rebucketed: rebucketed
                .map(|moved| RebucketedView::from(&**moved))
                .collect(),
            taking: first(&changes.taking)
                .iter()
                .map(|taking| TakingView::from(&**taking))
                .collect(),
        }
    }
}

impl<'a> From<&'a Taking> for TakingView<'a> {
    fn from(taking: &'a Taking) -> Self {
        Self {
            service: &taking.service,
            flag: &taking.flag,
            from: names(&taking.from),
            could_take: taking.reach.to_string(),
        }
    }
}

impl<'a> From<&'a Rebucketed> for RebucketedView<'a> {
    fn from(moved: &'a Rebucketed) -> Self {
        Self {
            flag: &moved.flag,
            ring: moved.ring.as_deref(),
            why: &moved.why,
        }
    }
}
