//! What a route's guard tells clients with each answer.

use http::HeaderName;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    HeaderValue, ORIGIN, RETRY_AFTER, VARY,
};

use super::ResponseEdits;
use crate::edit::Edit;
use crate::rate::Level;
use crate::request::HeaderLookup;
use crate::route::cors::{Cors, preflighted};
use crate::route::guard::Guard;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The fields of answers that are about pages of other origins.
const CORS_FIELDS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// What is left of the rate limit, and when there is more (draft-ietf-httpapi-ratelimit-headers-11). A service may have
/// limits of its own, which stay beside it. `refused`: the limit has refused the request.
pub fn rate_limit(guard: &Guard, level: Option<Level>, refused: bool, edits: &mut ResponseEdits) {
    let Some((limit, level)) = guard.rate_limit.as_ref().zip(level) else {
        return;
    };
    edits.push(Edit::Add(RATE_LIMIT_POLICY, limit.policy.clone()));
    edits.extend(limit.told(&level).map(|told| Edit::Add(RATE_LIMIT, told)));
    if refused {
        let seconds = HeaderValue::from(level.more_in_seconds());
        edits.push(Edit::Set(RETRY_AFTER, seconds));
    }
}

/// What pages may read of an answer, in place of what the service says of that. Method and headers are the request's.
pub fn cors(guard: &Guard, method: &str, headers: &dyn HeaderLookup, edits: &mut ResponseEdits) {
    let Some(cors) = &guard.cors else {
        return;
    };
    edits.extend(CORS_FIELDS.map(Edit::Remove));
    if !cors.is_for_all() {
        edits.push(Edit::Add(VARY, HeaderValue::from_static("origin")));
    }
    let Some(allowed) = allowed_origin(cors, headers) else {
        return;
    };
    edits.push(Edit::Set(ACCESS_CONTROL_ALLOW_ORIGIN, allowed));
    if cors.credentials {
        let yes = HeaderValue::from_static("true");
        edits.push(Edit::Set(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes));
    }
    let set = |name, value: &Option<HeaderValue>| Some(Edit::Set(name, value.clone()?));
    if preflighted(method, headers).is_none() {
        edits.extend(set(ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose));
        return;
    }
    edits.extend(set(ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers));
    edits.push(Edit::Set(
        ACCESS_CONTROL_ALLOW_METHODS,
        cors.methods.clone(),
    ));
    edits.push(Edit::Set(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone()));
}

/// `Access-Control-Allow-Origin`; `None`: no page may read the answer.
fn allowed_origin(cors: &Cors, headers: &dyn HeaderLookup) -> Option<HeaderValue> {
    if cors.is_for_all() {
        // Also where no page has asked: caches give pages that answer, since no `Vary` tells them not to.
        return Some(HeaderValue::from_static("*"));
    }
    let origin = headers.first(ORIGIN.as_str())?;
    let admitted = cors.admits(origin).then_some(origin)?;
    HeaderValue::from_bytes(admitted).ok()
}

/// What keeps browsers from doing what pages have not asked for.
pub fn security_headers(guard: &Guard, https: bool, edits: &mut ResponseEdits) {
    let Some(security) = &guard.security_headers else {
        return;
    };
    let over_https = security.over_https.iter().filter(|_| https);
    for (name, value) in security.fields.iter().chain(over_https) {
        edits.push(Edit::SetMissing(name.clone(), value.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::{cors, rate_limit};
    use crate::edit::HeaderSink as _;
    use crate::forward::ResponseEdits;
    use crate::host::HostPattern;
    use crate::rate::Level;
    use crate::rate::tests::rate;
    use crate::request::HeaderList;
    use crate::route::cors::{Cors, Origin, Origins};
    use crate::route::guard::{Guard, Per, RateLimit};

    fn told(level: Option<Level>, refused: bool) -> HeaderMap {
        let guard = Guard {
            rate_limit: Some(RateLimit::new(Per::User, rate(60, 60_000, 120))),
            ..Guard::default()
        };
        let mut edits = ResponseEdits::new();
        rate_limit(&guard, level, refused, &mut edits);
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit", "\"own\";r=1".parse().expect("a value"));
        headers.apply(&edits);
        headers
    }

    #[test]
    fn clients_are_told_what_is_left_and_when_to_come_back() {
        let level = Level {
            left: 0,
            more_in: Duration::from_millis(600),
        };
        let passed = told(Some(level), false);
        assert_eq!(passed["ratelimit-policy"], "\"user\";q=120;w=120");
        let limits: Vec<_> = passed.get_all("ratelimit").iter().collect();
        assert_eq!(limits, ["\"own\";r=1", "\"user\";r=0;t=1"]);
        assert!(!passed.contains_key("retry-after"));
        assert_eq!(told(Some(level), true)["retry-after"], "1");
        // A request that was not counted is told nothing.
        assert_eq!(told(None, false).len(), 1);
    }

    /// What an answer says of pages, and in `Vary`, after the service has let one page read it.
    fn of_pages(origins: Origins, asking: Option<&str>) -> [Option<String>; 2] {
        let guard = Guard {
            cors: Some(Cors {
                origins,
                methods: "GET".parse().expect("a value"),
                headers: None,
                expose: None,
                credentials: false,
                max_age: 600.into(),
            }),
            ..Guard::default()
        };
        let sent: HeaderList = asking
            .map(|origin| ("origin", origin))
            .into_iter()
            .collect();
        let mut edits = ResponseEdits::new();
        cors(&guard, "GET", &sent, &mut edits);
        let mut headers = HeaderMap::new();
        let own = "https://own.example".parse().expect("a value");
        headers.insert("access-control-allow-origin", own);
        headers.apply(&edits);
        ["access-control-allow-origin", "vary"].map(|name| {
            let value = headers.get(name)?.to_str().expect("text");
            Some(value.to_owned())
        })
    }

    #[test]
    fn an_answer_that_all_pages_may_read_says_so_whoever_asked() {
        for asking in [None, Some("https://a.example"), Some("null")] {
            let told = of_pages(Origins::Any, asking);
            assert_eq!(told, [Some("*".to_owned()), None], "{asking:?}");
        }
        let listed = || {
            Origins::Listed(vec![Origin {
                scheme: "https".into(),
                host: HostPattern::Exact("a.example".into()),
                port: None,
            }])
        };
        for (asking, allowed) in [
            (None, None),
            (Some("https://a.example"), Some("https://a.example")),
            (Some("https://b.example"), None),
        ] {
            let told = of_pages(listed(), asking);
            let expected = [allowed, Some("origin")].map(|text| text.map(str::to_owned));
            assert_eq!(told, expected, "{asking:?}");
        }
    }
}
