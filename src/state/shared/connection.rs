//! One connection to Redis: commands go and come on it, and what other gateways have changed is told on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionInfo, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, PushKind, RedisError, Script, TlsCertificates, Value,
};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{error::Elapsed, timeout};

use super::change::Change;
use super::wire::{self, MEND, Message, Names, Owed, Stored, WRITE};
use crate::config::redis::{RedisConfig, RedisTls};
use crate::state::kind::{Kind, PerKind};

/// How long connecting may take, with TLS and all.
const CONNECTING: Duration = Duration::from_secs(2);
/// How long Redis may take to answer: one that is stopped, or behind a network that swallows everything, never does.
const ANSWERING: Duration = Duration::from_secs(1);
/// For how long what has been sent may stay without a word from the other side's kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);
/// How many changes of other gateways may wait; more are not lost, but read anew.
const WAITING: usize = 1024;

static WRITING: LazyLock<Script> = LazyLock::new(|| Script::new(WRITE));
static MENDING: LazyLock<Script> = LazyLock::new(|| Script::new(MEND));

/// Why Redis cannot be reached, or does not do what it is asked to do. After any of them the connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedisFailure {
    /// As the client says it.
    #[error("{0}")]
    Client(#[from] RedisError),
    /// No answer in time.
    #[error("no answer within {ANSWERING:?}")]
    Silent(#[from] Elapsed),
    /// A file of `redis.tls`.
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, io::Error),
    /// The connection was closed.
    #[error("the connection was closed")]
    Closed,
    /// It answers, but not as Redis does.
    #[error("an answer that cannot be understood")]
    Odd,
    /// The program's own fault, which has been logged.
    #[error("a task has ended early")]
    Panicked,
}

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
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, RedisFailure> {
        timeout(CONNECTING, Self::connect(config)).await?
    }

    async fn connect(config: &RedisConfig) -> Result<Self, RedisFailure> {
        let client = client(config).await?;
        let (push, told) = mpsc::channel(WAITING);
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(ANSWERING))
            .set_push_sender(move |info| push.try_send(info));
        let connecting = client.get_multiplexed_async_connection_with_config(&settings);
        let mut inner = connecting.await?;
        let names = Names::new(&config.prefix);
        inner.subscribe(names.channel()).await?;
        Ok(Self { inner, told, names })
    }

    /// Whether it answers.
    pub(super) async fn ping(&mut self) -> Result<(), RedisFailure> {
        let ping = redis::cmd("PING");
        let answer = ping.query_async::<String>(&mut self.inner);
        timeout(ANSWERING, answer).await??;
        Ok(())
    }

    /// Everything, as of one moment.
    pub(super) async fn read(&mut self) -> Result<PerKind<All>, RedisFailure> {
        let mut all = PerKind::default();
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for kind in Kind::ALL {
            pipeline.get(self.names.revision(kind));
            pipeline.hgetall(self.names.records(kind));
        }
        let asked = pipeline.query_async::<Vec<Value>>(&mut self.inner);
        let mut answers = timeout(ANSWERING, asked).await??.into_iter();
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
        let (result, first, second) = timeout(ANSWERING, asked).await??;
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
        timeout(ANSWERING, asked).await??;
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

fn odd<T>(_: T) -> RedisFailure {
    RedisFailure::Odd
}

/// A client by the files that there are now: certificates are replaced while the gateway runs.
async fn client(config: &RedisConfig) -> Result<Client, RedisFailure> {
    let info: ConnectionInfo = config.url.expose().into_connection_info()?;
    let tcp = info.tcp_settings().clone();
    let tcp = tcp.set_nodelay(true).set_user_timeout(UNACKNOWLEDGED);
    let redis = info.redis_settings().clone();
    let redis = redis
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("serin", env!("CARGO_PKG_VERSION"));
    let info = info.set_tcp_settings(tcp).set_redis_settings(redis);
    if !config.url.is_tls() {
        return Ok(Client::open(info)?);
    }
    let tls = config.tls.clone();
    let build = move || {
        let certificates = certificates(&tls)?;
        // Which one it is goes without saying only as long as no other crate brings a second one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Client::build_with_tls(info, certificates)?)
    };
    // It reads files: those of the system too.
    spawn_blocking(build)
        .await
        .unwrap_or(Err(RedisFailure::Panicked))
}

fn certificates(tls: &RedisTls) -> Result<TlsCertificates, RedisFailure> {
    let read =
        |path: &Path| fs::read(path).map_err(|error| RedisFailure::File(path.to_owned(), error));
    let client = |(certificate, key): &(PathBuf, PathBuf)| {
        Ok::<_, RedisFailure>(ClientTlsConfig {
            client_cert: read(certificate)?,
            client_key: read(key)?,
        })
    };
    Ok(TlsCertificates {
        client_tls: tls.client.as_ref().map(client).transpose()?,
        root_cert: tls.ca.as_deref().map(read).transpose()?,
    })
}
