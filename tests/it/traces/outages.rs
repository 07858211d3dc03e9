//! A collector that is away, busy, silent or refuses, and a configuration that changes: requests never notice.

use serde_json::Value;
use tokio::net::TcpListener;

use super::{CONFIG, tracing};
use crate::harness::collector::Collector;
use crate::harness::{Gateway, Origin, SinkReply, fill, get, until};

/// A gateway that tells every request, and what is behind it.
struct Traced {
    gateway: Gateway,
    config: String,
    _origins: [Origin; 2],
}

impl Traced {
    async fn start(tracing: &str) -> Self {
        let origins = [Origin::start("stable").await, Origin::start("canary").await];
        let config = fill(CONFIG, [&origins[0], &origins[1]]);
        Self {
            gateway: Gateway::start(format!("{config}{tracing}")).await,
            config,
            _origins: origins,
        }
    }

    async fn ask(&self, path: &str) {
        self.gateway.send(get(path)).await.assert_from("stable");
    }

    async fn await_spans(&self, result: &str, count: f64) {
        let labels = [("result", result)];
        self.gateway
            .await_metric("serin_spans_total", &labels, count)
            .await;
    }

    async fn status(&self) -> Value {
        self.gateway.status().await["tracing"].clone()
    }
}

#[tokio::test]
async fn spans_wait_for_a_collector_that_is_busy() {
    let collector = Collector::start().await;
    collector.0.answer(|_| SinkReply::Busy(0));
    let traced = Traced::start(&tracing(&collector, ", sample: 100%")).await;
    traced.ask("/first").await;
    let asked = || Some(collector.0.posted().len()).filter(|posted| *posted > 1);
    until("a second attempt", asked).await;
    let status = traced.status().await;
    assert_eq!(status["up"], false);
    assert!(
        status["last_error"].as_str().unwrap().contains("429"),
        "{status}"
    );
    let warnings = traced.gateway.status().await["warnings"].to_string();
    assert!(warnings.contains("does not take spans"), "{warnings}");
    collector.0.answer(|_| Collector::taken());
    assert_eq!(collector.await_request("/first").await.len(), 2);
    traced.await_spans("sent", 2.0).await;
    traced.await_spans("dropped", 0.0).await;
    assert_eq!(traced.status().await["up"], true);
}

#[tokio::test]
async fn spans_that_are_refused_are_not_sent_again() {
    let collector = Collector::start().await;
    collector
        .0
        .answer(|_| SinkReply::Status(401, "no such token".into()));
    let traced = Traced::start(&tracing(&collector, ", sample: 100%")).await;
    traced.ask("/refused").await;
    traced.await_spans("refused", 2.0).await;
    let error = traced.status().await["last_error"].to_string();
    assert!(
        error.contains("401") && error.contains("no such token"),
        "{error}"
    );
    collector.0.answer(|_| Collector::taken());
    traced.ask("/taken").await;
    traced.await_spans("sent", 2.0).await;
    assert_eq!(collector.0.posted().len(), 2);
}

#[tokio::test]
async fn a_collector_that_is_silent_costs_no_request_anything() {
    // The system takes connections for it, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let keys = format!("tracing: {{ otlp: 'http://{address}', sample: 100% }}\n");
    let mut traced = Traced::start(&keys).await;
    // More than the queue takes: the rest is dropped, and every request is answered.
    let mut connection = traced.gateway.connect().await;
    for _ in 0..3_500 {
        connection.send(get("/")).await.assert_from("stable");
    }
    let dropped = traced
        .gateway
        .metrics()
        .await
        .sum("serin_spans_total", &[("result", "dropped")]);
    assert!(dropped > 1_000.0, "{dropped}");
    // Another collector gets what comes from now on, without a restart.
    let collector = Collector::start().await;
    let config = traced.config.clone();
    let change = format!("{config}{}", tracing(&collector, ", sample: 100%"));
    let generation = traced.gateway.generation().await;
    traced.gateway.rewrite_config(&change);
    traced.gateway.await_generation(generation + 1).await;
    let needed = traced.gateway.status().await["restart_needed"].clone();
    assert_eq!(needed, serde_json::json!([]));
    // It does not hold up the end.
    assert!(traced.gateway.terminate().await.success());
}

#[tokio::test]
async fn a_reload_turns_to_another_collector_and_to_none() {
    let (first, second) = (Collector::start().await, Collector::start().await);
    first.0.answer(|_| SinkReply::Cut);
    let traced = Traced::start(&tracing(&first, ", sample: 100%")).await;
    traced.ask("/before").await;
    until("an attempt", || first.0.posted().first().cloned()).await;
    let reload = async |tracing: &str| {
        let generation = traced.gateway.generation().await;
        let config = format!("{}{tracing}", traced.config);
        traced.gateway.rewrite_config(&config);
        traced.gateway.await_generation(generation + 1).await;
    };
    reload(&tracing(&second, ", sample: 100%")).await;
    traced.ask("/after").await;
    assert_eq!(second.await_request("/after").await.len(), 2);
    traced.await_spans("dropped", 2.0).await;
    assert_eq!(traced.status().await["otlp"], second.0.url());
    assert_eq!(traced.status().await["up"], true);
    reload("").await;
    assert_eq!(traced.status().await, Value::Null);
    traced.ask("/off").await;
    reload(&tracing(&second, ", sample: 100%")).await;
    traced.ask("/on").await;
    second.await_request("/on").await;
    let told = second.spans();
    assert!(told.iter().all(|span| span.get("url.path") != "/off"));
}

#[tokio::test]
async fn what_is_queued_is_sent_before_the_end() {
    let collector = Collector::start().await;
    let mut traced = Traced::start(&tracing(&collector, ", sample: 100%")).await;
    for path in ["/one", "/two", "/three"] {
        traced.ask(path).await;
    }
    assert!(traced.gateway.terminate().await.success());
    for path in ["/one", "/two", "/three"] {
        assert_eq!(collector.await_request(path).await.len(), 2);
    }
}
