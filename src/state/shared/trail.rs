//! The audit trails of all gateways. Each keeps its own on its disk; what is written there goes to Redis as well, where every
//! gateway finds the last entries of all. While Redis is away entries wait on the disk.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::client::RedisFailure;
use super::trail_stream::{PAGE, TrailStream};
use crate::audit::Audit;
use crate::audit::query::{Query, QueryError, Search, Since};
use crate::config::redis::RedisConfig;

/// How many entries are sent at a time.
const BATCH: usize = 200;
/// How many of the newest entries are sent where Redis does not know how much of this trail it has.
const NEWEST: usize = 5_000;
/// How large an entry may be in Redis, which has its data in memory: of a larger one it is left out what was before and after.
const MAX_LINE: usize = 16 << 10;
/// When what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often Redis is asked what it has, while there is nothing to send.
const CHECKING: Duration = Duration::from_secs(10);
/// How long a search in Redis may take.
const SEARCHING: Duration = Duration::from_secs(3);
/// How far gateways' clocks may be ahead of Redis' for a search since a moment to find what they wrote.
const TOLERANCE_MS: i64 = 60_000;

/// The trails; clones are the same.
#[derive(Clone, Debug)]
pub struct SharedTrail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: RedisConfig,
    standing: Mutex<TrailStanding>,
}

/// How a gateway's entries get to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TrailStanding {
    /// How many of the entries since the start Redis has.
    sent: u64,
    /// Why the others cannot be sent now.
    trouble: Option<String>,
}

/// Why a round of sending has ended.
#[derive(Debug, thiserror::Error)]
enum SendFailure {
    #[error(transparent)]
    Redis(#[from] RedisFailure),
    #[error(transparent)]
    Trail(#[from] QueryError),
    #[error("a task has ended early")]
    Panicked,
}

impl SharedTrail {
    pub(super) fn new(config: RedisConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            standing: Mutex::default(),
        }))
    }

    /// Begins to send a gateway's own entries.
    pub(in crate::state) fn start(&self, audit: &Audit, control: &Handle) {
        control.spawn(self.clone().send_all(audit.clone()));
    }

    /// How many entries since the start the others cannot see yet, and why, if there is a reason.
    pub fn waiting(&self, audit: &Audit) -> (u64, Option<String>) {
        let written: u64 = audit.figures().written.values().sum();
        let standing = self.standing().clone();
        (written.saturating_sub(standing.sent), standing.trouble)
    }

    /// The entries of all gateways that are asked for, in the order in which they came to Redis, the newest last. `None`: Redis
    /// cannot say, or it does not keep what is asked for any more.
    pub async fn find(&self, audit: &Audit, query: &Query) -> Option<Vec<Arc<str>>> {
        let search = timeout(SEARCHING, self.search(audit, query)).await;
        match search.unwrap_or(Err(RedisFailure::Silent(SEARCHING).into())) {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::debug!("the audit trails of all gateways cannot be shown: {error}");
                None
            }
        }
    }

    async fn search(&self, audit: &Audit, query: &Query) -> Result<Vec<Arc<str>>, SendFailure> {
        let mut stream = TrailStream::open(&self.0.config).await?;
        let mut search = Search::of_several(query);
        // First: what is sent meanwhile is in both, and counts once.
        let own = unsent(audit, &mut stream).await?;
        let mut known = BTreeSet::new();
        let mut flow = ControlFlow::Continue(());
        for line in own.iter().rev() {
            known.extend(id(line));
            flow = search.look(line.as_bytes());
            if flow.is_break() {
                break;
            }
        }
        let mut place: Option<String> = None;
        while flow.is_continue() {
            let page = stream.before(place.as_deref()).await?;
            let is_last = page.len() < PAGE;
            for read in &page {
                let is_new = id(&read.line).is_none_or(|id| !known.contains(&id));
                if is_new && flow.is_continue() {
                    flow = search.look(read.line.as_bytes());
                }
            }
            let oldest = page.last();
            let is_before =
                oldest.is_some_and(|read| is_long_before(read.came_at_unix_ms(), query));
            if is_last || is_before {
                break;
            }
            place = oldest.map(|read| read.place.clone());
        }
        Ok(search.end()?)
    }

    async fn send_all(self, audit: Audit) {
        loop {
            let Err(failure) = self.send(&audit).await;
            let trouble =
                format!("entries of the audit trail cannot be stored in Redis: {failure}");
            let before = self.standing().trouble.replace(trouble.clone());
            if before.as_ref() != Some(&trouble) {
                tracing::warn!("{trouble}; they wait on the disk");
            }
            sleep(RETRY).await;
        }
    }

    /// Sends entries for as long as nothing fails.
    async fn send(&self, audit: &Audit) -> Result<Infallible, SendFailure> {
        let mut stream = TrailStream::open(&self.0.config).await?;
        let mut sent: Option<String> = None;
        loop {
            let written: u64 = audit.figures().written.values().sum();
            let batch = match &sent {
                None => unsent(audit, &mut stream).await?,
                Some(last) => since(audit, last, BATCH).await?,
            };
            for piece in batch.chunks(BATCH) {
                enter(&mut stream, piece).await?;
            }
            if let Some(last) = batch.last() {
                sent = id(last);
                continue;
            }
            let trouble = {
                let mut standing = self.standing();
                standing.sent = written;
                standing.trouble.take()
            };
            if trouble.is_some() {
                tracing::info!("Redis has all entries of the audit trail again");
            }
            if timeout(CHECKING, audit.grown().notified()).await.is_err() {
                // It may have lost them since.
                sent = None;
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, TrailStanding> {
        let standing = self.0.standing.lock();
        standing.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether entries that came to Redis then, and those before, are not asked for.
fn is_long_before(came_at_unix_ms: i64, query: &Query) -> bool {
    match &query.since {
        Some(Since::Moment(moment)) => {
            came_at_unix_ms < moment.as_millisecond().saturating_sub(TOLERANCE_MS)
        }
        _ => false,
    }
}

/// Adds entries, which may be of several trails of this gateway, one begun after the other.
async fn enter(stream: &mut TrailStream, lines: &[Arc<str>]) -> Result<(), RedisFailure> {
    let mut of_one: Vec<(u64, String)> = Vec::new();
    let mut chain: Option<String> = None;
    for line in lines {
        let Some((of, number)) = id(line).and_then(|id| split(&id)) else {
            continue;
        };
        if chain.as_ref() != Some(&of) {
            if let Some(chain) = chain.replace(of) {
                stream.add(&chain, &of_one).await?;
            }
            of_one.clear();
        }
        of_one.push((number, shortened(line)));
    }
    if let Some(chain) = chain {
        stream.add(&chain, &of_one).await?;
    }
    Ok(())
}

/// The gateway's own entries that Redis does not have yet, the newest last; the newest, where Redis does not know what it has.
async fn unsent(audit: &Audit, stream: &mut TrailStream) -> Result<Vec<Arc<str>>, SendFailure> {
    let newest = find(audit, None, 1).await?;
    let Some((chain, number)) = newest.last().and_then(|line| split(&id(line)?)) else {
        return Ok(Vec::new());
    };
    let last = stream.last_of(&chain).await?;
    if last == number {
        return Ok(Vec::new());
    }
    if (1..number).contains(&last) {
        let after = Since::Entry(format!("{chain}-{last}"));
        match find(audit, Some(after), NEWEST).await {
            Err(SendFailure::Trail(QueryError::NoSuchEntry(_))) => {}
            found => return found,
        }
    }
    if last > number {
        tracing::warn!(
            "the audit trail is an older one than Redis knows: its newest entries are sent again"
        );
        stream.forget(&chain).await?;
    }
    find(audit, None, NEWEST).await
}

async fn since(audit: &Audit, last: &str, limit: usize) -> Result<Vec<Arc<str>>, SendFailure> {
    find(audit, Some(Since::Entry(last.to_owned())), limit).await
}

async fn find(
    audit: &Audit,
    since: Option<Since>,
    limit: usize,
) -> Result<Vec<Arc<str>>, SendFailure> {
    let audit = audit.clone();
    let query = Query {
        since,
        services: None,
        limit,
    };
    let found = spawn_blocking(move || audit.find(&query)).await;
    Ok(found.map_err(|_| SendFailure::Panicked)??)
}

/// The ID of an entry.
fn id(line: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Identified {
        id: String,
    }
    let identified: Identified = serde_json::from_str(line).ok()?;
    Some(identified.id)
}

/// The name of an entry's chain, and its number there.
fn split(id: &str) -> Option<(String, u64)> {
    let (chain, number) = id.split_once('-')?;
    Some((chain.to_owned(), number.parse().ok()?))
}

/// An entry as it is sent.
fn shortened(line: &str) -> String {
    if line.len() <= MAX_LINE {
        return line.to_owned();
    }
    let mut entry: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
    for name in ["before", "after"] {
        let left_out = json!({ "left_out": "it is in the trail of the gateway that wrote it" });
        entry.insert(name.to_owned(), left_out);
    }
    Value::Object(entry).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_LINE, id, shortened, split};

    #[test]
    fn of_a_large_entry_it_is_sent_who_did_what() {
        let small = json!({ "id": "0a0b0c0d-7", "after": "x" }).to_string();
        assert_eq!(shortened(&small), small);
        let large = json!({ "id": "0a0b0c0d-7", "before": 1, "after": "x".repeat(MAX_LINE) });
        let sent = shortened(&large.to_string());
        assert!(sent.len() < 1_000, "{sent}");
        assert_eq!(
            id(&sent).and_then(|id| split(&id)),
            Some(("0a0b0c0d".to_owned(), 7))
        );
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert!(sent["after"]["left_out"].is_string(), "{sent}");
    }
}
