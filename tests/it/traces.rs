//! Requests as spans: at a collector, joined with what upstreams were told.

mod exemplars;
mod outages;

use crate::harness::client::send;
use crate::harness::collector::Collector;
use crate::harness::{Gateway, Origin, Recorded, Reply, Script, fill, get};

const CONFIG: &str = "
services:
  search: { stable: @stable, timeouts: { connect: 500ms }, rescue: { on: [connect, 503] } }
flags:
  search.ranker: { url: @canary, rings: [{ name: one, when: { userId: [u1] } }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
logging: { access: all }
";
const TRUSTING: &str =
    "server: { threads: 2, trusted_proxies: [127.0.0.0/8], shutdown_delay: 1ms }\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// `tracing` with this collector.
fn tracing(collector: &Collector, more: &str) -> String {
    format!("tracing: {{ otlp: '{}'{more} }}\n", collector.0.url())
}

/// Trace, span and flags that an upstream was told.
fn told(recorded: &Recorded) -> (String, String, String) {
    let header = recorded.header("traceparent").expect("a trace");
    let parts: Vec<&str> = header.split('-').collect();
    assert_eq!(parts.len(), 4, "{header}");
    (parts[1].into(), parts[2].into(), parts[3].into())
}

#[tokio::test]
async fn a_request_and_its_attempt_are_spans_that_the_upstream_joins() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let config = fill(CONFIG, [&stable, &canary]) + TRUSTING;
    let keys = ", sample: 0%, headers: { authorization: 'Bearer ${OTEL}' }";
    let setup = crate::harness::Setup::new(config + &tracing(&collector, keys));
    let gateway = setup.env("OTEL", "a-secret").start().await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let call = get("/find?q=secret")
        .user("u1")
        .header("user-agent", "tests");
    let call = call
        .header("traceparent", &parent)
        .header("tracestate", "a=b");
    gateway.send(call).await.assert_from("canary");
    let spans = collector.await_request("/find").await;
    let [server, client] = spans.as_slice() else {
        panic!("{spans:#?}");
    };
    let expected = (TRACE.to_owned(), client.id.clone(), "01".to_owned());
    assert_eq!(told(&canary.last()), expected);
    assert_eq!((&*server.trace, &*server.parent), (TRACE, SPAN));
    assert_eq!((&*client.trace, &*server.trace_state), (TRACE, "a=b"));
    assert_eq!((&*server.name, &*client.name), ("GET /", "GET"));
    assert!(server.begin <= client.begin && client.begin < client.end);
    assert!(client.end <= server.end && !server.is_error && !client.is_error);
    server.assert_has(&[
        ("service.name", "serin"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.route", "/"),
        ("url.scheme", "http"),
        ("server.address", "api.example.com"),
        ("user_agent.original", "tests"),
        ("network.protocol.version", "1.1"),
        ("feature_flag.key", "search.ranker"),
        ("feature_flag.result.reason", "targeting_match"),
        ("serin.service", "search"),
        ("serin.assigned", "search.ranker"),
        ("serin.served", "search.ranker"),
        ("serin.reason", "ring"),
        ("serin.cause", ""),
        ("error.type", ""),
    ]);
    assert!(!server.get("service.instance.id").is_empty());
    client.assert_has(&[
        ("serin.deployment", "search.ranker"),
        ("http.response.status_code", "200"),
        ("url.full", &format!("{}/find", canary.url())),
        ("server.address", "127.0.0.1"),
        ("server.port", &canary.port().to_string()),
        ("network.peer.port", &canary.port().to_string()),
        ("http.request.resend_count", ""),
    ]);
    let posted = &collector.0.posted()[0];
    assert_eq!(posted.path, "/v1/traces");
    assert_eq!(posted.header("authorization"), "Bearer a-secret");
    let line = gateway.await_access_log_of("/find").await;
    assert_eq!(line["trace_id"], TRACE);
    assert!(!gateway.log().contains("a-secret"));
}

#[tokio::test]
async fn a_rescued_request_is_always_there_with_both_attempts() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let config = fill(CONFIG, [&stable, &canary]) + &tracing(&collector, ", sample: 0%");
    let gateway = Gateway::start(config).await;
    canary.answer(|_| Reply::status(503));
    gateway.get_as("u1", "/busy").await.assert_from("stable");
    let spans = collector.await_request("/busy").await;
    let [server, first, second] = spans.as_slice() else {
        panic!("{spans:#?}");
    };
    // The canary was told that nothing is recorded, as was known by then; stable that it is.
    let (trace, span, flags) = told(&canary.last());
    assert_eq!((&trace, &span, &*flags), (&server.trace, &first.id, "02"));
    let (trace, span, flags) = told(&stable.last());
    assert_eq!((&trace, &span, &*flags), (&server.trace, &second.id, "03"));
    assert_eq!(server.parent, "", "the trace begins here");
    server.assert_has(&[
        ("serin.assigned", "search.ranker"),
        ("serin.served", "stable"),
        ("serin.cause", "status"),
        ("http.response.status_code", "200"),
    ]);
    first.assert_has(&[
        ("serin.deployment", "search.ranker"),
        ("http.response.status_code", "503"),
        ("error.type", "503"),
    ]);
    second.assert_has(&[
        ("serin.deployment", "stable"),
        ("http.request.resend_count", "1"),
        ("error.type", ""),
    ]);
    assert!(first.is_error && !second.is_error && !server.is_error);
    canary.stop().await;
    gateway.get_as("u1", "/gone").await.assert_from("stable");
    let spans = collector.await_request("/gone").await;
    assert_eq!(spans.len(), 3, "{spans:#?}");
    spans[1].assert_has(&[("error.type", "connect"), ("http.response.status_code", "")]);
    let line = gateway.await_access_log_of("/gone").await;
    assert_eq!(line["trace_id"], *spans[0].trace);
}

#[tokio::test]
async fn who_decides_on_recording() {
    let (mut stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let config = fill(CONFIG, [&stable, &canary]);
    let none = tracing(&collector, ", sample: 0%");
    let gateway = Gateway::start(config.clone() + &none).await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let call = |path: &str| get(path).header("traceparent", &parent);
    // Of anybody the trace goes on, but that it is recorded is not theirs to say.
    gateway.send(call("/anybody")).await.assert_from("stable");
    let (trace, _, flags) = told(&stable.last());
    assert_eq!((&*trace, &*flags), (TRACE, "00"));
    gateway.send(get("/quiet")).await.assert_from("stable");
    let (_, _, flags) = told(&stable.last());
    assert_eq!(flags, "02");
    stable.stop().await;
    let failed = gateway.send(call("/failed")).await;
    assert_eq!(failed.status, 502);
    let spans = collector.await_request("/failed").await;
    assert!(spans[0].is_error && spans[0].get("error.type") == "502");
    assert_eq!(spans[0].parent, SPAN);
    stable.restart().await;
    let all = tracing(&collector, ", sample: 100%");
    let gateway = Gateway::start(config + &all).await;
    gateway.send(call("/all")).await.assert_from("stable");
    assert_eq!(told(&stable.last()).2, "01");
    let spans = collector.await_request("/all").await;
    assert_eq!((&*spans[0].trace, spans.len()), (TRACE, 2));
    // What came before it was not sampled: it is not there.
    let paths: Vec<String> = collector
        .spans()
        .iter()
        .map(|span| span.get("url.path").to_owned())
        .collect();
    assert!(
        !paths
            .iter()
            .any(|path| path == "/anybody" || path == "/quiet"),
        "{paths:?}"
    );
}

#[tokio::test]
async fn a_trace_goes_through_two_gateways_and_an_application_between() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let inside = fill(CONFIG, [&stable, &canary]) + TRUSTING;
    let inside = Gateway::start(inside + &tracing(&collector, ", sample: 0%")).await;
    // An application that asks the gateway inside, and passes on the trace alone.
    let inner = inside.address();
    let app = Script::start(move |mut visit| async move {
        let named = |line: &str| Some(line.strip_prefix("traceparent: ")?.to_owned());
        let parent = visit.head.to_ascii_lowercase().lines().find_map(named);
        let parent = parent.unwrap_or_default();
        let answer = send(inner, get("/inside").header("traceparent", &parent)).await;
        let status = answer.status;
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        visit.say(answer).await;
    })
    .await;
    let edge = CONFIG
        .replace("@stable", &app.url())
        .replace("@canary", &app.url());
    let edge = Gateway::start(edge + &tracing(&collector, ", sample: 100%")).await;
    assert_eq!(edge.send(get("/outside")).await.status, 200);
    let outside = collector.await_request("/outside").await;
    let inside = collector.await_request("/inside").await;
    assert_eq!((outside.len(), inside.len()), (2, 2));
    assert_eq!(inside[0].parent, outside[1].id, "{inside:#?}");
    let traces: Vec<&str> = outside
        .iter()
        .chain(&inside)
        .map(|span| &*span.trace)
        .collect();
    assert!(traces.iter().all(|trace| *trace == traces[0]), "{traces:?}");
    assert_eq!(
        told(&stable.last()),
        (traces[0].into(), inside[1].id.clone(), "03".into())
    );
    assert_ne!(
        inside[0].get("service.instance.id"),
        outside[0].get("service.instance.id")
    );
}
