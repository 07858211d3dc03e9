//! `routes.yaml`: document, checked, compiled.

pub mod admin;
pub mod attribution;
pub mod client_api;
pub mod compile;
pub mod diagnostic;
pub mod document;
pub mod fingerprint;
pub mod flag_server;
pub mod interpolate;
pub mod kept;
pub mod keys;
pub mod listener;
pub mod lookalikes;
pub mod node;
pub mod problems;
pub mod reader;
pub mod redis;
pub mod render;
pub mod schema;
pub mod section;
pub mod source;
pub mod structure;
pub mod tls;
pub mod token;
pub mod traces;
pub mod unleash;
pub mod value;
pub mod yaml;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::cluster::UpstreamUrl;
use crate::cluster::policy::{UpstreamPolicy, UrlPolicy};
use crate::digest::Digest;
use crate::engine::{Flag, Segment};
use crate::flag::{Glob, Share};
use crate::identity;
use crate::mirror::MirrorPolicy;
use crate::request::limits::RequestLimits;
use crate::request::pace::BodyRate;
use crate::route::Route;
use admin::AdminConfig;
use attribution::{AttributionConfig, Lanes};
use client_api::ClientApiConfig;
pub use compile::compile;
use diagnostic::Findings;
use flag_server::StalenessPolicy;
use listener::ListenerConfig;
use redis::RedisConfig;
use source::SourceConfig;
use tls::StatedFile;
use traces::TracingConfig;
use unleash::UnleashConfig;

/// A file, compiled: what the publisher makes snapshots from, and what the process is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// `services`, in file order.
    pub services: Vec<ServiceConfig>,
    /// `flags`, by name.
    pub flags: Vec<Arc<Flag>>,
    /// `segments`, by name.
    pub segments: Vec<Arc<Segment>>,
    /// `routes`, in file order.
    pub routes: Vec<Route>,
    /// `identity`, with `server.trusted_proxies`.
    pub identity: identity::Rules,
    /// The files with keys of users' tokens that `identity` names.
    pub key_sets: Vec<StatedFile>,
    /// `canary_urls`.
    pub canary_urls: UrlPolicy,
    /// `unleash`, in order of precedence.
    pub unleash: Vec<UnleashConfig>,
    /// How outages of flag servers are met.
    pub outages: StalenessPolicy,
    /// `registry`.
    pub registry: RegistryConfig,
    /// `client_api`; `None`: it is off.
    pub client_api: Option<Arc<ClientApiConfig>>,
    /// `attribution.lanes`.
    pub lanes: Lanes,
    /// `logging`.
    pub logging: Logging,
    /// `server.limits` and `server.timeouts`.
    pub traffic: Traffic,
    /// `tracing`; `None`: it is off.
    pub tracing: Option<Arc<TracingConfig>>,
    /// What takes a restart to change.
    pub process: Process,
    /// The hash of everything that decides about requests.
    pub digest: Digest,
    /// What is odd, but no error.
    pub warnings: Findings,
}

impl Config {
    /// Every flag server, in order of precedence.
    pub fn sources(&self) -> impl Iterator<Item = SourceConfig> + '_ {
        self.unleash.iter().cloned().map(SourceConfig::Unleash)
    }

    /// Whether snapshots of both carry the same beside what decides, which the digest is of. Every field says here which
    /// of the scopes ([`keys::shape::Scope`]) its keys have.
    pub fn carries_the_same(&self, other: &Self) -> bool {
        let Self {
            logging,
            traffic,
            tracing,
            // Requests are decided by these: they are in the digest.
            services: _,
            flags: _,
            segments: _,
            routes: _,
            identity: _,
            canary_urls: _,
            client_api: _,
            lanes: _,
            digest: _,
            // No snapshot has these.
            key_sets: _,
            unleash: _,
            outages: _,
            registry: _,
            process: _,
            warnings: _,
        } = self;
        *logging == other.logging && *traffic == other.traffic && *tracing == other.tracing
    }
}

/// `registry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    /// `ttl`.
    pub ttl: LeaseTimes,
}

/// How long a registration lasts that is not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// One that does not say it.
    pub default: Duration,
    /// At most.
    pub max: Duration,
}

/// One entry of `services`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Its stable deployment; `None`: where a flag server's flag says it is.
    pub stable: Option<UpstreamUrl>,
    /// Which flags are its canary flags, in order of precedence.
    pub canaries: Vec<Glob>,
    /// How its upstreams are spoken to.
    pub upstream: UpstreamPolicy,
    /// The files that `stable.tls` names, each with its place in the configuration.
    pub tls_files: Vec<StatedFile>,
    /// `shutoff`.
    pub shutoff: Option<ShutoffConfig>,
    /// `mirror`.
    pub mirror: Option<Arc<MirrorPolicy>>,
}

/// `shutoff` of a service: who the flag is on for is answered without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutoffConfig {
    /// The flag's name.
    pub flag: Arc<str>,
    /// What is answered.
    pub respond: ShutoffResponse,
}

/// What is answered in place of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutoffResponse {
    /// The status.
    pub status: StatusCode,
    /// When to come back, in whole seconds.
    pub retry_after: Option<u64>,
    /// The body, as text.
    pub body: Box<str>,
}

/// What takes a restart to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Where end users' traffic is taken.
    pub listeners: Vec<ListenerConfig>,
    /// `admin`.
    pub admin: AdminConfig,
    /// Worker threads; 0: one per core.
    pub threads: usize,
    /// Where what must survive a restart is kept.
    pub state_dir: PathBuf,
    /// What gateways share; `None`: this one has its state for itself.
    pub redis: Option<RedisConfig>,
    /// `attribution`, but for its lanes.
    pub attribution: AttributionConfig,
    /// How long connections are still taken after SIGTERM.
    pub shutdown_delay: Duration,
    /// How long, at most, what is running may go on after that.
    pub shutdown_grace: Duration,
}

/// `server.limits` and `server.timeouts`: how much one client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// How large a request may be.
    pub request: RequestLimits,
    /// How many connections may be open, on all listeners together; `None`: as many as there are files for, and
    /// [`CONNECTIONS`](crate::capacity::CONNECTIONS) at most.
    pub connections: Option<usize>,
    /// How many of them one client may have; `None`: [`Shares::of_client`](crate::capacity::Shares::of_client).
    pub connections_per_client: Option<usize>,
    /// How many requests one client may have open over HTTP/2.
    pub streams_per_client: usize,
    /// How many requests one connection may have open over HTTP/2 (SETTINGS_MAX_CONCURRENT_STREAMS).
    pub streams_per_connection: u32,
    /// After how many requests a connection is closed.
    pub requests_per_connection: u32,
    /// From a head's first byte to its last.
    pub header_read: Duration,
    /// How long a connection may be open without a request.
    pub idle: Duration,
    /// How long the next piece of a body may take to come.
    pub body_read: Duration,
    /// How fast a body has to come; `None`: as slowly as it likes.
    pub body_rate: Option<BodyRate>,
    /// How long a client may take nothing of what is written to it.
    pub write: Duration,
}

/// `logging`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// The least severe level that is written.
    pub level: Level,
    /// How Serin's own log lines look.
    pub format: LogFormat,
    /// Which requests the access log has; 5xx and rescues always, unless off.
    pub access: AccessPolicy,
    /// What stands for the user.
    pub user_id: UserIdPolicy,
    /// Whether responses carry the request's ID.
    pub expose_request_id: bool,
}

/// A log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How Serin's own log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Which requests the access log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessPolicy {
    /// None.
    Off,
    /// This part of them, and every 5xx and rescue.
    Sampled(Share),
    /// Every one.
    All,
}

/// What stands for the user in the access log.
#[derive(Clone, PartialEq, Eq)]
pub enum UserIdPolicy {
    /// Nothing.
    Omit,
    /// The ID itself.
    Plain,
    /// HMAC-SHA-256 of the ID under this key, in hexadecimal.
    Hash(Box<[u8]>),
    /// The same under a key that the gateway makes and keeps; it puts it in before it uses this.
    HashUnderOwnKey,
}

// The key is a secret: it must not appear in any output.
impl std::fmt::Debug for UserIdPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Omit => "Omit",
            Self::Plain => "Plain",
            Self::Hash(_) => "Hash(…)",
            Self::HashUnderOwnKey => "HashUnderOwnKey",
        })
    }
}

/// What `${NAME}` and `${file:…}` are read from.
pub trait Environment {
    /// The value of an environment variable; `None` when it is unset or not UTF-8.
    fn variable(&self, name: &str) -> Option<String>;
    /// The content of a secret's file.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// What becomes of a variable that is not set, or a secret's file that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnset {
    /// It is an error: `run`, and every reload.
    Refuse,
    /// It is a warning, and a placeholder stands for it: `check` and `explain`.
    StandIn,
}

#[cfg(test)]
mod tests;
