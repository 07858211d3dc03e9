//! `GET /api/v1/events`: what happens, as it happens (server-sent events, WHATWG HTML section 9.2).

mod share;

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
use crate::config::admin::AdminToken;
use crate::context::Moment;
use crate::events::{Event, EventKind, Heard, KeptAction, Listener};
use crate::snapshot::changes::{Changes, Rebucketed, Taking};
use crate::snapshot::store::SnapshotStore;
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
    listener: Listener,
    store: Arc<SnapshotStore>,
    actor: Actor,
    tokens: watch::Receiver<Arc<[AdminToken]>>,
}

/// Streams events, the first of which says what runs now, until the client goes away, their token is taken away or is
/// for something else, or the process ends.
pub(super) async fn events(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Problem> {
    let place = state.bounds.event_stream()?;
    // Listens first and looks then, so that nothing falls between the two.
    let audience = Audience {
        listener: state.publisher.events().listen(),
        store: state.publisher.store().clone(),
        actor,
        tokens: state.reloader.watch_admin_tokens(),
    };
    let running = state.publisher.store().load();
    let connected =
        json!({ "generation": running.generation, "digest": running.digest.to_string() });
    let first = stream::iter([message("connected", &connected)]);
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
            message(name, &data)
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
            tokio::select! {
                biased;
                changed = self.tokens.changed() => changed.ok()?,
                heard = self.listener.next() => match heard? {
                    Heard::Event(event) => {
                        if let Some(event) = share(event, &self.actor, &self.store) {
                            return Some(Heard::Event(event));
                        }
                    }
                    lagged @ Heard::Lagged(_) => return Some(lagged),
                },
            }
        }
    }
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
        } => {
            let (digest, flags) = (digest.to_string(), ChangesView::from(&**changes));
            let data = json!({ "generation": generation, "digest": digest, "flags": flags });
            ("snapshot", data)
        }
        EventKind::Held { source, flags } => {
            let (count, flags) = (flags.len(), names(flags));
            let data = json!({ "source": &**source, "count": count, "flags": flags });
            ("held", data)
        }
        EventKind::SourceTrouble { source, error } => {
            let data = json!({ "source": &**source, "state": "trouble", "error": error });
            ("source", data)
        }
        EventKind::SourceRecovered { source } => {
            let data = json!({ "source": &**source, "state": "recovered", "error": null });
            ("source", data)
        }
        EventKind::Ordered { .. } | EventKind::Registered { .. } => ("canary", of_canary(event)),
        EventKind::Endpoint {
            service,
            deployment,
            address,
            state,
            why,
        } => {
            let endpoint = address.to_string();
            let data = json!({
                "service": service, "deployment": deployment, "endpoint": endpoint, "state": state, "why": why,
            });
            ("endpoint", data)
        }
        EventKind::Kept {
            kind,
            name,
            action,
            by,
        } => {
            let common = json!({ "kind": kind, "name": &**name, "by": by });
            ("flag", merged(of_kept(action), common))
        }
        EventKind::Settled { by } => ("kills", json!({ "state": "known", "by": by })),
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

/// What was done to a canary.
fn of_canary(event: &Event) -> Value {
    match &event.what {
        EventKind::Ordered {
            service,
            flag,
            killed,
            by,
            reason,
            is_elsewhere: _,
        } => {
            let state = if *killed { "killed" } else { "restored" };
            let (service, flag) = (&**service, &**flag);
            json!({ "service": service, "flag": flag, "state": state, "by": by, "reason": reason.as_deref() })
        }
        EventKind::Registered {
            service,
            flag,
            state,
            url,
            by,
        } => {
            let (service, flag) = (&**service, &**flag);
            json!({ "service": service, "flag": flag, "state": state, "url": url, "by": by })
        }
        _ => json!({}),
    }
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
