//! How a Redis is spoken to, by what the configuration says, and what may go wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, ProtocolVersion,
    RedisError, ServerErrorKind, TlsCertificates,
};
use tokio::task::spawn_blocking;

use crate::config::redis::{RedisConfig, RedisTls, RedisUrl};

/// For how long what has been sent may stay without a word from the other side's kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// Why Redis cannot be reached, or does not do what it is asked to do. After any of them the connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedisFailure {
    /// As the client says it.
    #[error("{error}{}", hint(error))]
    Client {
        /// The error.
        #[from]
        error: RedisError,
    },
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// What is wrong with the cluster.
    #[error("{0}")]
    Cluster(&'static str),
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

impl RedisFailure {
    /// Whether the other side has closed the connection, which it says by a message, by an end, or by a reset.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Client { error } => error.is_connection_dropped(),
            _ => false,
        }
    }
}

/// How a server is spoken to.
pub(super) fn info(url: &RedisUrl) -> Result<ConnectionInfo, RedisFailure> {
    let info: ConnectionInfo = url.expose().into_connection_info()?;
    let tcp = info.tcp_settings().clone();
    let tcp = tcp.set_nodelay(true).set_user_timeout(UNACKNOWLEDGED);
    let redis = info.redis_settings().clone();
    let redis = redis
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("serin", env!("CARGO_PKG_VERSION"));
    Ok(info.set_tcp_settings(tcp).set_redis_settings(redis))
}

/// A client by the files that there are now: certificates are replaced while the gateway runs.
pub(super) async fn client(
    config: &RedisConfig,
    info: ConnectionInfo,
) -> Result<Client, RedisFailure> {
    if !config.url.all().iter().any(RedisUrl::is_tls) {
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

/// What to do about it.
fn hint(error: &RedisError) -> &'static str {
    const RIGHTS: &str = "; the user needs TIME, and scripts, hashes, streams, strings, SUBSCRIBE and PUBLISH for the keys and channels under `redis.prefix`";
    const CLUSTER: &str = "; another node of a Redis Cluster has Serin's keys: `redis.url` is a list of its nodes then";
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => RIGHTS,
        // What a script may not do is no kind of its own.
        ErrorKind::Server(ServerErrorKind::ResponseError) if is_denied(error) => RIGHTS,
        ErrorKind::Server(ServerErrorKind::Moved) => CLUSTER,
        _ => "",
    }
}

fn is_denied(error: &RedisError) -> bool {
    const WORDS: [&str; 2] = ["no permissions to run", "can't run this command"];
    let detail = error.detail();
    detail.is_some_and(|detail| WORDS.iter().any(|words| detail.contains(words)))
}
