//! Reports to a server, as JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::client::SPEC;
use super::identity::Identity;
use super::meter_reader::{Impact, MetricsBucket, Uses};
use crate::config::unleash::UnleashConfig;
use crate::context::Moment;
use crate::meter::BUCKETS;

/// The strategies that are known here.
const STRATEGIES: [&str; 8] = [
    "default",
    "userWithId",
    "flexibleRollout",
    "gradualRolloutUserId",
    "gradualRolloutSessionId",
    "gradualRolloutRandom",
    "remoteAddress",
    "applicationHostname",
];

/// How many flags one report is about: servers take 100 kB.
const FLAGS: usize = 300;
/// How many deployments one report is about.
const DEPLOYMENTS: usize = 80;

/// The body of `POST /client/register`.
pub(super) fn registration(config: &UnleashConfig, identity: &Identity, started: Moment) -> Bytes {
    let mut body = head(config, identity);
    body.extend(object(json!({
        "strategies": STRATEGIES,
        "started": started.to_string(),
        "interval": u64::try_from(config.poll.as_millis()).unwrap_or(u64::MAX),
        "platformName": "rust",
        "platformVersion": env!("CARGO_PKG_RUST_VERSION"),
        "yggdrasilVersion": null,
        "specVersion": SPEC,
    })));
    Value::Object(body).to_string().into()
}

/// A bucket in reports that a server takes, each as large as it may be.
pub(super) fn parts(bucket: MetricsBucket) -> Vec<MetricsBucket> {
    let mut parts = Vec::new();
    let (mut flags, mut deployments) = (bucket.flags, bucket.deployments);
    while !(flags.is_empty() && deployments.is_empty()) {
        let mut part = MetricsBucket::new(bucket.start);
        part.flags = first(&mut flags, FLAGS);
        part.deployments = first(&mut deployments, DEPLOYMENTS);
        parts.push(part);
    }
    parts
}

/// The body of `POST /client/metrics`.
pub(super) fn report(
    config: &UnleashConfig,
    identity: &Identity,
    bucket: &MetricsBucket,
    stop: Moment,
) -> Bytes {
    let toggles: Map<String, Value> = bucket
        .flags
        .iter()
        .map(|(name, uses)| (name.to_string(), toggle(uses)))
        .collect();
    let mut body = head(config, identity);
    body.extend(object(json!({
        "bucket": {
            "start": bucket.start.to_string(),
            "stop": stop.to_string(),
            "toggles": toggles,
        },
    })));
    if !bucket.deployments.is_empty() {
        body.insert("impactMetrics".to_owned(), impact(config, bucket));
    }
    Value::Object(body).to_string().into()
}

fn head(config: &UnleashConfig, identity: &Identity) -> Map<String, Value> {
    object(json!({
        "appName": &*config.app_name,
        "instanceId": identity.instance,
        "connectionId": identity.connection,
        "sdkVersion": identity.sdk(),
    }))
}

/// As the SDKs count: who is not on gets the variant `disabled` of a flag that has variants.
fn toggle(uses: &Uses) -> Value {
    let mut variants: Map<String, Value> = uses
        .variants
        .iter()
        .map(|(name, count)| (name.to_string(), json!(count)))
        .collect();
    let chosen: u64 = uses.variants.values().sum();
    let asked = (uses.no + uses.yes).saturating_sub(uses.plain);
    let without = asked.saturating_sub(chosen);
    if uses.has_variants && without > 0 {
        variants.insert("disabled".to_owned(), json!(without));
    }
    json!({ "yes": uses.yes, "no": uses.no, "variants": variants })
}

fn impact(config: &UnleashConfig, bucket: &MetricsBucket) -> Value {
    type Figure = fn(&Impact) -> u64;
    let counters: [(&str, &str, Figure); 3] = [
        (
            "serin_requests_total",
            "Requests that were meant for the deployment",
            |impact| impact.requests,
        ),
        (
            "serin_request_errors_total",
            "Requests that were meant for the deployment and ended with a 5xx",
            |impact| impact.errors,
        ),
        (
            "serin_rescues_total",
            "Requests that stable had to serve in the deployment's place",
            |impact| impact.rescues,
        ),
    ];
    let samples = |sample: &dyn Fn(&Impact) -> Map<String, Value>| -> Vec<Value> {
        bucket
            .deployments
            .iter()
            .map(|((service, deployment), impact)| {
                let mut sample = sample(impact);
                let labels = json!({ "service": &**service, "deployment": &**deployment, "appName": &*config.app_name });
                sample.insert("labels".to_owned(), labels);
                Value::Object(sample)
            })
            .collect()
    };
    let mut metrics: Vec<Value> = counters
        .iter()
        .map(|(name, help, figure)| {
            let samples = samples(&|impact| object(json!({ "value": figure(impact) })));
            json!({ "name": name, "help": help, "type": "counter", "samples": samples })
        })
        .collect();
    metrics.push(json!({
        "name": "serin_request_duration_seconds",
        "help": "How long requests took that were meant for the deployment",
        "type": "histogram",
        "samples": samples(&durations),
    }));
    Value::Array(metrics)
}

fn durations(impact: &Impact) -> Map<String, Value> {
    let bounds = BUCKETS.iter().map(|bound| json!(bound));
    let mut count = 0;
    let buckets: Vec<Value> = bounds
        .chain([json!("+Inf")])
        .zip(impact.durations)
        .map(|(bound, more)| {
            count += more;
            json!({ "le": bound, "count": count })
        })
        .collect();
    object(json!({ "count": count, "sum": impact.seconds, "buckets": buckets }))
}

fn first<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, most: usize) -> BTreeMap<K, V> {
    let rest = match map.keys().nth(most).cloned() {
        Some(key) => map.split_off(&key),
        None => BTreeMap::new(),
    };
    std::mem::replace(map, rest)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{parts, registration, report};
    use crate::config::flag_server::{Secret, ServerUrl, Streaming};
    use crate::config::unleash::UnleashConfig;
    use crate::context::Moment;
    use crate::source::unleash::identity::Identity;
    use crate::source::unleash::meter_reader::{Impact, MetricsBucket, Uses};

    fn config() -> UnleashConfig {
        UnleashConfig {
            name: "unleash".into(),
            url: ServerUrl::parse("http://127.0.0.1/api").expect("a URL"),
            token: Secret::new("secret"),
            app_name: "edge".into(),
            poll: Duration::from_secs(15),
            admin: None,
            streaming: Streaming::Auto,
        }
    }

    fn identity() -> Identity {
        Identity {
            instance: "host-1".into(),
            connection: "c".into(),
        }
    }

    fn read(body: &[u8]) -> Value {
        assert!(!String::from_utf8_lossy(body).contains("secret"));
        serde_json::from_slice(body).expect("JSON")
    }

    fn bucket() -> MetricsBucket {
        let mut bucket = MetricsBucket::new(Moment { unix_ms: 0 });
        let variants = BTreeMap::from([(Arc::from("canary"), 3)]);
        let with = Uses {
            yes: 4,
            no: 5,
            variants,
            has_variants: true,
            plain: 0,
        };
        let without = Uses {
            yes: 1,
            no: 0,
            ..Uses::default()
        };
        bucket.flags.insert("a".into(), with);
        bucket.flags.insert("b".into(), without);
        let mut impact = Impact {
            requests: 7,
            errors: 2,
            rescues: 1,
            seconds: 0.5,
            ..Impact::default()
        };
        impact.durations[0] = 4;
        impact.durations[16] = 2;
        bucket
            .deployments
            .insert(("search".into(), "a:canary".into()), impact);
        bucket
    }

    #[test]
    fn a_report_is_what_a_server_takes() {
        let body = read(&report(
            &config(),
            &identity(),
            &bucket(),
            Moment { unix_ms: 60_000 },
        ));
        assert_eq!(
            body["bucket"],
            json!({
                "start": "1970-01-01T00:00:00Z",
                "stop": "1970-01-01T00:01:00Z",
                "toggles": {
                    "a": { "yes": 4, "no": 5, "variants": { "canary": 3, "disabled": 6 } },
                    "b": { "yes": 1, "no": 0, "variants": {} },
                },
            })
        );
        assert_eq!(
            (&body["appName"], &body["instanceId"]),
            (&json!("edge"), &json!("host-1"))
        );
        let metrics = body["impactMetrics"].as_array().expect("metrics");
        assert_eq!(metrics.len(), 4);
        assert_eq!(
            metrics[1]["samples"],
            json!([{ "value": 2, "labels": { "service": "search", "deployment": "a:canary", "appName": "edge" } }])
        );
        let sample = &metrics[3]["samples"][0];
        assert_eq!((&sample["count"], &sample["sum"]), (&json!(6), &json!(0.5)));
        assert_eq!(sample["buckets"][0], json!({ "le": 0.001, "count": 4 }));
        assert_eq!(sample["buckets"][16], json!({ "le": "+Inf", "count": 6 }));
    }

    #[test]
    fn a_large_bucket_is_told_in_parts_that_a_server_takes() {
        let mut bucket = bucket();
        for number in 0..1000 {
            let uses = bucket.flags[&Arc::<str>::from("a")].clone();
            let name = format!("some-team.some-feature.{number}");
            bucket.flags.insert(name.into(), uses);
            let impact = bucket.deployments.values().next().cloned();
            let key = ("search".into(), format!("canary-{number}").into());
            bucket.deployments.insert(key, impact.expect("one"));
        }
        let all = (bucket.flags.len(), bucket.deployments.len());
        let parts = parts(bucket);
        let told = parts.iter().fold((0, 0), |(flags, deployments), part| {
            let body = report(&config(), &identity(), part, Moment { unix_ms: 1 });
            assert!(body.len() < 100_000, "{}", body.len());
            (
                flags + part.flags.len(),
                deployments + part.deployments.len(),
            )
        });
        assert_eq!(told, all);
    }

    #[test]
    fn a_registration_says_what_is_known_here() {
        let started = Moment { unix_ms: 1 };
        let body = read(&registration(&config(), &identity(), started));
        assert_eq!(body["interval"], 15_000);
        assert_eq!(body["started"], "1970-01-01T00:00:00.001Z");
        assert_eq!(body["specVersion"], "5.2.0");
        assert!(body["strategies"].as_array().expect("a list").len() == 8);
    }
}
