//! What the configuration says of the Redis that gateways share.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;

use super::flag_server::Secret;

/// The port of a URL that names none.
const PORT: u16 = 6379;
/// The longest prefix, in bytes: every key has it.
const MAX_PREFIX: usize = 100;

/// `redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is.
    pub url: RedisUrls,
    /// What all keys begin with.
    pub prefix: Arc<str>,
    /// How `rediss://` is spoken.
    pub tls: RedisTls,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisUrls {
    /// One server.
    One(RedisUrl),
    /// Nodes of a Redis Cluster, by which the others are found; at least one.
    Cluster(Vec<RedisUrl>),
}

/// The files of `redis.tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Who may vouch for the server; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A URL, which may have a password in it: only host, port and database are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    whole: Secret,
    shown: Box<str>,
    is_tls: bool,
    database: u16,
}

impl RedisUrls {
    /// All that are stated.
    pub fn all(&self) -> &[RedisUrl] {
        match self {
            Self::One(url) => std::slice::from_ref(url),
            Self::Cluster(urls) => urls,
        }
    }
}

impl fmt::Display for RedisUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, url) in self.all().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{url}")?;
        }
        Ok(())
    }
}

impl RedisUrl {
    /// Reads `redis://` or `rediss://`, with user and password or without, a host, and perhaps a port and a database.
    ///
    /// # Errors
    /// How such a URL is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "as in redis://redis.default.svc:6379/0";
        if text.contains(['#', '?']) {
            return Err(format!("it ends with the number of a database, {form}"));
        }
        let uri: Uri = text.parse().map_err(|_| form.to_owned())?;
        let (scheme, is_tls) = match uri.scheme_str() {
            Some("redis") => ("redis", false),
            Some("rediss") => ("rediss", true),
            _ => return Err("it begins with redis:// or rediss://".to_owned()),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| format!("it names a host, {form}"))?;
        // A port that is none is left out by the parser; in a URL it must not be lost silently.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let after_host = authority.rsplit_once(host).map_or("", |(_, rest)| rest);
        let port = match after_host.strip_prefix(':') {
            None => PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or("its port is a number up to 65535")?,
        };
        let database: u16 = match uri.path().trim_matches('/') {
            "" => 0,
            number => number
                .parse()
                .map_err(|_| "its path is the number of a database".to_owned())?,
        };
        Ok(Self {
            whole: Secret::new(text),
            shown: format!("{scheme}://{host}:{port}/{database}").into(),
            is_tls,
            database,
        })
    }

    /// All of it, for the client that connects.
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }

    /// The number of the database.
    pub fn database(&self) -> u16 {
        self.database
    }

    /// Whether it is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Reads what all keys begin with.
pub(crate) fn prefix(text: &str) -> Result<Arc<str>, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    // Keys of one kind must be in one slot of a cluster, whose mark is between braces.
    if text.is_empty() || text.len() > MAX_PREFIX || !is_plain || text.contains(['{', '}']) {
        return Err(format!(
            "at most {MAX_PREFIX} visible ASCII characters, without braces"
        ));
    }
    Ok(text.into())
}
