//! The URL that a deployment has: scheme, host and port.

mod host;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::host::split_port;

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/2 in the clear, with prior knowledge.
    H2c,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS.
    H2,
}

impl Scheme {
    /// Whether it is HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::H2c | Self::H2)
    }

    /// Whether it is over TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }

    /// As URLs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::H2c => "h2c",
            Self::Https => "https",
            Self::H2 => "h2",
        }
    }

    fn default_port(self) -> u16 {
        match self.is_tls() {
            true => 443,
            false => 80,
        }
    }
}

/// The host of an upstream: an address, or a name that the resolver looks up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamHost {
    /// A literal address.
    Address(IpAddr),
    /// A DNS name, in lower case.
    Name(Box<str>),
    /// Nobody has said yet where it is ([`UpstreamUrl::NOWHERE`]).
    Nowhere,
}

/// An upstream's URL: scheme, host and port, and nothing else; or `srv+http://` and the name of SRV records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    scheme: Scheme,
    host: UpstreamHost,
    /// `None`: the host is the name of SRV records, and they have the ports.
    port: Option<u16>,
}

/// Why a text is not an [`UpstreamUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamUrlError {
    /// There is no scheme.
    #[error("an upstream is a URL such as http://name:8080")]
    NoScheme,
    /// The scheme is unknown.
    #[error("the scheme of an upstream is http, https, h2c, h2 or srv+http, not {0}")]
    Scheme(String),
    /// The host of `srv+http://` is an address, or there is a port.
    #[error("srv+http:// is followed by the name of SRV records, which have the ports")]
    Srv,
    /// There is a character that some readers drop, and others take for the end of the host.
    #[error("a URL has no spaces, no control characters and no backslashes")]
    Character,
    /// There is a user name or password.
    #[error("an upstream URL has no user name and no password")]
    Credentials,
    /// There is a path, a query or a fragment.
    #[error("an upstream URL has no path; use a route's rewrite")]
    Path,
    /// An IPv6 address without brackets: where its port begins would be a guess.
    #[error("an IPv6 address stands in brackets, as in http://[::1]:8080")]
    Brackets,
    /// The host is empty or has forbidden characters.
    #[error("{0:?} is not a host name")]
    Host(String),
    /// The host is written with percent signs, which stand for other characters.
    #[error("the host {0:?} has a percent sign: write the characters themselves")]
    Percent(String),
    /// The host has characters that stand for others, such as the dots and digits of other scripts.
    #[error("the host {0:?} is not ASCII: write an international name in its xn-- form")]
    NotAscii(String),
    /// The address has a zone, which means something on one machine only.
    #[error("the address {0:?} has a zone, which an upstream cannot have")]
    Zone(String),
    /// The host ends in a number, which only addresses do.
    #[error("the host {0:?} ends in a number, and is no IPv4 address")]
    Number(String),
    /// The port is not 1 to 65535.
    #[error("{0:?} is not a port (1 to 65535)")]
    Port(String),
}

impl UpstreamUrl {
    /// Stands in for a URL that nobody has recorded yet: it has no address, and no text reads as it.
    pub const NOWHERE: Self = Self {
        scheme: Scheme::Http,
        host: UpstreamHost::Nowhere,
        port: Some(0),
    };

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Address or name.
    pub fn host(&self) -> &UpstreamHost {
        &self.host
    }

    /// The TCP port; 0 where SRV records have it.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_default()
    }

    /// Whether the host is the name of SRV records.
    pub fn is_srv(&self) -> bool {
        self.port.is_none()
    }

    /// What a `Host` header for this URL says: the port only where it is not the scheme's default.
    pub fn authority(&self) -> String {
        match self.port {
            None => self.host.to_string(),
            Some(port) if port == self.scheme.default_port() => self.host.to_string(),
            Some(port) => format!("{}:{port}", self.host),
        }
    }
}

impl UpstreamHost {
    /// Name or address, which no brackets are around.
    pub fn unbracketed(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Name(_) | Self::Nowhere => self.to_string(),
        }
    }
}

impl fmt::Display for UpstreamHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
            Self::Nowhere => f.write_str("(unknown)"),
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NOWHERE {
            return self.host.fmt(f);
        }
        let scheme = self.scheme.as_str();
        match self.port {
            None => write!(f, "srv+{scheme}://{}", self.host),
            Some(port) => write!(f, "{scheme}://{}:{port}", self.host),
        }
    }
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(text: &str) -> Result<Self, UpstreamUrlError> {
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if text.contains(is_odd) {
            return Err(UpstreamUrlError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UpstreamUrlError::NoScheme)?;
        let (scheme, is_srv) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, false),
            "h2c" => (Scheme::H2c, false),
            "srv+http" => (Scheme::Http, true),
            "https" => (Scheme::Https, false),
            "h2" => (Scheme::H2, false),
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
        if !authority.starts_with('[') && authority.matches(':').count() > 1 {
            return Err(UpstreamUrlError::Brackets);
        }
        let (host, port) = split_port(authority);
        let port = match port {
            Some(_) if is_srv => return Err(UpstreamUrlError::Srv),
            None => scheme.default_port(),
            Some(port) => port
                .parse()
                .ok()
                .filter(|&number| number != 0 && port.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| UpstreamUrlError::Port(port.to_owned()))?,
        };
        let host = host::read(host)?;
        if is_srv && matches!(host, UpstreamHost::Address(_)) {
            return Err(UpstreamUrlError::Srv);
        }
        Ok(Self {
            scheme,
            host,
            port: (!is_srv).then_some(port),
        })
    }
}
