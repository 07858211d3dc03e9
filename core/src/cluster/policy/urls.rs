//! Which upstreams payloads and registrations may name (`canary_urls`), and the rule that a refused one breaks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::cluster::address::{AddressClass, never_allowed, stands_for};
use crate::cluster::{Scheme, UpstreamHost, UpstreamUrl};
use crate::host::HostPattern;

/// Which upstreams payloads and registrations may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Networks that every address which is connected to must lie in.
    pub networks: Vec<IpNet>,
    /// Host names, exact or `*.suffix`; `None`: any, since its addresses are what counts.
    pub names: Option<Vec<HostPattern>>,
    /// Whether a name that is listed exactly may have any address: nobody has said which.
    pub exact_names_anywhere: bool,
    /// The ports that they may have, those of SRV records as well.
    pub ports: Vec<PortRange>,
    /// How they may be spoken to.
    pub schemes: Vec<AllowedScheme>,
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Every port that there is.
    pub const ALL: Self = Self {
        first: 1,
        last: u16::MAX,
    };

    /// A single port.
    pub const fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A scheme that a file may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedScheme {
    /// `http` and `srv+http`.
    Http,
    /// `https` and `h2`.
    Https,
    /// `h2c`.
    H2c,
}

impl AllowedScheme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http, Self::Https, Self::H2c];

    fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self::Http,
            Scheme::H2c => Self::H2c,
            Scheme::Https | Scheme::H2 => Self::Https,
        }
    }

    /// As URLs and files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

/// A URL that no canary may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`canary_urls` does not allow `{url}`: {rule}")]
pub struct UrlRefusal {
    /// Which one.
    pub url: String,
    /// The rule that it breaks.
    pub rule: UrlRule,
}

/// A rule that a URL, or an address that its name leads to, breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlRule {
    /// The scheme is none of `schemes`.
    Scheme {
        /// The URL's.
        scheme: AllowedScheme,
        /// `schemes`.
        allowed: Vec<AllowedScheme>,
    },
    /// The port is none of `ports`.
    Port {
        /// The URL's, or the SRV record's.
        port: u16,
        /// `ports`.
        allowed: Vec<PortRange>,
    },
    /// The name is none that `allow` lists.
    Name(Box<str>),
    /// The address is none that `allow` lists, or one where no canary may be.
    Address {
        /// As it is written, or as the name leads there.
        address: IpAddr,
        /// What it stands for; often itself.
        target: IpAddr,
        /// What kind that is.
        class: AddressClass,
    },
    /// Nobody has said yet where it is.
    Nowhere,
}

impl fmt::Display for UrlRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme { scheme, allowed } => {
                let allowed: Vec<&str> = allowed.iter().map(|scheme| scheme.as_str()).collect();
                write!(
                    f,
                    "the scheme `{}` is none of `schemes` ({})",
                    scheme.as_str(),
                    allowed.join(", ")
                )
            }
            Self::Port { port, allowed } => {
                let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "the port `{port}` is none of `ports` ({})",
                    allowed.join(", ")
                )
            }
            Self::Name(name) => write!(f, "`allow` does not list the name `{name}`"),
            Self::Address {
                address,
                target,
                class,
            } => {
                write!(f, "`{address}` ")?;
                if address == target {
                    write!(f, "is {class}")?;
                } else {
                    write!(f, "stands for `{target}`, {class}")?;
                }
                f.write_str(if class.is_never_allowed() {
                    " where no canary may be"
                } else {
                    " that `allow` does not list"
                })
            }
            Self::Nowhere => f.write_str("it has no address"),
        }
    }
}

impl UrlPolicy {
    /// Allows nothing: any port and any scheme, but no name and no address.
    pub fn nothing() -> Self {
        Self {
            networks: Vec::new(),
            names: Some(Vec::new()),
            exact_names_anywhere: false,
            ports: vec![PortRange::ALL],
            schemes: AllowedScheme::ALL.to_vec(),
        }
    }

    /// Whether a canary may have this URL, as it is written. Where its name leads is another question
    /// ([`Self::check_address`]).
    pub fn check(&self, url: &UpstreamUrl) -> Result<(), UrlRefusal> {
        self.broken_by(url).map_or(Ok(()), |rule| {
            let url = url.to_string();
            Err(UrlRefusal { url, rule })
        })
    }

    fn broken_by(&self, url: &UpstreamUrl) -> Option<UrlRule> {
        let scheme = AllowedScheme::of(url.scheme());
        if !self.schemes.contains(&scheme) {
            let allowed = self.schemes.clone();
            return Some(UrlRule::Scheme { scheme, allowed });
        }
        match url.host() {
            UpstreamHost::Address(ip) => {
                let address = SocketAddr::new(*ip, url.port());
                self.check_address(url.host(), address).err()
            }
            UpstreamHost::Name(name) => {
                let is_listed = self.names.as_ref().is_none_or(|names| {
                    let mut names = names.iter();
                    names.any(|pattern| pattern.matches(name))
                });
                if !is_listed {
                    return Some(UrlRule::Name(name.clone()));
                }
                // SRV records have the ports of their own.
                (!url.is_srv()).then(|| self.port_rule(url.port()))?
            }
            UpstreamHost::Nowhere => Some(UrlRule::Nowhere),
        }
    }

    /// Whether a canary whose URL has this host may be connected to at this address: whatever the address stands for
    /// must lie in the networks, and its port be allowed.
    pub fn check_address(&self, host: &UpstreamHost, at: SocketAddr) -> Result<(), UrlRule> {
        let address = at.ip();
        if let Some((target, class)) = never_allowed(address) {
            return Err(UrlRule::Address {
                address,
                target,
                class,
            });
        }
        let outside = |address: &IpAddr| {
            !self
                .networks
                .iter()
                .any(|network| network.contains(address))
        };
        if !self.is_anywhere(host)
            && let Some(target) = stands_for(address).into_iter().find(outside)
        {
            return Err(UrlRule::Address {
                address,
                target,
                class: AddressClass::of(target),
            });
        }
        self.port_rule(at.port()).map_or(Ok(()), Err)
    }

    fn port_rule(&self, port: u16) -> Option<UrlRule> {
        let is_allowed = self.ports.iter().any(|range| range.contains(port));
        (!is_allowed).then(|| UrlRule::Port {
            port,
            allowed: self.ports.clone(),
        })
    }

    fn is_anywhere(&self, host: &UpstreamHost) -> bool {
        let UpstreamHost::Name(name) = host else {
            return false;
        };
        let mut names = self.names.iter().flatten();
        self.exact_names_anywhere
            && names
                .any(|pattern| matches!(pattern, HostPattern::Exact(exact) if **exact == **name))
    }
}

#[cfg(test)]
mod tests;
