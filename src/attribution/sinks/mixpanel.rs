//! Mixpanel, by its import API: events of any age, deduplicated by event, user, time and `$insert_id`.
//!
//! <https://developer.mixpanel.com/reference/import-events>

use std::io;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::http::{Poster, Reply};
use super::{Answer, BatchLimits, Sink};
use crate::attribution::document::ExposureDocument;
use crate::config::attribution::sinks::MixpanelSink;

/// Imports events into a project.
#[derive(Debug)]
pub(super) struct Mixpanel {
    poster: Poster,
}

#[derive(Serialize)]
struct Event<'a> {
    event: &'static str,
    properties: Properties<'a>,
}

/// Ours come first: a property of the same name does not take their place.
#[derive(Serialize)]
struct Properties<'a> {
    time: i64,
    distinct_id: &'a str,
    #[serde(rename = "$insert_id")]
    insert_id: &'a str,
    #[serde(rename = "Experiment name")]
    experiment: &'a str,
    #[serde(rename = "Variant name")]
    variant: &'a str,
    #[serde(rename = "$experiment_type")]
    experiment_type: &'static str,
    service: &'a str,
    arm: &'a str,
    assigned: &'a str,
    served: &'a str,
    cause: Option<&'a str>,
    reason: &'a str,
    ring: Option<&'a str>,
    randomised: bool,
    route: Option<&'a str>,
    generation: u64,
    gateway: &'a str,
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

/// What a 400 says: the rest of the batch is imported.
#[derive(Debug, Deserialize)]
struct PartialSuccess {
    #[serde(default)]
    failed_records: Vec<FailedRecord>,
}

#[derive(Debug, Deserialize)]
struct FailedRecord {
    index: usize,
    #[serde(default)]
    field: String,
    #[serde(default)]
    message: String,
}

impl Mixpanel {
    pub(super) fn new(config: &MixpanelSink) -> io::Result<Self> {
        let credentials = format!("{}:{}", config.user, config.secret.expose());
        let basic = format!("Basic {}", STANDARD.encode(credentials));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Base64 is visible ASCII.
        if let Ok(mut basic) = HeaderValue::from_str(&basic) {
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        let path = format!("/import?strict=1&project_id={}", config.project_id);
        let poster = Poster::new(&config.url, path, headers)?;
        Ok(Self { poster })
    }
}

impl<'a> Event<'a> {
    fn of(exposure: &'a ExposureDocument) -> Self {
        let stated = exposure.variant.as_deref();
        let properties = exposure.properties.iter();
        Self {
            event: "$experiment_started",
            properties: Properties {
                time: exposure.unix_ms(),
                distinct_id: &exposure.user,
                insert_id: &exposure.id,
                experiment: &exposure.flag,
                // Who was rescued saw the stable deployment, whatever the variant: reports must not count them as treated.
                variant: match (&*exposure.arm, stated) {
                    ("canary", Some(variant)) => variant,
                    (arm, _) => arm,
                },
                experiment_type: "feature_flag",
                service: &exposure.service,
                arm: &exposure.arm,
                assigned: &exposure.assigned,
                served: &exposure.served,
                cause: exposure.cause.as_deref(),
                reason: &exposure.reason,
                ring: exposure.ring.as_deref(),
                randomised: exposure.randomised,
                route: exposure.route.as_deref(),
                generation: exposure.generation,
                gateway: &exposure.gateway,
                more: properties
                    .filter(|(name, _)| !is_taken(name))
                    .map(|(name, value)| (name.to_string(), (&**value).into()))
                    .collect(),
            },
        }
    }
}

/// Whether a property's name is one of ours or of Mixpanel's own.
fn is_taken(name: &str) -> bool {
    const OURS: [&str; 15] = [
        "time",
        "distinct_id",
        "token",
        "ip",
        "service",
        "arm",
        "assigned",
        "served",
        "cause",
        "reason",
        "ring",
        "randomised",
        "route",
        "generation",
        "gateway",
    ];
    name.starts_with('$') || name.starts_with("mp_") || OURS.contains(&name)
}

#[async_trait]
impl Sink for Mixpanel {
    fn product(&self) -> &'static str {
        "mixpanel"
    }

    // It takes 2,000 events and 2 MB.
    fn limits(&self) -> BatchLimits {
        BatchLimits {
            records: 2_000,
            bytes: 900 << 10,
        }
    }

    async fn deliver(&mut self, batch: &[ExposureDocument]) -> Answer {
        let events: Vec<Event> = batch.iter().map(Event::of).collect();
        let body = match serde_json::to_vec(&events) {
            Ok(body) => body,
            Err(error) => return Answer::Refused(error.to_string()),
        };
        match self.poster.post(body, HeaderMap::new()).await {
            Ok(reply) => judge(&reply, batch.len()),
            Err(answer) => answer,
        }
    }
}

fn judge(reply: &Reply, sent: usize) -> Answer {
    if reply.status != StatusCode::BAD_REQUEST {
        return reply.judge();
    }
    // Without a list that fits, it is not a partial success but a request that it does not understand.
    let Ok(PartialSuccess { failed_records }) = serde_json::from_slice(&reply.body) else {
        return reply.judge();
    };
    if failed_records.is_empty() || failed_records.iter().any(|failed| failed.index >= sent) {
        return reply.judge();
    }
    let refused = failed_records.into_iter().map(|failed| {
        let FailedRecord {
            index,
            field,
            message,
        } = failed;
        (index, format!("{field}: {message}"))
    });
    Answer::Taken(refused.collect())
}

#[cfg(test)]
mod tests {
    use super::Event;
    use crate::attribution::document::tests::exposure;

    fn event(arm: &str, variant: Option<&str>) -> serde_json::Value {
        let mut exposure = exposure("u1", 1);
        exposure.arm = arm.into();
        exposure.variant = variant.map(Into::into);
        exposure.properties.insert("served".into(), "forged".into());
        exposure.properties.insert("$token".into(), "x".into());
        serde_json::to_value(Event::of(&exposure)).unwrap()
    }

    #[test]
    fn an_exposure_is_the_start_of_an_experiment() {
        insta::assert_snapshot!(event("canary", Some("treatment")), @r#"{"event":"$experiment_started","properties":{"$experiment_type":"feature_flag","$insert_id":"00000000000000000000000000000001","Experiment name":"search.ranker-v2","Variant name":"treatment","arm":"canary","assigned":"search.ranker-v2","cause":null,"distinct_id":"u1","gateway":"gw-1","generation":41,"randomised":true,"reason":"ring","region":"eu","ring":"early","route":"/search","served":"search.ranker-v2","service":"search","time":1795773600123}}"#);
    }

    #[test]
    fn only_who_was_served_by_the_canary_has_its_variant() {
        for (arm, variant, shown) in [
            ("canary", None, "canary"),
            ("canary", Some("b"), "b"),
            ("control", Some("b"), "control"),
            ("other", Some("b"), "other"),
        ] {
            assert_eq!(event(arm, variant)["properties"]["Variant name"], shown);
        }
    }
}
