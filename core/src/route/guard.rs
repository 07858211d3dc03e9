//! What a route lets in: from where, how often, and how large; and what it tells browsers.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::cors::Cors;
use crate::rate::{Level, Rate};

/// What a route asks of requests before anything is done with them, and what browsers are told. The default lets everything
/// in, and tells nothing.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// From where.
    pub networks: Networks,
    /// How often.
    pub rate_limit: Option<RateLimit>,
    /// Bytes of a body; `None`: as many as `server.limits.body_bytes` allows.
    pub body_bytes: Option<u64>,
    /// Whether nobody may open a WebSocket.
    pub refuses_websockets: bool,
    /// Which pages may read its answers; `None`: what the service says of that passes.
    pub cors: Option<Cors>,
    /// What its answers get for pages; `None`: nothing.
    pub security_headers: Option<SecurityHeaders>,
}

impl Guard {
    /// Whether requests are counted by their users, who must be known first.
    pub fn counts_users(&self) -> bool {
        let limit = self.rate_limit.as_ref();
        limit.is_some_and(|limit| limit.per == Per::User)
    }
}

/// A protocol that a request may ask for in place of HTTP (`Upgrade`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// RFC 6455.
    WebSocket,
}

/// Fields that keep browsers from doing what pages have not asked for, where the service does not set them itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// Of every answer.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Of those over HTTPS alone.
    pub over_https: Option<(HeaderName, HeaderValue)>,
}

/// The networks that clients may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// None stated: from everywhere.
    pub allow: Vec<IpNet>,
    /// From none of these, whatever `allow` says.
    pub deny: Vec<IpNet>,
}

impl Networks {
    /// Whether every client may come.
    pub fn is_everywhere(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a client with this address may come. An IPv4 address in IPv6 clothes counts as IPv4.
    pub fn admit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_in = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&address));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

/// How often a route may be asked, and by whom that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// By whom.
    pub per: Per,
    /// How often.
    pub rate: Rate,
    /// `RateLimit-Policy`.
    pub policy: HeaderValue,
}

/// By whom requests are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Per {
    /// By the user's ID; by the address where there is none.
    User,
    /// By the client's address: an IPv4 address, or an IPv6 network of 64 bits.
    Address,
    /// By the value of this field; by the address where there is none.
    Header(HeaderName),
    /// All together.
    Route,
}

impl RateLimit {
    /// A limit, with its policy as clients are told it.
    pub fn new(per: Per, rate: Rate) -> Self {
        // What the bucket holds, and how long it takes to fill: no more than that is ever available.
        let (name, quota, window) = (per.name(), rate.burst, rate.depth());
        let window = match window.subsec_nanos() {
            0 if window.as_secs() > 0 => format!(";w={}", window.as_secs()),
            _ => String::new(),
        };
        let policy = HeaderValue::try_from(format!("\"{name}\";q={quota}{window}"));
        Self {
            // The text is ASCII.
            policy: policy.unwrap_or(HeaderValue::from_static("\"limit\"")),
            per,
            rate,
        }
    }

    /// `RateLimit`: what is left, and for how long there is no more.
    pub fn told(&self, level: &Level) -> Option<HeaderValue> {
        let (name, left) = (self.per.name(), level.left);
        let text = format!("\"{name}\";r={left};t={}", level.more_in_seconds());
        HeaderValue::try_from(text).ok()
    }
}

impl Per {
    /// What clients are told that they are counted by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Address => "address",
            Self::Header(_) => "header",
            Self::Route => "route",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Networks, Per, RateLimit};
    use crate::rate::Level;
    use crate::rate::tests::rate;

    #[test]
    fn what_is_denied_is_denied_even_where_it_is_allowed() {
        let nets = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().expect("a net"))
                .collect()
        };
        let networks = |allow: &[&str], deny: &[&str]| Networks {
            allow: nets(allow),
            deny: nets(deny),
        };
        for (networks, address, expected) in [
            (networks(&[], &[]), "192.0.2.1", true),
            (networks(&["10.0.0.0/8"], &[]), "10.1.2.3", true),
            (networks(&["10.0.0.0/8"], &[]), "::ffff:10.1.2.3", true),
            (networks(&["10.0.0.0/8"], &[]), "11.1.2.3", false),
            (networks(&["10.0.0.0/8"], &[]), "2001:db8::1", false),
            (networks(&[], &["10.0.0.0/8"]), "10.1.2.3", false),
            (networks(&[], &["10.0.0.0/8"]), "::ffff:10.1.2.3", false),
            (networks(&[], &["10.0.0.0/8"]), "2001:db8::1", true),
            (
                networks(&["10.0.0.0/8"], &["10.1.0.0/16"]),
                "10.1.2.3",
                false,
            ),
            (
                networks(&["10.0.0.0/8"], &["10.1.0.0/16"]),
                "10.2.2.3",
                true,
            ),
            (networks(&["2001:db8::/32"], &[]), "2001:db8::1", true),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(networks.admit(address), expected, "{networks:?} {address}");
        }
    }

    #[test]
    fn a_policy_is_told_as_the_draft_says() {
        let told = |per, requests, window_ms, burst| {
            let limit = RateLimit::new(per, rate(requests, window_ms, burst));
            limit.policy.to_str().expect("text").to_owned()
        };
        assert_eq!(told(Per::User, 100, 1_000, 100), "\"user\";q=100;w=1");
        assert_eq!(told(Per::Address, 100, 1_000, 200), "\"address\";q=200;w=2");
        assert_eq!(told(Per::Route, 60, 60_000, 10), "\"route\";q=10;w=10");
        // The draft has whole seconds only.
        assert_eq!(told(Per::Route, 100, 1_000, 50), "\"route\";q=50");
        let limit = RateLimit::new(Per::User, rate(100, 1_000, 100));
        let level = Level {
            left: 7,
            more_in: Duration::from_millis(10),
        };
        assert_eq!(limit.told(&level).expect("a value"), "\"user\";r=7;t=1");
    }
}
