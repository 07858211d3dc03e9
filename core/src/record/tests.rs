//! The whole way of a request without a proxy's session: bytes in, route, decision, header edits, bytes out, record.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Outcome;
use super::raw_fields::RawFields;
use crate::canary::{Cause, ReasonKind};
use crate::context::Moment;
use crate::dispatch::{Dispatch, Plan, Terms, dispatch};
use crate::edit::HeaderSink;
use crate::forward::{Attempt, Served, TraceHop, request_edits, response_edits};
use crate::identity::Anonymous;
use crate::request::{HeaderLookup as _, RequestHead};
use crate::route::Action;
use crate::snapshot::{DeploymentIndex, STABLE, Service, Snapshot, sample};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOW: Moment = Moment { unix_ms: 0 };
const REQUEST: &str = "GET /search/a?q=1 HTTP/1.1\r\n\
    Host: api.example.com\r\n\
    X-User-ID: ann\r\n\
    Accept: */*\r\n\
    X-Serin-Deployment: stable\r\n\
    X_Forwarded_For: 203.0.113.9\r\n\
    Baggage: k=v, serin.search=stable\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Serin-Decision: forged\r\n\r\nok";

/// A parser's fields as (name, value).
fn pairs<'a>(headers: &[httparse::Header<'a>]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    headers.iter().map(|field| (field.name, field.value))
}

/// The fields of a head that is being written.
struct Written(Vec<(String, Vec<u8>)>);

impl HeaderSink for Written {
    fn has(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(own, _)| own == name.as_str())
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(own, _)| own != name.as_str());
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.remove(name);
        self.add(name, value);
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.push((name.to_string(), value.as_bytes().to_vec()));
    }
}

impl Written {
    fn of(fields: &RawFields<'_>) -> Self {
        let owned = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
        Self(fields.iter().map(owned).collect())
    }

    fn after(&self, first_line: &str) -> String {
        let mut bytes = format!("{first_line}\r\n").into_bytes();
        for (name, value) in &self.0 {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        String::from_utf8(bytes).expect("text")
    }
}

/// What an origin and a client are sent for one request.
#[derive(Default)]
struct Exchanged {
    upstream: String,
    downstream: String,
}

/// Takes one request to its end: `failed` is why the assigned deployment could not be had, so that stable answers.
fn exchange(snapshot: &Arc<Snapshot>, bytes: &str, failed: Option<Cause>) -> Exchanged {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut slots);
    let status = parsed.parse(bytes.as_bytes()).expect("a request");
    assert!(status.is_complete());
    let fields = RawFields::of(pairs(parsed.headers));
    let target = parsed.path.expect("a target");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let head = RequestHead {
        method: parsed.method.expect("a method"),
        authority: fields.text("host").unwrap_or_default(),
        path,
        query,
        headers: &fields,
        peer: CLIENT,
        peer_trusted: snapshot.identity.trusts(CLIENT),
    };
    match dispatch(snapshot, &head, Terms::default(), NOW, &mut || {
        "f".repeat(32)
    }) {
        Dispatch::Refuse(refusal) => {
            outcome(snapshot, &head, None, None, refusal.status.as_u16()).count();
            Exchanged::default()
        }
        other @ (Dispatch::Respond(_) | Dispatch::Preflight(_) | Dispatch::Client(_)) => {
            panic!("answered: {other:?}")
        }
        Dispatch::Forward(plan) => {
            let deployment = failed.map_or(plan.decision.assigned, |_| STABLE);
            let served = Served {
                deployment,
                cause: failed,
            };
            let upstream = to_upstream(snapshot, head, &fields, &plan, deployment);
            let (status, downstream) = to_client(snapshot, &plan, served);
            outcome(snapshot, &head, Some(&plan), Some(served), status).count();
            Exchanged {
                upstream,
                downstream,
            }
        }
    }
}

/// The request's head as the origin reads it.
fn to_upstream(
    snapshot: &Snapshot,
    head: RequestHead<'_>,
    fields: &RawFields<'_>,
    plan: &Plan,
    deployment: DeploymentIndex,
) -> String {
    let route = snapshot.router.route(plan.route).expect("a route");
    let Action::Forward(route) = &route.action else {
        panic!("a plan without a way");
    };
    let edits = request_edits(&Attempt {
        snapshot,
        head,
        plan,
        deployment,
        request_id: &HeaderValue::from_static("id-1"),
        trace: TraceHop::Passed(1),
        encrypted: false,
        via: "1.1 serin",
    });
    let mut written = Written::of(fields);
    written.apply(edits.iter().chain(&route.request_edits));
    let target = plan.target.as_deref().unwrap_or(head.path);
    written.after(&format!("{} {target} HTTP/1.1", head.method))
}

/// The origin's answer as the client reads it, and its status.
fn to_client(snapshot: &Snapshot, plan: &Plan, served: Served) -> (u16, String) {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut slots);
    let status = parsed.parse(RESPONSE.as_bytes()).expect("a response");
    assert!(status.is_complete());
    let mut written = Written::of(&RawFields::of(pairs(parsed.headers)));
    let route = snapshot.router.route(plan.route).expect("a route");
    let Action::Forward(forward) = &route.action else {
        panic!("a plan without a way");
    };
    let edits = response_edits(snapshot, plan, served, forward.expose, false);
    written.apply(edits.iter().chain(&route.response_edits));
    (
        parsed.code.expect("a status"),
        written.after("HTTP/1.1 200 OK"),
    )
}

fn outcome<'a>(
    snapshot: &'a Arc<Snapshot>,
    head: &RequestHead<'a>,
    plan: Option<&Plan>,
    served: Option<Served>,
    status: u16,
) -> Outcome<'a> {
    Outcome {
        snapshot,
        route: plan.map(|plan| plan.route),
        service: plan.map(|plan| plan.service),
        decision: plan.map(|plan| plan.decision),
        served: served.map(|served| served.deployment),
        cause: served.and_then(|served| served.cause),
        retries: &[],
        status,
        request_bytes: 0,
        response_bytes: 2,
        upstream_time: Some(Duration::from_millis(3)),
        total_time: Duration::from_millis(4),
        moment: NOW,
        method: head.method,
        host: head.host(),
        path: head.path,
        user: plan.and_then(|plan| plan.user),
        user_id: None,
        client: CLIENT,
        request_id: "id-1",
        upstream: None,
        trace_id: None,
    }
}

fn deployment<'a>(service: &'a Service, name: &str) -> &'a crate::snapshot::Deployment {
    let found = service.deployments.iter().find(|own| *own.name == *name);
    found.expect("a deployment")
}

#[test]
fn a_request_goes_its_whole_way_without_a_session() {
    let snapshot = Arc::new(sample::snapshot(Anonymous::Stable));
    let told = exchange(&snapshot, REQUEST, None);
    insta::assert_snapshot!(told.upstream.replace("\r\n", "\n").trim_end(), @"
    GET /a?q=1 HTTP/1.1
    host: api.example.com
    x-user-id: ann
    accept: */*
    x-serin-deployment: search.a
    baggage: k=v,serin.search=search.a
    x-request-id: id-1
    x-forwarded-for: 192.0.2.1
    x-forwarded-proto: http
    x-forwarded-host: api.example.com
    via: 1.1 serin
    x-route: yes
    ");
    insta::assert_snapshot!(told.downstream.replace("\r\n", "\n").trim_end(), @r#"
    HTTP/1.1 200 OK
    content-length: 2
    x-serin-decision: search="search.a";served="search.a";reason="ring"
    "#);
    let service = &snapshot.services[0];
    let canary = &deployment(service, "search.a").meter;
    assert_eq!(canary.served.counts().collect::<Vec<_>>(), [(200, 1)]);
    assert_eq!(canary.durations.total.counts().iter().sum::<u64>(), 1);
    assert_eq!(canary.durations.upstream.counts().iter().sum::<u64>(), 1);
    let by_flag = &service.candidates[0].default_arm.meter;
    assert_eq!(by_flag[ReasonKind::Ring.index()].get(), 1);
    assert_eq!(
        service
            .stable()
            .meter
            .durations
            .total
            .counts()
            .iter()
            .sum::<u64>(),
        0
    );
}

#[test]
fn a_request_whose_canary_is_away_is_stables_on_every_count() {
    let snapshot = Arc::new(sample::snapshot(Anonymous::Stable));
    let told = exchange(&snapshot, REQUEST, Some(Cause::Connect));
    let service = &snapshot.services[0];
    assert!(told.upstream.contains("\r\nx-serin-deployment: stable\r\n"));
    assert!(
        told.upstream
            .contains("\r\nbaggage: k=v,serin.search=stable\r\n")
    );
    let decision = r#"search="search.a";served="stable";reason="ring";cause="connect""#;
    assert!(
        told.downstream
            .contains(&format!("\r\nx-serin-decision: {decision}\r\n"))
    );
    let canary = &deployment(service, "search.a").meter;
    assert_eq!(
        canary.served_by_stable.counts().collect::<Vec<_>>(),
        [(200, 1)]
    );
    assert_eq!(canary.rescues[Cause::Connect.index()].get(), 1);
    assert_eq!(canary.durations.total.counts().iter().sum::<u64>(), 0);
    let by_stable = canary.durations_by_stable.get().expect("it was rescued");
    assert_eq!(by_stable.total.counts().iter().sum::<u64>(), 1);
    let stable = &service.stable().meter;
    assert_eq!(stable.durations.total.counts().iter().sum::<u64>(), 0);
}

#[test]
fn a_request_that_no_route_takes_is_counted_where_none_is() {
    let snapshot = Arc::new(sample::snapshot(Anonymous::Stable));
    let told = exchange(
        &snapshot,
        "GET /no HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        None,
    );
    assert_eq!(told.upstream, "");
    assert_eq!(
        snapshot.unrouted.served.counts().collect::<Vec<_>>(),
        [(404, 1)]
    );
}
