//! The stream in Redis that has the last entries of every gateway's audit trail, in the order in which they came there.

use std::time::Duration;

use redis::Script;
use redis::aio::MultiplexedConnection;

use super::aside::connect;
use super::client::RedisFailure;
use super::wire::{ENTER, Names};
use crate::config::redis::RedisConfig;

/// How many entries Redis keeps, of all gateways, and a few more.
const KEPT: usize = 10_000;
/// For how long it is known of a trail how much of it is there: 30 days after its last entry.
const KNOWN_SECONDS: u64 = 30 * 24 * 3600;
/// How many entries are read at a time.
pub(super) const PAGE: usize = 500;
/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection to it.
pub(super) struct TrailStream {
    inner: MultiplexedConnection,
    names: Names,
}

/// An entry that was read.
pub(super) struct Read {
    /// Its place in the stream, `<milliseconds since 1970 by Redis' clock>-<number>`.
    pub(super) place: String,
    pub(super) line: String,
}

impl Read {
    /// When it came to Redis.
    pub(super) fn came_at_unix_ms(&self) -> i64 {
        let (ms, _) = self.place.split_once('-').unwrap_or_default();
        ms.parse().unwrap_or(i64::MAX)
    }
}

impl TrailStream {
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, RedisFailure> {
        let (inner, names) = connect(config, PATIENCE).await?;
        Ok(Self { inner, names })
    }

    /// The number of the last entry of a trail that is there; 0: none is known.
    pub(super) async fn last_of(&mut self, chain: &str) -> Result<u64, RedisFailure> {
        let asked = redis::Cmd::get(self.names.trail_of(chain));
        let last: Option<u64> = asked.query_async(&mut self.inner).await?;
        Ok(last.unwrap_or_default())
    }

    /// Forgets how much of a trail is there: it has begun again with a lower number.
    pub(super) async fn forget(&mut self, chain: &str) -> Result<(), RedisFailure> {
        let asked = redis::Cmd::del(self.names.trail_of(chain));
        asked.query_async::<i64>(&mut self.inner).await?;
        Ok(())
    }

    /// Adds entries of one trail, by their numbers, those aside that are there.
    pub(super) async fn add(
        &mut self,
        chain: &str,
        entries: &[(u64, String)],
    ) -> Result<(), RedisFailure> {
        let script = Script::new(ENTER);
        let mut script = script.prepare_invoke();
        script
            .key(self.names.trail())
            .key(self.names.trail_of(chain))
            .arg(KEPT)
            .arg(KNOWN_SECONDS);
        for (number, line) in entries {
            script.arg(number).arg(line);
        }
        script.invoke_async::<i64>(&mut self.inner).await?;
        Ok(())
    }

    /// The entries before a place, the newest first; `None`: the newest of all.
    pub(super) async fn before(&mut self, place: Option<&str>) -> Result<Vec<Read>, RedisFailure> {
        let from = place.map_or_else(|| "+".to_owned(), |place| format!("({place}"));
        let mut asked = redis::cmd("XREVRANGE");
        asked.arg(self.names.trail()).arg(from).arg("-");
        asked.arg("COUNT").arg(PAGE);
        let found: Vec<(String, Vec<(String, String)>)> =
            asked.query_async(&mut self.inner).await?;
        let read = found.into_iter().filter_map(|(place, fields)| {
            let (_, line) = fields.into_iter().find(|(name, _)| name == "line")?;
            Some(Read { place, line })
        });
        Ok(read.collect())
    }
}
