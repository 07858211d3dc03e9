//! `admin`: where the gateway is asked about itself, and by whom.

use std::net::SocketAddr;
use std::sync::Arc;

use super::tls::ListenerTls;
use super::token::Token;
use crate::host::HostPattern;

/// `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where the API is, with probes and metrics; never empty.
    pub addresses: Vec<SocketAddr>,
    /// Where probes and metrics are alone, with connections of their own.
    pub probes: Vec<SocketAddr>,
    /// The names that the API answers to, beside `localhost` and IP addresses.
    pub hosts: Vec<HostPattern>,
    /// What the API's addresses speak TLS with; `None`: they speak plain HTTP. Those for probes always do.
    pub tls: Option<ListenerTls>,
    /// Who may ask, in the file's order. Empty: callers on this machine, for everything.
    pub tokens: Arc<[AdminToken]>,
}

impl AdminConfig {
    /// Everything at one address, and no tokens.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            addresses: vec![address],
            probes: Vec::new(),
            hosts: Vec::new(),
            tls: None,
            tokens: Arc::default(),
        }
    }
}

/// One entry of `admin.tokens`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// What its bearer is called in logs, events and the API.
    pub name: Arc<str>,
    /// What its bearer may do.
    pub role: Role,
    /// The services that it may do so with; `None`: all.
    pub services: Option<Arc<[Arc<str>]>>,
    /// The token.
    pub token: Token,
}

/// What a caller of the admin API may do. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Registers, renews and takes back canaries.
    Registrar,
    /// Kills and restores canaries, opens and closes rings.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Registrar, Self::Operator, Self::Admin];

    /// Its name in `routes.yaml` and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Registrar => "registrar",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}
