//! Whom a receipt is about: it names users as exposures do.

use serde_json::Value;

use super::{Parts, SECRET, await_receipts, by, claims, token};
use crate::harness::{Gateway, eventually};

/// Receipts, and exposures with these keys.
fn with(exposures: &str) -> String {
    format!(
        "attribution:\n  receipts: {{ key: {SECRET}, header: x-serin-receipt }}\n  exposures: {{ {exposures} }}\n"
    )
}

/// Who has a receipt of `ann`, and who is recorded.
async fn subject_and_recorded(gateway: &Gateway) -> (String, String) {
    let receipt = claims(&token(&gateway.get_as("ann", "/").await));
    let recorded = eventually("an exposure", || async {
        let answer = gateway.admin("/api/v1/exposures?user=ann").await.json();
        let user = answer["exposures"][0]["user"].as_str();
        user.map(str::to_owned)
    })
    .await;
    let subject = receipt["sub"].as_str().expect("a subject");
    (subject.to_owned(), recorded)
}

#[tokio::test]
async fn a_receipt_and_exposures_have_one_name_for_a_user() {
    let parts = Parts::start().await;
    for (exposures, name) in [
        // printf %s ann | openssl dgst -sha256 -hmac a-key-of-some-length
        (
            "key: a-key-of-some-length",
            "18d370dce8120a9b49b5ad0b56c54d13",
        ),
        ("key: a-key-of-some-length, users: plain", "ann"),
        ("users: plain", "ann"),
    ] {
        let gateway = parts.gateway(&with(exposures)).await;
        let found = subject_and_recorded(&gateway).await;
        assert_eq!(found, (name.to_owned(), name.to_owned()), "{exposures}");
    }
}

#[tokio::test]
async fn another_key_of_exposures_takes_a_restart_and_makes_old_receipts_foreign() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&with("key: a-key-of-some-length")).await;
    let (before, recorded) = subject_and_recorded(&gateway).await;
    assert_eq!(before, recorded);
    let old = token(&gateway.get_as("ann", "/").await);

    let other = with("key: another-key-of-some-length");
    gateway.rewrite_config(&parts.config(&other));
    eventually("the status to say so", || async {
        let status = gateway.status().await.to_string();
        status
            .contains("attribution.exposures.key: runs with")
            .then_some(())
    })
    .await;
    let (during, recorded) = subject_and_recorded(&gateway).await;
    assert_eq!((&during, &recorded), (&before, &before));
    assert_eq!(
        gateway
            .send(by("/", "ann", &old))
            .await
            .header("x-serin-receipt"),
        None,
        "it is valid still"
    );

    let after = parts.gateway(&other).await;
    let answer = after.send(by("/", "ann", &old)).await;
    let told: Value = claims(&token(&answer));
    assert_ne!(told["sub"], *before);
    await_receipts(&after, "foreign", 1.0).await;
    await_receipts(&after, "valid", 0.0).await;
    let origin = parts.canary.last();
    assert_eq!(origin.header("x-serin-receipt"), None);
    assert_eq!(subject_and_recorded(&after).await.1, told["sub"]);
}

#[tokio::test]
async fn one_look_at_a_receipt_serves_every_attempt_of_its_request() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&with("key: a-key-of-some-length")).await;
    let receipt = token(&gateway.get_as("ann", "/").await);
    parts.canary.answer(|_| crate::harness::Reply::status(503));
    let rescued = gateway.send(by("/", "ann", &receipt)).await;
    rescued.assert_from("stable");
    for origin in [&parts.canary, &parts.stable] {
        let seen = origin.last().header("x-serin-receipt");
        assert_eq!(seen.as_deref(), Some(&*receipt), "{}", origin.name());
    }
    let told = claims(&token(&rescued));
    assert_eq!(told["served"]["search"]["d"], "stable");
    await_receipts(&gateway, "valid", 1.0).await;
}

#[tokio::test]
async fn a_receipt_that_another_user_replays_on_another_gateway_is_foreign_there() {
    let parts = Parts::start().await;
    let one = parts.gateway(&with("key: a-key-of-some-length")).await;
    let two = parts.gateway(&with("key: a-key-of-some-length")).await;
    let receipt = token(&one.get_as("ann", "/").await);
    let replayed = two.send(by("/", "bob", &receipt)).await;
    replayed.assert_from("stable");
    assert_eq!(parts.stable.last().header("x-serin-receipt"), None);
    let own = claims(&token(&replayed));
    assert_ne!(own["sub"], claims(&receipt)["sub"]);
    assert_eq!(own["served"]["search"]["d"], "stable");
    await_receipts(&two, "foreign", 1.0).await;
    // By its own user it is as good as one of this gateway's.
    let shown = two.send(by("/", "ann", &receipt)).await;
    assert_eq!(shown.header("x-serin-receipt"), None);
    await_receipts(&two, "valid", 1.0).await;
}
