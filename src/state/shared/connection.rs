//! One connection to Redis: commands go and come on it, and what other gateways have changed is told on it.

use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisError, Script, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::change::Change;
use super::client::{RedisFailure, client, info};
use super::cluster::Nodes;
use super::wire::{self, MEND, Message, Names, Owed, PROBE, Stored, WRITE};
use crate::config::redis::{RedisConfig, RedisUrls};
use crate::context::Moment;
use crate::state::kind::{Kind, PerKind};

/// How long connecting may take, with TLS and all.
const CONNECTING: Duration = Duration::from_secs(2);
/// How long Redis may take to answer: one that is stopped, or behind a network that swallows everything, never does.
const ANSWERING: Duration = Duration::from_secs(1);
/// How many changes of other gateways may wait; more are not lost, but read anew.
const WAITING: usize = 1024;

static WRITING: LazyLock<Script> = LazyLock::new(|| Script::new(WRITE));
static PROBING: LazyLock<Script> = LazyLock::new(|| Script::new(PROBE));
static MENDING: LazyLock<Script> = LazyLock::new(|| Script::new(MEND));

/// What has come of a conditional write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is done, as of this revision; the last change before it was of the other.
    Stored { after: u64, revision: u64 },
    /// The record of this key is not what was expected.
    Changed(String),
}

/// All that stands in Redis of a kind, and the revision of its last change.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) revision: u64,
    pub(super) records: Vec<(String, Stored)>,
}

pub(super) struct Connection {
    inner: MultiplexedConnection,
    told: mpsc::Receiver<PushInfo>,
    names: Names,
}

impl Connection {
    /// Connects, and is told of every change from then on.
    pub(super) async fn open(
        config: &RedisConfig,
        nodes: &mut Nodes,
    ) -> Result<Self, RedisFailure> {
        let connected = timeout(CONNECTING, Self::connect(config, nodes)).await;
        connected.unwrap_or(Err(RedisFailure::Silent(CONNECTING)))
    }

    async fn connect(config: &RedisConfig, nodes: &mut Nodes) -> Result<Self, RedisFailure> {
        let names = Names::new(&config.prefix);
        let info = match &config.url {
            RedisUrls::One(url) => info(url)?,
            RedisUrls::Cluster(urls) => {
                let key = names.records(Kind::Kills);
                nodes.master_of(&key, config, urls).await?
            }
        };
        let client = client(config, info).await?;
        let (push, told) = mpsc::channel(WAITING);
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(ANSWERING))
            .set_push_sender(move |info| push.try_send(info));
        let connecting = client.get_multiplexed_async_connection_with_config(&settings);
        let mut inner = connecting.await?;
        inner.subscribe(names.channel()).await?;
        Ok(Self { inner, told, names })
    }

    /// What time it is there, which says as well that it answers.
    pub(super) async fn time(&mut self) -> Result<Moment, RedisFailure> {
        let time = redis::cmd("TIME");
        let asked = time.query_async::<(i64, i64)>(&mut self.inner);
        let (seconds, microseconds) = in_time(asked).await?;
        Ok(Moment {
            unix_ms: seconds
                .saturating_mul(1000)
                .saturating_add(microseconds / 1000),
        })
    }

    /// The revision of the last change of each kind. A cluster's node that has our keys no longer refuses to say it.
    pub(super) async fn revisions(&mut self) -> Result<PerKind<u64>, RedisFailure> {
        let mut pipeline = redis::pipe();
        for kind in Kind::ALL {
            pipeline.get(self.names.revision(kind));
        }
        let asked = pipeline.query_async::<Vec<Option<u64>>>(&mut self.inner);
        let mut answers = in_time(asked).await?.into_iter();
        let mut revisions = PerKind::default();
        for kind in Kind::ALL {
            let revision = answers.next().ok_or(RedisFailure::Odd)?;
            *revisions.get_mut(kind) = revision.unwrap_or_default();
        }
        Ok(revisions)
    }

    /// Everything: the records of a kind as of the revision that is read before them, or of a later one. It is no transaction, of
    /// which a Redis that is full queues nothing, not even what only reads.
    pub(super) async fn read(&mut self) -> Result<PerKind<All>, RedisFailure> {
        let mut all = PerKind::default();
        let mut pipeline = redis::pipe();
        for kind in Kind::ALL {
            pipeline.get(self.names.revision(kind));
            pipeline.hgetall(self.names.records(kind));
        }
        let asked = pipeline.query_async::<Vec<Value>>(&mut self.inner);
        let mut answers = in_time(asked).await?.into_iter();
        for kind in Kind::ALL {
            let (Some(revision), Some(records)) = (answers.next(), answers.next()) else {
                return Err(RedisFailure::Odd);
            };
            let revision: Option<u64> = redis::from_redis_value(revision).map_err(odd)?;
            let records: Vec<(String, String)> = redis::from_redis_value(records).map_err(odd)?;
            let records = records.into_iter();
            *all.get_mut(kind) = All {
                revision: revision.unwrap_or_default(),
                records: records
                    .map(|(key, text)| (key, Stored::read(&text)))
                    .collect(),
            };
        }
        Ok(all)
    }

    /// Whether it takes what it is given.
    pub(super) async fn probe(&mut self) -> Result<(), RedisFailure> {
        let mut script = PROBING.prepare_invoke();
        script.key(self.names.probe()).arg(self.names.probe());
        in_time(script.invoke_async::<i64>(&mut self.inner)).await?;
        Ok(())
    }

    /// Carries out all of `changes` or none of them.
    pub(super) async fn write(
        &mut self,
        kind: Kind,
        changes: &[Change],
        highest: u64,
    ) -> Result<Written, RedisFailure> {
        let mut script = WRITING.prepare_invoke();
        script
            .key(self.names.records(kind))
            .key(self.names.revision(kind))
            .arg(self.names.channel())
            .arg(kind.name())
            .arg(highest)
            .arg(wire::told(changes));
        for change in changes {
            let record = change.record.as_ref().map(ToString::to_string);
            script
                .arg(&change.key)
                .arg(change.expected.written())
                .arg(record.unwrap_or_default());
        }
        let asked = script.invoke_async::<(String, String, String)>(&mut self.inner);
        let (result, first, second) = in_time(asked).await?;
        if result == "changed" {
            return Ok(Written::Changed(first));
        }
        match (first.parse(), second.parse()) {
            (Ok(after), Ok(revision)) => Ok(Written::Stored { after, revision }),
            _ => Err(RedisFailure::Odd),
        }
    }

    /// Gives Redis what it lacks.
    pub(super) async fn mend(
        &mut self,
        kind: Kind,
        owed: &[Owed],
        highest: u64,
    ) -> Result<(), RedisFailure> {
        let mut script = MENDING.prepare_invoke();
        script
            .key(self.names.records(kind))
            .key(self.names.revision(kind))
            .arg(self.names.channel())
            .arg(kind.name())
            .arg(highest);
        for Owed {
            key,
            revision,
            record,
        } in owed
        {
            script.arg(key).arg(revision).arg(record);
        }
        let asked = script.invoke_async::<i64>(&mut self.inner);
        in_time(asked).await?;
        Ok(())
    }

    /// The next change that is told of; `None`: something was told that cannot be read, so that it must be read what there is.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, RedisFailure> {
        loop {
            let PushInfo { kind, data } = self.told.recv().await.ok_or(RedisFailure::Closed)?;
            match kind {
                PushKind::Message => {
                    // The channel, and what was said on it.
                    let text = data.into_iter().nth(1).ok_or(RedisFailure::Odd)?;
                    let text: String = redis::from_redis_value(text).map_err(odd)?;
                    return Ok(Message::read(&text));
                }
                PushKind::Disconnection => return Err(RedisFailure::Closed),
                _ => {}
            }
        }
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisFailure> {
    let answered = timeout(ANSWERING, answer).await;
    Ok(answered.map_err(|_| RedisFailure::Silent(ANSWERING))??)
}

fn odd<T>(_: T) -> RedisFailure {
    RedisFailure::Odd
}
