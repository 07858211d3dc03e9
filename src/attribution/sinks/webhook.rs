//! Whatever takes a POST: a batch of CloudEvents, or one as Segment and those who follow it take it.

use std::io;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::http::Poster;
use super::{Answer, BatchLimits, Sink};
use crate::attribution::document::ExposureDocument;
use crate::clock;
use crate::config::attribution::sinks::{WebhookFormat, WebhookSink};
use crate::config::flag_server::Secret;
use crate::context::Moment;

/// What a secret begins with whose key is written in base64.
const ENCODED: &str = "whsec_";

/// Posts batches to a URL.
pub(super) struct Webhook {
    poster: Poster,
    format: WebhookFormat,
    /// What requests are signed with; `None`: they are not.
    signer: Option<Hmac<Sha256>>,
}

/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: &'static str,
    time: &'a str,
    subject: &'a str,
    datacontenttype: &'static str,
    data: &'a ExposureDocument,
}

impl Webhook {
    pub(super) fn new(config: &WebhookSink) -> io::Result<Self> {
        let mut headers = HeaderMap::new();
        let content = match config.format {
            WebhookFormat::CloudEvents => "application/cloudevents-batch+json",
            WebhookFormat::Segment => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        let mut signer = None;
        match (&config.secret, config.format) {
            (Some(secret), WebhookFormat::CloudEvents) => signer = Some(signing_key(secret)?),
            (Some(secret), WebhookFormat::Segment) => {
                let basic = format!("Basic {}", STANDARD.encode(format!("{}:", secret.expose())));
                let mut basic = HeaderValue::from_str(&basic).map_err(io::Error::other)?;
                basic.set_sensitive(true);
                headers.insert(AUTHORIZATION, basic);
            }
            (None, _) => {}
        }
        Ok(Self {
            poster: Poster::new(&config.url, String::new(), headers)?,
            format: config.format,
            signer,
        })
    }
}

/// The key that a secret stands for: as Standard Webhooks write it, or the text's own bytes.
fn signing_key(secret: &Secret) -> io::Result<Hmac<Sha256>> {
    let text = secret.expose();
    let key = match text.strip_prefix(ENCODED) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| io::Error::other("after `whsec_`, its `secret` is no base64"))?,
        None => text.as_bytes().to_vec(),
    };
    Hmac::new_from_slice(&key).map_err(io::Error::other)
}

/// What tells a message from others: the same for the same batch, so that receivers can drop a repeat.
fn message_id(batch: &[ExposureDocument]) -> String {
    let mut hasher = Sha256::new();
    for exposure in batch {
        hasher.update(exposure.id.as_bytes());
        hasher.update(b"\n");
    }
    let digest = hasher.finalize();
    let hex = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("msg_{}", hex.collect::<String>())
}

/// The headers of a signed message, <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
fn signature(signer: &Hmac<Sha256>, id: &str, now: Moment, body: &[u8]) -> HeaderMap {
    let seconds = now.unix_ms.div_euclid(1000).to_string();
    let mut signer = signer.clone();
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        signer.update(part);
    }
    let signature = STANDARD.encode(signer.finalize().into_bytes());
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds),
        ("webhook-signature", format!("v1,{signature}")),
    ];
    // All of them are visible ASCII.
    let headers = headers.into_iter().filter_map(|(name, value)| {
        let value = HeaderValue::from_str(&value).ok()?;
        Some((HeaderName::from_static(name), value))
    });
    headers.collect()
}

fn cloud_events(batch: &[ExposureDocument]) -> serde_json::Result<Vec<u8>> {
    let events = batch.iter().map(|exposure| CloudEvent {
        specversion: "1.0",
        id: &exposure.id,
        source: format!("/serin/services/{}", exposure.service),
        r#type: "serin.exposure",
        time: &exposure.time,
        subject: &exposure.user,
        datacontenttype: "application/json",
        data: exposure,
    });
    serde_json::to_vec(&events.collect::<Vec<_>>())
}

/// <https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/#batch>, with the names of its specification for
/// experiments.
fn segment(batch: &[ExposureDocument]) -> serde_json::Result<Vec<u8>> {
    let track = |exposure: &ExposureDocument| -> serde_json::Result<serde_json::Value> {
        let mut properties = serde_json::to_value(exposure)?;
        if let Some(properties) = properties.as_object_mut() {
            properties.remove("user");
            let variant = exposure
                .variant
                .as_ref()
                .filter(|_| &*exposure.arm == "canary");
            let variant = variant.unwrap_or(&exposure.arm);
            for (name, value) in [
                ("experiment_id", &exposure.flag),
                ("experiment_name", &exposure.flag),
                ("variation_id", &exposure.arm),
                ("variation_name", variant),
            ] {
                properties.insert(name.to_owned(), (&**value).into());
            }
        }
        Ok(json!({
            "type": "track",
            "event": "Experiment Viewed",
            "messageId": exposure.id,
            "userId": exposure.user,
            "timestamp": exposure.time,
            "properties": properties,
            "context": { "library": { "name": "serin", "version": env!("CARGO_PKG_VERSION") } },
        }))
    };
    let events = batch.iter().map(track);
    let events = events.collect::<serde_json::Result<Vec<_>>>()?;
    serde_json::to_vec(&json!({ "batch": events }))
}

#[async_trait]
impl Sink for Webhook {
    fn product(&self) -> &'static str {
        "webhook"
    }

    fn limits(&self) -> BatchLimits {
        match self.format {
            WebhookFormat::CloudEvents => BatchLimits {
                records: 1_000,
                bytes: 400 << 10,
            },
            // Segment takes 500 KB, and what is made of an exposure is about twice as long.
            WebhookFormat::Segment => BatchLimits {
                records: 500,
                bytes: 200 << 10,
            },
        }
    }

    async fn deliver(&mut self, batch: &[ExposureDocument]) -> Answer {
        let body = match self.format {
            WebhookFormat::CloudEvents => cloud_events(batch),
            WebhookFormat::Segment => segment(batch),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Answer::Refused(error.to_string()),
        };
        let id = message_id(batch);
        let headers = self.signer.as_ref();
        let headers = headers.map(|signer| signature(signer, &id, clock::now(), &body));
        match self.poster.post(body, headers.unwrap_or_default()).await {
            Ok(reply) => reply.judge(),
            Err(answer) => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{cloud_events, message_id, segment, signature, signing_key};
    use crate::attribution::document::tests::exposure;
    use crate::config::flag_server::Secret;
    use crate::context::Moment;

    #[test]
    fn messages_are_signed_as_the_standard_says() {
        // The example of the specification's own libraries.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let now = Moment {
            unix_ms: 1_614_265_330_999,
        };
        let body = br#"{"test": 2432232314}"#;
        let headers = signature(
            &signing_key(&secret).unwrap(),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            now,
            body,
        );
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(
            headers["webhook-signature"],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert!(signing_key(&Secret::new("whsec_?")).is_err());
        assert!(signing_key(&Secret::new("any other text")).is_ok());
    }

    #[test]
    fn a_repeated_batch_is_the_same_message() {
        let (one, two) = (exposure("u1", 1), exposure("u2", 2));
        let both = message_id(&[one.clone(), two]);
        assert_eq!(both, message_id(&[one.clone(), exposure("u2", 2)]));
        assert_ne!(both, message_id(&[one]));
    }

    #[test]
    fn a_batch_of_cloud_events() {
        let text = String::from_utf8(cloud_events(&[exposure("u1", 1)]).unwrap()).unwrap();
        let data = String::from_utf8(exposure("u1", 1).to_bytes()).unwrap();
        assert_eq!(
            text,
            format!(
                r#"[{{"specversion":"1.0","id":"00000000000000000000000000000001","source":"/serin/services/search","type":"serin.exposure","time":"2026-11-27T10:00:00.123Z","subject":"u1","datacontenttype":"application/json","data":{data}}}]"#
            )
        );
    }

    #[test]
    fn a_batch_as_segment_takes_it() {
        let mut rescued = exposure("u1", 1);
        rescued.arm = "other".into();
        let body: serde_json::Value =
            serde_json::from_slice(&segment(&[exposure("u1", 1), rescued]).unwrap()).unwrap();
        let event = &body["batch"][0];
        assert_eq!(event["event"], "Experiment Viewed");
        assert_eq!(event["userId"], "u1");
        assert_eq!(event["messageId"], "00000000000000000000000000000001");
        assert_eq!(event["properties"]["variation_name"], "treatment");
        assert_eq!(event["properties"]["user"], serde_json::Value::Null);
        assert_eq!(body["batch"][1]["properties"]["variation_name"], "other");
    }
}
