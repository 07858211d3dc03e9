//! One changed flag among many on its way from a flag server's answer to the requests: all of it, off the request path.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use serde_json::json;
use serin::engine::unleash::FeatureSet;
use serin::publisher::Publisher;
use serin::registry::kills::Kills;
use serin::resolver::ClusterManager;
use serin::resolver::dns::Dns;
use serin::telemetry::metrics::MeterRegistry;
use tokio::runtime::Builder;

use crate::yaml::{compile, text};

const FLAGS: usize = 10_000;
const IDS: usize = 100;

/// 10,000 flags with 100 IDs each, all of them canaries of one service; one has another percentage with every update.
pub(crate) fn group() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(5))
        .sample_size(20)
        .configure_from_args();
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = "unleash: { url: 'http://127.0.0.1:9/api', token: t }\n";
    let config = compile(&(text(10, 0) + server));
    let source: Arc<str> = "unleash".into();
    let sets = [10, 20].map(set);
    let publisher = {
        let _entered = runtime.enter();
        let dns = Dns::new(Some("127.0.0.1:9")).expect("a resolver");
        let clusters = ClusterManager::new(dns, runtime.handle().clone(), Box::default());
        let stored = vec![(source.clone(), sets[0].clone().into())];
        let meters = MeterRegistry::default();
        let registry = Kills::in_memory();
        Publisher::start(
            Arc::new(config),
            stored,
            clusters,
            meters,
            registry,
            runtime.handle(),
        )
    };
    let mut turn = sets.iter().cycle().skip(1);
    criterion.bench_function("publish/one changed flag of 10,000", |bencher| {
        bencher.iter_batched(
            || turn.next().cloned().unwrap_or_default(),
            |set| {
                let published = runtime.block_on(publisher.publish_flags(&source, set, Vec::new()));
                let published = published.expect("a publisher");
                assert_eq!(published.changes.changed.len(), 1);
            },
            BatchSize::PerIteration,
        );
    });
    criterion.final_summary();
}

/// Everything as an answer of the server has it, where the first flag's rollout is `percent`.
fn set(percent: u8) -> FeatureSet {
    let feature = |index: usize| {
        let ids: Vec<String> = (0..IDS)
            .map(|id| format!("customer-{index}-{id}"))
            .collect();
        let percent = if index == 0 { percent } else { 10 };
        json!({ "name": format!("other.f{index}"), "enabled": true, "strategies": [{
            "name": "flexibleRollout",
            "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": "g" },
            "constraints": [{ "contextName": "userId", "operator": "IN", "values": ids }],
            "variants": [{ "name": "canary", "weight": 1000, "stickiness": "userId",
                "payload": { "type": "string", "value": format!("http://127.0.0.1:{}", 9000 + index % 100) } }],
        }] })
    };
    let features: Vec<_> = (0..FLAGS).map(feature).collect();
    let body = json!({ "version": 2, "features": features }).to_string();
    FeatureSet::parse(body.as_bytes()).expect("a feature document")
}
