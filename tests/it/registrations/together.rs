//! Pipelines that come together: one write of the file and one snapshot for many of them, and each is on the disk when it is answered.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{config, put};
use crate::harness::{Gateway, Origin};

/// How many there are.
const PIPELINES: usize = 64;

/// The canaries that the file has.
fn stored(file: &Path) -> BTreeSet<String> {
    let text = fs::read(file).expect("a file");
    let document: Value = serde_json::from_slice(&text).expect("a document");
    let records = document["records"].as_object().expect("records");
    records.keys().cloned().collect()
}

async fn register(gateway: &Gateway, number: usize, url: &str) {
    let name = format!("search.c{number}");
    let body = json!({ "url": url, "ttl": "1h", "rings": [{ "name": "few", "rollout": "0%" }] });
    let path = format!("/api/v1/services/search/canaries/{name}");
    let answer = gateway.admin_send(put(&path, &body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let file = gateway.folder().join("state/registrations.json");
    assert!(
        stored(&file).contains(&format!("search/{name}")),
        "{name} is answered and not on the disk"
    );
    let generation = answer.json()["generation"].as_u64();
    assert!(generation.is_some_and(|generation| generation > 1));
}

#[tokio::test]
async fn pipelines_that_come_together_share_writes_and_snapshots_and_each_is_stored_when_answered()
{
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    let (first, url) = (gateway.generation().await, canary.url());
    join_all((0..PIPELINES).map(|number| register(&gateway, number, &url))).await;
    let ready = [("service", "search"), ("state", "ready")];
    let count = u32::try_from(PIPELINES).expect("few");
    gateway
        .await_metric("serin_canary_state", &ready, f64::from(count))
        .await;

    // Each of them has changed twice: it was registered, and then it was ready.
    let most = f64::from(count / 2);
    let metrics = gateway.metrics().await;
    let writes = metrics.sum("serin_store_writes_total", &[("kind", "registrations")]);
    assert!((1.0..most).contains(&writes), "{writes} writes");
    let snapshots = gateway.generation().await - first;
    assert!(snapshots < u64::from(count / 2), "{snapshots} snapshots");
}
