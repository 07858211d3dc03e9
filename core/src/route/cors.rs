//! Which pages may read a route's answers (the Fetch standard's CORS protocol).

use http::{HeaderValue, Method};

use crate::host::HostPattern;
use crate::request::{HeaderLookup, RequestHead};

/// Which pages may read a route's answers, and what they may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// The pages.
    pub origins: Origins,
    /// `Access-Control-Allow-Methods`.
    pub methods: HeaderValue,
    /// `Access-Control-Allow-Headers`; `None`: those that every page may send.
    pub headers: Option<HeaderValue>,
    /// `Access-Control-Expose-Headers`; `None`: those that every page may read.
    pub expose: Option<HeaderValue>,
    /// Whether browsers send cookies along.
    pub credentials: bool,
    /// `Access-Control-Max-Age`, in seconds.
    pub max_age: HeaderValue,
}

/// The origins of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All there are.
    Any,
    /// These.
    Listed(Vec<Origin>),
}

/// An origin as browsers write it: in lower case, without a port that goes without saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: Box<str>,
    /// The host, or those below one.
    pub host: HostPattern,
    /// The port, if it is not the scheme's own.
    pub port: Option<Box<str>>,
}

impl Cors {
    /// Whether a page of this origin may read the route's answers.
    pub fn admits(&self, origin: &[u8]) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(origins) => std::str::from_utf8(origin)
                .is_ok_and(|text| origins.iter().any(|origin| origin.is(text))),
        }
    }

    /// Whether all pages get the same answer.
    pub fn is_for_all(&self) -> bool {
        self.origins == Origins::Any
    }

    /// The methods that are named, as one value.
    pub fn list_of_methods(methods: &[Method]) -> HeaderValue {
        list(methods.iter().map(Method::as_str)).unwrap_or(HeaderValue::from_static("GET"))
    }
}

/// Names as one value; `None`: there are none.
pub fn list<'a>(names: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let names: Vec<&str> = names.collect();
    let value = HeaderValue::try_from(names.join(", ")).ok()?;
    (!names.is_empty()).then_some(value)
}

impl Origin {
    /// Whether browsers would write it so.
    fn is(&self, text: &str) -> bool {
        let Some((scheme, authority)) = text.split_once("://") else {
            return false;
        };
        let (host, port) = crate::host::split_port(authority);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        *scheme == *self.scheme
            && port == self.port.as_deref()
            && host.bytes().all(plain)
            && self.host.matches(host)
    }
}

/// The method that a browser asks about before it sends a page's request: RFC 9110 has no name for this, Fetch calls it a
/// preflight. `None`: it is a request like others.
pub fn preflighted<'a>(method: &str, headers: &'a dyn HeaderLookup) -> Option<&'a str> {
    let asks = method == "OPTIONS" && headers.first("origin").is_some();
    asks.then(|| headers.text("access-control-request-method"))?
}

/// The request that a preflight asks about, as far as it is known.
pub fn asked_about<'a>(head: &RequestHead<'a>) -> Option<RequestHead<'a>> {
    let method = preflighted(head.method, head.headers)?;
    Some(RequestHead { method, ..*head })
}

#[cfg(test)]
mod tests {
    use super::{Origin, preflighted};
    use crate::host::HostPattern;
    use crate::request::HeaderList;

    #[test]
    fn an_origin_is_compared_as_a_whole() {
        let origin = |host, port: Option<&str>| Origin {
            scheme: "https".into(),
            host,
            port: port.map(Into::into),
        };
        let exact = origin(HostPattern::Exact("app.example.com".into()), None);
        let below = origin(HostPattern::Wildcard("example.com".into()), None);
        let port = origin(HostPattern::Wildcard("example.com".into()), Some("8443"));
        for (text, expected) in [
            ("https://app.example.com", [true, true, false]),
            ("https://a.b.example.com", [false, true, false]),
            ("https://app.example.com:8443", [false, false, true]),
            ("https://example.com", [false, false, false]),
            ("http://app.example.com", [false, false, false]),
            ("https://app.example.com.evil.com", [false, false, false]),
            ("https://evil.com/.example.com", [false, false, false]),
            ("https://evil.com#.example.com", [false, false, false]),
            ("https://a@b.example.com", [false, false, false]),
            ("https://notexample.com", [false, false, false]),
            ("https://.example.com", [false, false, false]),
            ("null", [false, false, false]),
            ("", [false, false, false]),
        ] {
            let found = [&exact, &below, &port].map(|origin| origin.is(text));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_preflight_names_origin_and_method() {
        let all: HeaderList = [
            ("origin", "https://a"),
            ("access-control-request-method", "PUT"),
        ]
        .into_iter()
        .collect();
        assert_eq!(preflighted("OPTIONS", &all), Some("PUT"));
        assert_eq!(preflighted("GET", &all), None);
        let less: HeaderList = [("origin", "https://a")].into_iter().collect();
        assert_eq!(preflighted("OPTIONS", &less), None);
    }
}
