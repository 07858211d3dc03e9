//! Upstreams: the URL a deployment has, and the handle to the addresses it stands for.
//!
//! A [`Cluster`] outlives the snapshots that point to it: a swap resets neither addresses nor counts.

pub mod policy;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/2 in the clear, with prior knowledge.
    H2c,
}

/// The host of an upstream: an address, or a name that the resolver looks up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamHost {
    /// A literal address.
    Address(IpAddr),
    /// A DNS name, in lower case.
    Name(Box<str>),
}

/// An upstream's URL: scheme, host and port, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    scheme: Scheme,
    host: UpstreamHost,
    port: u16,
}

/// Why a text is not an [`UpstreamUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamUrlError {
    /// There is no scheme.
    #[error("an upstream is a URL such as http://name:8080")]
    NoScheme,
    /// The scheme is part of the contract but not built.
    #[error("the scheme {0}:// is not supported yet")]
    NotYet(String),
    /// The scheme is unknown.
    #[error("the scheme of an upstream is http or h2c, not {0}")]
    Scheme(String),
    /// There is a user name or password.
    #[error("an upstream URL has no user name and no password")]
    Credentials,
    /// There is a path, a query or a fragment.
    #[error("an upstream URL has no path; use a route's rewrite")]
    Path,
    /// The host is empty or has forbidden characters.
    #[error("{0:?} is not a host name")]
    Host(String),
    /// The port is not 1 to 65535.
    #[error("{0:?} is not a port (1 to 65535)")]
    Port(String),
}

impl UpstreamUrl {
    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Address or name.
    pub fn host(&self) -> &UpstreamHost {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a `Host` header for this URL says: the port only where it is not the scheme's default.
    pub fn authority(&self) -> String {
        if self.port == 80 {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for UpstreamHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::H2c => "h2c",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(text: &str) -> Result<Self, UpstreamUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UpstreamUrlError::NoScheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "h2c" => Scheme::H2c,
            known @ ("https" | "srv+http") => {
                return Err(UpstreamUrlError::NotYet(known.to_owned()));
            }
            _ => return Err(UpstreamUrlError::Scheme(scheme.to_owned())),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if !path.is_empty() && path != "/" {
            return Err(UpstreamUrlError::Path);
        }
        if authority.contains('@') {
            return Err(UpstreamUrlError::Credentials);
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None => 80,
            Some(port) => port
                .parse()
                .ok()
                .filter(|&number| number != 0 && port.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| UpstreamUrlError::Port(port.to_owned()))?,
        };
        let bad_host = || UpstreamUrlError::Host(host.to_owned());
        let host = if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(bad_host)?;
            UpstreamHost::Address(IpAddr::V6(inner.parse().map_err(|_| bad_host())?))
        } else if let Ok(address) = host.parse::<IpAddr>() {
            UpstreamHost::Address(address)
        } else if is_host_name(host) {
            UpstreamHost::Name(host.trim_end_matches('.').to_ascii_lowercase().into())
        } else {
            return Err(bad_host());
        };
        Ok(Self { scheme, host, port })
    }
}

/// Splits `host:port`, `[v6]:port` or a bare host.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.bytes().rposition(|byte| byte == b':') {
        Some(at) if !authority[at..].contains(']') && !authority[..at].ends_with(':') => {
            (&authority[..at], Some(&authority[at + 1..]))
        }
        _ => (authority, None),
    }
}

/// Letters, digits, `-` and `_` in labels of 1 to 63, and not all digits (that would be a broken IPv4 address).
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric_end = host
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && host.split('.').all(label) && !numeric_end
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Balance {
    /// The one with fewer requests in flight, of two taken at random.
    #[default]
    LeastRequests,
    /// One after the other.
    RoundRobin,
}

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: SocketAddr,
    in_flight: AtomicU32,
}

impl Endpoint {
    /// Requests that are with it now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// An endpoint that a request is with: counted in flight until dropped.
#[derive(Debug)]
pub struct EndpointUse(Arc<Endpoint>);

impl EndpointUse {
    /// Where the endpoint is.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Drop for EndpointUse {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The upstream that a deployment's URL stands for.
#[derive(Debug)]
pub struct Cluster {
    /// Tells this cluster's pooled connections from every other's; never given twice in a process.
    pub id: u64,
    /// What it was made from.
    pub url: UpstreamUrl,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    settled: AtomicBool,
    turn: AtomicUsize,
}

impl Cluster {
    /// A cluster without addresses, unless the URL's host is one.
    pub fn new(id: u64, url: UpstreamUrl) -> Self {
        let literal = match url.host {
            UpstreamHost::Address(ip) => Some(SocketAddr::new(ip, url.port)),
            UpstreamHost::Name(_) => None,
        };
        let cluster = Self {
            id,
            url,
            endpoints: ArcSwap::default(),
            settled: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
        };
        if let Some(address) = literal {
            cluster.replace_endpoints(&[address]);
        }
        cluster
    }

    /// Sets the addresses; an address that stays keeps its counts.
    pub fn replace_endpoints(&self, addresses: &[SocketAddr]) {
        let old = self.endpoints.load();
        let mut next: Vec<Arc<Endpoint>> = addresses
            .iter()
            .map(|&address| {
                let kept = old.iter().find(|endpoint| endpoint.address == address);
                kept.cloned().unwrap_or_else(|| {
                    Arc::new(Endpoint {
                        address,
                        in_flight: AtomicU32::new(0),
                    })
                })
            })
            .collect();
        next.sort_by_key(|endpoint| endpoint.address);
        next.dedup_by_key(|endpoint| endpoint.address);
        self.endpoints.store(Arc::new(next));
        self.settle();
    }

    /// Notes that the first look-up has ended, well or not.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Whether the first look-up has ended.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// The addresses known now, in order.
    pub fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Chooses an endpoint, rather not one of `tried`, and counts the request in flight there. `random` is any
    /// number; only `LeastRequests` uses it. `None` when there is no address.
    pub fn pick(&self, balance: Balance, tried: &[SocketAddr], random: u64) -> Option<EndpointUse> {
        let all = self.endpoints.load();
        let fresh = |endpoint: &&Arc<Endpoint>| !tried.contains(&endpoint.address);
        let count = all.iter().filter(fresh).count();
        let nth = |n: usize| match count {
            0 => all.get(n % all.len()),
            _ => all.iter().filter(fresh).nth(n % count),
        };
        let chosen = match all.len() {
            0 => None,
            1 => all.first(),
            _ => match balance {
                Balance::RoundRobin => nth(self.turn.fetch_add(1, Ordering::Relaxed)),
                Balance::LeastRequests => {
                    let (low, high) = (random as u32 as usize, (random >> 32) as usize);
                    let choices = count.max(1);
                    // Two different ones: the second is one of those that the first is not.
                    let first = low % choices;
                    let second = (first + 1 + high % choices.saturating_sub(1).max(1)) % choices;
                    match (nth(first), nth(second)) {
                        (Some(a), Some(b)) if b.in_flight() < a.in_flight() => Some(b),
                        (a, _) => a,
                    }
                }
            },
        }?;
        chosen.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(EndpointUse(chosen.clone()))
    }
}

#[cfg(test)]
mod tests;
