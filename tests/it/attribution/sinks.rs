//! What each product gets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::{Kept, assert_covers, exposure, read_lines, sink};
use crate::harness::{SinkReply, SinkServer, eventually, until};

/// printf u0 | openssl dgst -sha256 -hmac a-key-of-sixteen-bytes
const U0_HASHED: &str = "72aaf2fdfc8ad568a8c1bb6a293e360d";

#[tokio::test]
async fn files_have_each_exposure_once_over_kills_and_restarts() {
    let kept = Kept::with(3);
    let mut gateway = kept.start(&kept.lake(", format: assignments")).await;
    let lines = kept.lines(3).await;
    let expected = json!({
        "user": U0_HASHED, "subject_key": U0_HASHED, "timestamp": "2026-11-27T10:00:00.123Z",
        "experiment_id": "shop.v2", "variant_id": "canary", "served": "shop.v2", "cause": null,
        "randomised": true, "properties": { "region": "eu" },
    });
    assert_covers(&lines[0], &expected);
    gateway.sigkill();
    gateway.await_exit().await;
    // As if it had been killed between the write and the cursor, if it was not.
    let _ = std::fs::remove_file(kept.path("state/spool/lake.cursor"));
    kept.spool(3..5);
    let gateway = kept.start(&kept.lake("")).await;
    let ids: Vec<_> = kept
        .lines(5)
        .await
        .iter()
        .map(|line| line["id"].clone())
        .collect();
    let expected: Vec<_> = (0..5).map(|user| json!(&*exposure(user).id)).collect();
    assert_eq!(ids, expected);
    gateway
        .await_metric(
            "serin_exposures_total",
            &[("sink", "lake"), ("result", "sent")],
            5.0,
        )
        .await;
    gateway
        .await_metric("serin_spool_bytes", &[("sink", "lake")], 0.0)
        .await;
    gateway
        .await_metric("serin_spool_age_seconds", &[("sink", "lake")], 0.0)
        .await;
}

#[tokio::test]
async fn mixpanel_imports_the_start_of_an_experiment_and_what_it_refuses_is_put_aside() {
    let server = SinkServer::start().await;
    server.answer(|posted| match posted.events().len() {
        3 => SinkReply::Status(400, json!({
            "code": 400, "num_records_imported": 2, "status": "Bad Request",
            "failed_records": [{ "index": 1, "insert_id": "x", "field": "properties.time", "message": "too old" }],
        })),
        _ => SinkReply::taken(posted),
    });
    let kept = Kept::with(3);
    let gateway = kept
        .start(&format!(
            "    - {{ name: mp, users: plain, mixpanel: {{ project_id: 12345, url: '{}', service_account: {{ user: me, secret: s3cret }} }} }}",
            server.url()
        ))
        .await;
    let labels = |result| [("sink", "mp"), ("result", result)];
    gateway
        .await_metric("serin_exposures_total", &labels("sent"), 2.0)
        .await;
    gateway
        .await_metric("serin_exposures_total", &labels("refused"), 1.0)
        .await;
    let posted = server.posted();
    assert_eq!(posted.len(), 1, "a partial success is never sent again");
    assert_eq!(posted[0].path, "/import?strict=1&project_id=12345");
    let basic = format!("Basic {}", STANDARD.encode("me:s3cret"));
    assert_eq!(posted[0].header("authorization"), basic);
    let expected = json!({
        "event": "$experiment_started",
        "properties": {
            "distinct_id": "u0", "$insert_id": &*exposure(0).id, "time": exposure(0).unix_ms(),
            "Experiment name": "shop.v2", "Variant name": "treatment", "served": "shop.v2", "region": "eu",
        },
    });
    assert_covers(&posted[0].events()[0], &expected);
    let letters = read_lines(&kept.path("state/dead-letter/mp.ndjson"));
    assert_eq!(letters.len(), 1);
    assert_covers(
        &letters[0],
        &json!({
            "sink": "mp", "reason": "properties.time: too old", "exposure": { "user": "u1" },
        }),
    );
    let error = sink(&gateway, "mp").await["last_error"].clone();
    assert!(error.as_str().unwrap().contains("too old"), "{error}");
}

#[tokio::test]
async fn a_webhook_gets_a_signed_batch_of_cloud_events() {
    let server = SinkServer::start().await;
    let kept = Kept::with(2);
    let _gateway = kept
        .start(&format!(
            "    - {{ name: hook, webhook: {{ url: '{}/take', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw }} }}",
            server.url()
        ))
        .await;
    let posted = until("a batch", || server.posted().into_iter().next()).await;
    assert_eq!(posted.path, "/take");
    let content = posted.header("content-type");
    assert_eq!(content, "application/cloudevents-batch+json");
    let expected = json!({
        "specversion": "1.0", "id": &*exposure(0).id, "type": "serin.exposure", "subject": U0_HASHED,
        "source": "/serin/services/shop", "time": "2026-11-27T10:00:00.123Z",
        "datacontenttype": "application/json", "data": { "user": U0_HASHED, "flag": "shop.v2" },
    });
    assert_covers(&posted.events()[0], &expected);
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let mut signer = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let (id, time) = (
        posted.header("webhook-id"),
        posted.header("webhook-timestamp"),
    );
    signer.update(format!("{id}.{time}.").as_bytes());
    signer.update(&posted.bytes);
    let signature = STANDARD.encode(signer.finalize().into_bytes());
    assert_eq!(
        posted.header("webhook-signature"),
        format!("v1,{signature}")
    );
}

#[tokio::test]
async fn segment_gets_its_own_events_with_the_write_key() {
    let server = SinkServer::start().await;
    let kept = Kept::with(1);
    let gateway = kept
        .start(&format!(
            "    - {{ name: seg, users: plain, webhook: {{ url: '{}/v1/batch', format: segment, secret: write-key }} }}",
            server.url()
        ))
        .await;
    let taken = eventually("an event", || async { server.taken().into_iter().next() }).await;
    assert_covers(
        &taken,
        &json!({
            "type": "track", "event": "Experiment Viewed", "userId": "u0", "messageId": &*exposure(0).id,
            "properties": { "experiment_id": "shop.v2", "variation_id": "canary", "served": "shop.v2" },
        }),
    );
    let basic = format!("Basic {}", STANDARD.encode("write-key:"));
    assert_eq!(server.posted()[0].header("authorization"), basic);
    let shown = sink(&gateway, "seg").await;
    assert_covers(
        &shown,
        &json!({ "product": "webhook", "up": true, "last_error": null }),
    );
}
