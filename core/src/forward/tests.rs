use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Attempt, Served, TraceHop, request_edits, response_edits};
use crate::canary::Cause;
use crate::context::Moment;
use crate::dispatch::{Dispatch, Plan, Terms, dispatch};
use crate::edit::HeaderSink as _;
use crate::identity::Anonymous;
use crate::overrides;
use crate::request::{HeaderList, RequestHead};
use crate::snapshot::{STABLE, Snapshot, sample};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// A request for `/search` as a parser of raw bytes would hand it over.
struct Sent {
    fields: Vec<(String, String)>,
    peer: IpAddr,
}

impl Sent {
    /// Reads `Name: value` lines.
    fn parse(lines: &str, peer: IpAddr) -> Self {
        let field = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header line");
            (name.trim().to_owned(), value.trim().to_owned())
        };
        let fields = lines
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(field)
            .collect();
        Self { fields, peer }
    }

    /// What the request names as its host.
    fn authority(&self) -> &str {
        let host = self.fields.iter().find(|(name, _)| name == "host");
        host.map_or("", |(_, value)| value)
    }

    fn with_head<T>(&self, snapshot: &Snapshot, then: impl FnOnce(RequestHead<'_>) -> T) -> T {
        let headers: HeaderList = self
            .fields
            .iter()
            .map(|(name, value)| (name, value.as_str()))
            .collect();
        then(RequestHead {
            method: "GET",
            authority: self.authority(),
            path: "/search",
            query: None,
            headers: &headers,
            peer: self.peer,
            peer_trusted: snapshot.identity.trusts(self.peer),
        })
    }

    fn plan(&self, snapshot: &Snapshot) -> Plan {
        let moment = Moment { unix_ms: 0 };
        let fresh = &mut || "f".repeat(32);
        match self.with_head(snapshot, |head| {
            dispatch(snapshot, &head, Terms::default(), moment, fresh)
        }) {
            Dispatch::Forward(plan) => plan,
            other => panic!("not forwarded: {other:?}"),
        }
    }

    /// What goes upstream: route, decision, header edits over raw fields, without any proxy's session.
    fn upstream(&self, snapshot: &Snapshot) -> HeaderMap {
        let plan = self.plan(snapshot);
        let edits = self.with_head(snapshot, |head| {
            request_edits(&Attempt {
                snapshot,
                head,
                plan: &plan,
                deployment: plan.decision.assigned,
                request_id: &HeaderValue::from_static("id-1"),
                trace: TraceHop::Passed(1),
                encrypted: false,
                via: "1.1 serin",
            })
        });
        let mut headers = HeaderMap::new();
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers.apply(&edits);
        headers
    }
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().expect("text"))
        .collect()
}

#[test]
fn an_upstream_is_told_which_deployment_it_is() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let sent = Sent::parse(
        "host: api.example.com\nx-user-id: ann\nvia: 1.0 edge",
        CLIENT,
    );
    let headers = sent.upstream(&snapshot);
    for (name, expected) in [
        ("x-serin-deployment", vec!["search.a"]),
        ("baggage", vec!["serin.search=search.a"]),
        ("x-request-id", vec!["id-1"]),
        ("x-forwarded-for", vec!["192.0.2.1"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-host", vec!["api.example.com"]),
        ("via", vec!["1.0 edge", "1.1 serin"]),
        ("x-user-id", vec!["ann"]),
        ("traceparent", vec![]),
    ] {
        assert_eq!(all(&headers, name), expected, "{name}");
    }
}

#[test]
fn a_client_cannot_speak_for_serin() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let sent = Sent::parse(
        "host: api.example.com
         X-Serin-Deployment: search.b
         x_serin_deployment: search.b
         x-forwarded-for: 1.1.1.1
         X_Forwarded_For: 1.1.1.1
         x-forwarded-proto: https
         forwarded: for=1.1.1.1
         x-request-id: mine
         baggage: a=1;p, serin.search=search.b, SERIN.other=x
         baggage: k=a=b
         traceparent: broken
         tracestate: a=b",
        CLIENT,
    );
    let headers = sent.upstream(&snapshot);
    for (name, expected) in [
        ("x-serin-deployment", vec!["stable"]),
        ("x_serin_deployment", vec![]),
        ("x-forwarded-for", vec!["192.0.2.1"]),
        ("x_forwarded_for", vec![]),
        ("x-forwarded-proto", vec!["http"]),
        ("forwarded", vec![]),
        ("x-request-id", vec!["id-1"]),
        ("baggage", vec!["a=1;p,k=a=b,serin.search=stable"]),
        ("traceparent", vec![]),
        ("tracestate", vec![]),
    ] {
        assert_eq!(all(&headers, name), expected, "{name}");
    }
}

#[test]
fn a_trusted_proxy_is_continued() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let sent = Sent::parse(
        "host: api.example.com
         x-forwarded-for: 198.51.100.1
         x-forwarded-proto: https
         x-forwarded-host: www.example.com
         baggage: serin.search=old, serin.cart=cart.b
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        PROXY,
    );
    let headers = sent.upstream(&snapshot);
    for (name, expected) in [
        ("x-forwarded-for", "198.51.100.1, 10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.example.com"),
        ("baggage", "serin.cart=cart.b,serin.search=stable"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000001-01",
        ),
    ] {
        assert_eq!(all(&headers, name), [expected], "{name}");
    }
}

#[test]
fn the_urls_own_host_is_sent_where_the_clients_is_not_preserved() {
    let mut snapshot = sample::snapshot(Anonymous::Stable);
    snapshot.services[0].upstream.preserve_host = false;
    let headers = Sent::parse("host: api.example.com", CLIENT).upstream(&snapshot);
    assert_eq!(all(&headers, "host"), ["127.0.0.1:9001"]);
    assert_eq!(all(&headers, "x-forwarded-host"), ["api.example.com"]);
}

fn told(
    snapshot: &Snapshot,
    fields: &str,
    cause: Option<Cause>,
    expose: bool,
    https: bool,
) -> HeaderMap {
    let plan = Sent::parse(fields, CLIENT).plan(snapshot);
    let deployment = if cause.is_some() {
        STABLE
    } else {
        plan.decision.assigned
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-serin-decision",
        HeaderValue::from_static("the upstream's"),
    );
    headers.apply(&response_edits(
        snapshot,
        &plan,
        Served { deployment, cause },
        expose,
        https,
    ));
    headers
}

#[test]
fn a_client_is_told_only_where_the_route_says_so() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let decision = |cause, expose| {
        let headers = told(
            &snapshot,
            "host: api.example.com\nx-user-id: ann",
            cause,
            expose,
            false,
        );
        headers
            .get("x-serin-decision")
            .map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(decision(None, false), None);
    assert_eq!(
        decision(None, true).as_deref(),
        Some(r#"search="search.a";served="search.a";reason="ring""#)
    );
    assert_eq!(
        decision(Some(Cause::Connect), true).as_deref(),
        Some(r#"search="search.a";served="stable";reason="ring";cause="connect""#)
    );
}

#[test]
fn a_new_session_is_a_first_party_cookie() {
    let snapshot = sample::snapshot(Anonymous::Sticky);
    let cookie = |https| {
        let headers = told(&snapshot, "host: api.example.com", None, false, https);
        headers
            .get("set-cookie")
            .map(|value| value.to_str().expect("text").to_owned())
    };
    let plain = "serin_id=ffffffffffffffffffffffffffffffff; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax";
    assert_eq!(cookie(false).as_deref(), Some(plain));
    assert_eq!(cookie(true), Some(format!("{plain}; Secure")));
}

#[test]
fn no_upstream_gets_an_override_whoever_sends_it_and_whether_it_counts_or_not() {
    let mut snapshot = sample::snapshot(Anonymous::Stable);
    let mut qa = overrides::sample::rules();
    qa.header = HeaderName::from_static("x-qa");
    for (rules, header, cookie) in [
        (Some(overrides::sample::rules()), false, "a=1; b=2"),
        (Some(qa), true, "a=1; b=2"),
        (None, false, "a=1; serin_override=t; b=2"),
    ] {
        snapshot.identity.overrides = rules;
        for peer in [CLIENT, PROXY] {
            let lines = "host: api.example.com\nx-serin-override: t\nx_serin_override: t\nx-qa: t\nx_qa: t\n\
                 cookie: a=1; serin_override=t; b=2\nx-user-id: ann";
            let headers = Sent::parse(lines, peer).upstream(&snapshot);
            assert_eq!(headers.get("x-serin-override"), None);
            assert_eq!(headers.get("x_serin_override"), None);
            for name in ["x-qa", "x_qa"] {
                assert_eq!(headers.contains_key(name), !header, "{name}");
            }
            assert_eq!(all(&headers, "cookie"), [cookie]);
        }
    }
}
