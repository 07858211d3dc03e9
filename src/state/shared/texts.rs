//! Large texts that stand in Redis beside the records, the last good flags of each flag server: each in a hash of its own, and
//! over connections of their own, so that no kill waits for one.

use std::time::Duration;

use redis::Script;
use tokio::time::timeout;

use super::aside::connect;
use super::client::RedisFailure;
use super::wire::KEEP;
use crate::config::redis::RedisConfig;

/// How long all of a write may take.
const WRITING: Duration = Duration::from_secs(10);
/// How long a text stays that nobody writes again.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The texts; clones are the same.
#[derive(Clone, Debug)]
pub struct SharedTexts {
    config: RedisConfig,
}

/// Why a text could not be written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TextFailure(#[from] RedisFailure);

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub struct SharedText<'a> {
    /// By what name.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// Tells it from others.
    pub digest: &'a str,
    /// As of when it is known to be right, in milliseconds since 1970; a later one is never replaced.
    pub at_unix_ms: i64,
    /// The same text need not be written again before it is so much older.
    pub lasts: Duration,
}

impl SharedTexts {
    pub(super) fn new(config: RedisConfig) -> Self {
        Self { config }
    }

    /// The texts of these names; none of them if it takes longer than `patience`, or fails.
    pub async fn read(&self, names: &[&str], patience: Duration) -> Vec<Option<String>> {
        if names.is_empty() {
            return Vec::new();
        }
        let read = timeout(patience, self.read_all(names)).await;
        match read.unwrap_or(Err(RedisFailure::Silent(patience))) {
            Ok(texts) => texts,
            Err(error) => {
                tracing::warn!("the flags that are stored in Redis cannot be read: {error}");
                Vec::new()
            }
        }
    }

    /// Writes a text, unless the same or a later one is there.
    ///
    /// # Errors
    /// Why it could not be written.
    pub async fn write(&self, text: SharedText<'_>) -> Result<(), TextFailure> {
        let written = timeout(WRITING, self.write_now(text)).await;
        Ok(written.unwrap_or(Err(RedisFailure::Silent(WRITING)))?)
    }

    async fn read_all(&self, names: &[&str]) -> Result<Vec<Option<String>>, RedisFailure> {
        let (mut connection, keys) = connect(&self.config, WRITING).await?;
        let mut asked = redis::pipe();
        for name in names {
            asked.hget(keys.text(name), "text");
        }
        Ok(asked.query_async(&mut connection).await?)
    }

    async fn write_now(&self, text: SharedText<'_>) -> Result<(), RedisFailure> {
        let (mut connection, keys) = connect(&self.config, WRITING).await?;
        let key = keys.text(text.name);
        // Most often another gateway has written it already.
        let asked = redis::Cmd::hmget(&key, &["at", "digest"]);
        let (at, digest): (Option<i64>, Option<String>) =
            asked.query_async(&mut connection).await?;
        let lasts = i64::try_from(text.lasts.as_millis()).unwrap_or(i64::MAX);
        let is_same = digest.as_deref() == Some(text.digest);
        let is_known = |at: i64| {
            at >= text.at_unix_ms || (is_same && text.at_unix_ms.saturating_sub(at) < lasts)
        };
        if at.is_some_and(is_known) {
            return Ok(());
        }
        let kept = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
        let script = Script::new(KEEP);
        let mut script = script.prepare_invoke();
        script
            .key(key)
            .arg(text.at_unix_ms)
            .arg(text.digest)
            .arg(text.text)
            .arg(kept);
        script.invoke_async::<i64>(&mut connection).await?;
        Ok(())
    }
}
