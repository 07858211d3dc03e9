//! Exemplars of figures: on the page, at a real Prometheus, and at the collector under the same IDs.

use std::collections::BTreeMap;

use regex::Regex;

use super::{CONFIG, SPAN, TRACE, TRUSTING, told, tracing};
use crate::harness::collector::{Collector, Span};
use crate::harness::metrics::{Metrics, Sample};
use crate::harness::prometheus::Prometheus;
use crate::harness::{Call, Gateway, Origin, Reply, eventually, fill, get};

/// What stands behind a sample.
#[derive(Clone, Debug, PartialEq)]
struct Exemplar {
    sample: Sample,
    trace: String,
    span: String,
    value: f64,
    unix_ms: u64,
}

impl Exemplar {
    fn is_of(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        Metrics(vec![self.sample.clone()])
            .matching(name, labels)
            .next()
            .is_some()
    }
}

/// A page of OpenMetrics, and its exemplars in their order.
async fn page(gateway: &Gateway) -> (Metrics, Vec<Exemplar>) {
    let call = get("/metrics").header("accept", "application/openmetrics-text");
    let answer = gateway.admin_send(call).await;
    assert!(answer.text().ends_with("# EOF\n"));
    let form = Regex::new(
        r#"^\{trace_id="([0-9a-f]{32})",span_id="([0-9a-f]{16})"\} (\S+) (\d+)\.(\d{3})$"#,
    );
    let form = form.expect("an expression");
    let mut exemplars = Vec::new();
    for (sample, exemplar) in answer
        .text()
        .lines()
        .filter_map(|line| line.split_once(" # "))
    {
        let found = form.captures(exemplar).expect(exemplar);
        let name = sample.split('{').next().expect("a name");
        assert!(
            name.ends_with("_total") || name.ends_with("_bucket"),
            "{sample} may have none"
        );
        exemplars.push(Exemplar {
            sample: Metrics::parse(sample).0.remove(0),
            trace: found[1].to_owned(),
            span: found[2].to_owned(),
            value: found[3].parse().expect("a number"),
            unix_ms: format!("{}{}", &found[4], &found[5])
                .parse()
                .expect("a number"),
        });
    }
    (Metrics::parse(answer.text()), exemplars)
}

/// Exemplars once there are so many.
async fn exemplars(gateway: &Gateway, count: usize) -> Vec<Exemplar> {
    eventually(&format!("{count} exemplars"), || async {
        let (_, found) = page(gateway).await;
        (found.len() >= count).then_some(found)
    })
    .await
}

/// The only one of this series.
fn only<'e>(exemplars: &'e [Exemplar], name: &str, labels: &[(&str, &str)]) -> &'e Exemplar {
    let mut found = exemplars.iter().filter(|one| one.is_of(name, labels));
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        other => panic!("{name}{labels:?}: {other:?} of {exemplars:#?}"),
    }
}

/// Fails unless an exemplar of durations is this span, in the bucket that it fell into.
fn assert_is(exemplar: &Exemplar, span: &Span, metrics: &Metrics) {
    assert_eq!((&exemplar.trace, &exemplar.span), (&span.trace, &span.id));
    let seconds = (span.end - span.begin) as f64 / 1e9;
    assert!(
        (exemplar.value - seconds).abs() < 1e-9,
        "{exemplar:?} {span:?}"
    );
    assert_eq!(exemplar.unix_ms, span.end / 1_000_000);
    let of_series = |sample: &&Sample| {
        let without = |labels: &BTreeMap<String, String>| {
            let mut labels = labels.clone();
            labels.remove("le");
            labels
        };
        sample.name == exemplar.sample.name
            && without(&sample.labels) == without(&exemplar.sample.labels)
    };
    let bound = |sample: &Sample| sample.labels["le"].parse::<f64>().expect("a bound");
    let bounds = metrics.0.iter().filter(of_series).map(bound);
    let holds = bounds.filter(|bound| exemplar.value <= *bound);
    assert_eq!(
        holds.reduce(f64::min),
        Some(bound(&exemplar.sample)),
        "{exemplar:?}"
    );
}

fn sampled(path: &str) -> Call {
    get(path).header("traceparent", &format!("00-{TRACE}-{SPAN}-01"))
}

#[tokio::test]
async fn a_recorded_request_is_the_exemplar_of_what_counted_it() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let config = fill(CONFIG, [&stable, &canary]) + TRUSTING;
    let gateway = Gateway::start(config + &tracing(&collector, ", sample: 0%")).await;
    // What comes next on a connection is served when all is done for what came before.
    let mut connection = gateway.connect().await;
    for path in ["/quiet", "/also-quiet"] {
        let answer = connection.send(get(path).user("u1")).await;
        answer.assert_from("canary");
    }
    assert_eq!(page(&gateway).await.1, [], "none is recorded");
    connection.send(sampled("/seen").user("u1")).await;
    connection.send(get("/after").user("u1")).await;
    let (metrics, found) = page(&gateway).await;
    let server = collector.await_request("/seen").await.remove(0);
    let labels = [
        ("service", "search"),
        ("assigned", "search.ranker"),
        ("served", "search.ranker"),
    ];
    let duration = only(&found, "serin_request_duration_seconds_bucket", &labels);
    assert_is(duration, &server, &metrics);
    let recorded = canary.requests();
    let seen = recorded.iter().find(|one| one.target == "/seen");
    assert_eq!(told(seen.expect("it came")).0, duration.trace);
    let counted = only(&found, "serin_requests_total", &labels);
    assert_eq!((&*counted.trace, counted.value), (TRACE, 1.0));
    assert_eq!(counted.sample.labels["code"], "200");
    assert_eq!(found.len(), 2, "{found:#?}");
    let classic = gateway.admin("/metrics").await;
    assert!(!classic.text().contains(TRACE) && !classic.text().contains(" # "));
}

#[tokio::test]
async fn rescued_and_failed_requests_are_exemplars_whatever_is_sampled() {
    let (mut stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let config = fill(CONFIG, [&stable, &canary]) + &tracing(&collector, ", sample: 0%");
    let gateway = Gateway::start(config).await;
    canary.answer(|_| Reply::status(503));
    gateway.get_as("u1", "/busy").await.assert_from("stable");
    let rescued = exemplars(&gateway, 3).await;
    let (metrics, _) = page(&gateway).await;
    let server = collector.await_request("/busy").await.remove(0);
    let by_stable = [("assigned", "search.ranker"), ("served", "stable")];
    let duration = only(
        &rescued,
        "serin_request_duration_seconds_bucket",
        &by_stable,
    );
    assert_is(duration, &server, &metrics);
    let cause = [("from", "search.ranker"), ("cause", "status")];
    for (name, labels) in [
        ("serin_rescues_total", cause),
        ("serin_requests_total", by_stable),
    ] {
        let counted = only(&rescued, name, &labels);
        assert_eq!((&counted.trace, &counted.span), (&server.trace, &server.id));
    }
    stable.stop().await;
    assert_eq!(gateway.send(get("/failed")).await.status, 502);
    // How long it took is not counted where nobody served.
    let failed = exemplars(&gateway, 4).await;
    let labels = [("assigned", "stable"), ("served", "-"), ("code", "502")];
    let counted = only(&failed, "serin_requests_total", &labels);
    let server = collector.await_request("/failed").await.remove(0);
    assert_eq!((&counted.trace, &counted.span), (&server.trace, &server.id));
    assert_eq!(failed.len(), 4, "{failed:#?}");
}

#[tokio::test]
async fn none_comes_of_requests_to_the_gateway_nor_without_tracing() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let config = fill(CONFIG, [&stable, &canary]) + TRUSTING + "client_api: { path: /.serin }\n";
    let all = tracing(&collector, ", sample: 100%");
    let gateway = Gateway::start(config.clone() + &all).await;
    let own = gateway.get_as("u1", "/.serin/decisions").await;
    assert_eq!(own.status, 200, "{own:?}");
    collector.await_request("/.serin/decisions").await;
    assert_eq!(page(&gateway).await.1, []);
    gateway.get_as("u1", "/first").await.assert_from("canary");
    let first = exemplars(&gateway, 2).await;
    gateway.rewrite_config(&config);
    gateway.await_generation(2).await;
    let mut connection = gateway.connect().await;
    for path in ["/second", "/third"] {
        let answer = connection.send(sampled(path).user("u1")).await;
        answer.assert_from("canary");
    }
    let (metrics, found) = page(&gateway).await;
    let pairs = |exemplars: &[Exemplar]| -> Vec<(String, String)> {
        let pair = |one: &Exemplar| (one.trace.clone(), one.span.clone());
        exemplars.iter().map(pair).collect()
    };
    assert_eq!(pairs(&found), pairs(&first));
    assert!(metrics.sum("serin_requests_total", &[("assigned", "search.ranker")]) >= 2.0);
}

#[tokio::test]
async fn a_prometheus_keeps_them() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let collector = Collector::start().await;
    let config = fill(CONFIG, [&stable, &canary]) + &tracing(&collector, ", sample: 0%");
    let gateway = Gateway::start(config).await;
    canary.answer(|_| Reply::status(503));
    gateway.get_as("u1", "/busy").await.assert_from("stable");
    let server = collector.await_request("/busy").await.remove(0);
    let prometheus = Prometheus::start("groups: []\n").await;
    prometheus.scrape(&[("one", gateway.admin_address())]);
    for (query, of) in [
        (
            "serin_rescues_total{from=\"search.ranker\"}",
            ("cause", "status"),
        ),
        (
            "histogram_quantile(0.99, sum by (assigned, le) (rate(serin_request_duration_seconds_bucket[5m])))",
            ("served", "stable"),
        ),
    ] {
        let kept = eventually(query, || prometheus.exemplars(query)).await;
        assert_eq!(kept["seriesLabels"][of.0], of.1, "{kept}");
        let [one] = kept["exemplars"].as_array().expect("some").as_slice() else {
            panic!("{kept}");
        };
        assert_eq!(one["labels"]["trace_id"], *server.trace);
        assert_eq!(one["labels"]["span_id"], *server.id);
        let at = one["timestamp"].as_f64().expect("a time");
        assert!((at - (server.end / 1_000_000) as f64 / 1e3).abs() < 1e-3);
    }
}
