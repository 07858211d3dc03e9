//! Which endpoint a request is for.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// How large a body may be.
const BODY: usize = 64 << 10;
/// How large a report of flags' use may be: it names every flag that an application asks for.
const REPORT: usize = 1 << 20;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Unleash's frontend API: the flags that are on for a user.
    Frontend,
    /// The same, and those that are off.
    FrontendAll,
    /// How an app used flags.
    FrontendMetrics,
    /// An app says that it is there.
    FrontendRegister,
    /// Unleash's client API: every flag as a document.
    Features,
    /// How a server used flags.
    Metrics,
    /// A server says that it is there.
    Register,
    /// OFREP: one flag.
    OfrepFlag,
    /// OFREP: every flag.
    OfrepFlags,
    /// OFREP: tells when flags should be asked for again.
    OfrepEvents,
    /// Where the caller's own requests go.
    Decisions,
    /// The caller opts in to a channel, or out of it.
    Channel,
    /// The keys that verify receipts.
    ReceiptKeys,
    /// A browser asks whether a page may ask.
    Preflight,
    /// None of these.
    Unknown,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Apps: one of `tokens`.
    Apps,
    /// Servers: one of `backend_tokens`.
    Servers,
    /// Everybody: the answer is about the request's own identity or cookie, or the URL itself is signed.
    Everybody,
}

impl Endpoint {
    /// Every endpoint, in index order.
    pub const ALL: [Self; 15] = [
        Self::Frontend,
        Self::FrontendAll,
        Self::FrontendMetrics,
        Self::FrontendRegister,
        Self::Features,
        Self::Metrics,
        Self::Register,
        Self::OfrepFlag,
        Self::OfrepFlags,
        Self::OfrepEvents,
        Self::Decisions,
        Self::Channel,
        Self::ReceiptKeys,
        Self::Preflight,
        Self::Unknown,
    ];

    /// The name that metrics carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::FrontendAll => "frontend_all",
            Self::FrontendMetrics => "frontend_metrics",
            Self::FrontendRegister => "frontend_register",
            Self::Features => "client_features",
            Self::Metrics => "client_metrics",
            Self::Register => "client_register",
            Self::OfrepFlag => "ofrep_flag",
            Self::OfrepFlags => "ofrep_flags",
            Self::OfrepEvents => "ofrep_events",
            Self::Decisions => "decisions",
            Self::Channel => "channel",
            Self::ReceiptKeys => "receipt_keys",
            Self::Preflight => "preflight",
            Self::Unknown => "unknown",
        }
    }

    /// The position in [`Endpoint::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The endpoint of a path behind the API's own, with the key of the one flag that is asked for.
    pub(super) fn find(path: &str) -> (Self, Option<Cow<'_, str>>) {
        let endpoint = match path.trim_end_matches('/') {
            "/api/frontend" => Self::Frontend,
            "/api/frontend/all" => Self::FrontendAll,
            "/api/frontend/client/metrics" => Self::FrontendMetrics,
            "/api/frontend/client/register" => Self::FrontendRegister,
            "/api/client/features" => Self::Features,
            "/api/client/metrics" => Self::Metrics,
            "/api/client/register" => Self::Register,
            "/ofrep/v1/evaluate/flags" => Self::OfrepFlags,
            "/ofrep/v1/events" => Self::OfrepEvents,
            "/decisions" => Self::Decisions,
            "/channel" => Self::Channel,
            "/receipts/jwks.json" => Self::ReceiptKeys,
            path => return Self::of_one_flag(path),
        };
        (endpoint, None)
    }

    /// Flags' names may have slashes: some providers encode them, others do not.
    fn of_one_flag(path: &str) -> (Self, Option<Cow<'_, str>>) {
        let key = path.strip_prefix("/ofrep/v1/evaluate/flags/");
        let key = key.and_then(|key| percent_decode_str(key).decode_utf8().ok());
        match key {
            Some(key) => (Self::OfrepFlag, Some(key)),
            None => (Self::Unknown, None),
        }
    }

    /// The methods that it takes.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Frontend | Self::FrontendAll => "GET, HEAD, POST, OPTIONS",
            Self::Features | Self::OfrepEvents | Self::Decisions | Self::ReceiptKeys => {
                "GET, HEAD, OPTIONS"
            }
            Self::Channel => "POST, DELETE, OPTIONS",
            Self::FrontendMetrics
            | Self::FrontendRegister
            | Self::Metrics
            | Self::Register
            | Self::OfrepFlag
            | Self::OfrepFlags => "POST, OPTIONS",
            Self::Preflight | Self::Unknown => "OPTIONS",
        }
    }

    /// Whether it takes a method.
    pub(super) fn takes(self, method: &str) -> bool {
        let mut methods = self.methods().split(", ");
        methods.any(|one| one == method)
    }

    pub(super) fn audience(self) -> Audience {
        match self {
            Self::Features | Self::Metrics | Self::Register => Audience::Servers,
            Self::OfrepEvents
            | Self::Decisions
            | Self::Channel
            | Self::ReceiptKeys
            | Self::Preflight
            | Self::Unknown => Audience::Everybody,
            Self::Frontend
            | Self::FrontendAll
            | Self::FrontendMetrics
            | Self::FrontendRegister
            | Self::OfrepFlag
            | Self::OfrepFlags => Audience::Apps,
        }
    }

    /// How large its body may be.
    pub(super) fn body_limit(self) -> usize {
        match self {
            Self::FrontendMetrics | Self::Metrics => REPORT,
            _ => BODY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn an_index_is_a_position_in_all() {
        for (index, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            assert_eq!(endpoint.index(), index, "{}", endpoint.as_str());
        }
    }

    #[test]
    fn paths_lead_to_endpoints_and_keys() {
        let key = |path| {
            let (endpoint, key) = Endpoint::find(path);
            assert_eq!(endpoint, Endpoint::OfrepFlag, "{path}");
            key.expect("a key").into_owned()
        };
        assert_eq!(key("/ofrep/v1/evaluate/flags/a.b"), "a.b");
        assert_eq!(key("/ofrep/v1/evaluate/flags/team/a"), "team/a");
        assert_eq!(key("/ofrep/v1/evaluate/flags/team%2Fa%20b"), "team/a b");
        assert_eq!(Endpoint::find("/api/frontend/").0, Endpoint::Frontend);
        for path in [
            "",
            "/",
            "/api",
            "/api/frontend/x",
            "/ofrep/v1/evaluate/flags/%FF",
        ] {
            assert_eq!(Endpoint::find(path).0, Endpoint::Unknown, "{path}");
        }
        assert!(Endpoint::Frontend.takes("POST") && !Endpoint::Features.takes("POST"));
    }
}
