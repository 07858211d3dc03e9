//! Keys behind a URL and in a file: rotated, away, slow, strange, and kept.

use serde_json::json;

use super::signer::Signer;
use super::{Stage, bearing, claims, file_of};
use crate::harness::frames::{Frames, data, get as get_frame, head};
use crate::harness::{Origin, Reply, assert_has, eventually, get};

/// A provider of identities whose key set has these keys.
async fn provider(signers: &[&Signer]) -> Origin {
    let provider = Origin::start("idp").await;
    publish(&provider, signers);
    provider
}

fn publish(provider: &Origin, signers: &[&Signer]) {
    let set = Signer::set(signers);
    provider.answer(move |_| {
        Reply::status(200)
            .header("content-type", "application/json")
            .body(set.clone())
    });
}

fn at(provider: &Origin) -> String {
    format!("jwks_url: '{}/keys.json'", provider.url())
}

#[tokio::test]
async fn keys_are_there_when_the_first_request_comes() {
    let signer = Signer::new("one");
    let provider = provider(&[&signer]).await;
    let stage = Stage::start(&at(&provider)).await;
    let token = signer.token(&claims("u1"));
    assert_eq!(stage.served(bearing("/account", &token)).await, "canary");
    let asked = provider.last();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("GET", "/keys.json")
    );
    let issuer = stage.issuer().await;
    assert_has(
        &issuer,
        &json!({ "issuer": "https://idp.example.com", "keys": 1, "last_error": null }),
    );
    assert!(issuer["last_fetch"].is_string(), "{issuer}");
    let metrics = stage.gateway.metrics().await;
    let labels = [("issuer", "https://idp.example.com")];
    assert_eq!(metrics.sum("serin_token_keys", &labels), 1.0);
    let fetched = metrics.sum("serin_token_key_fetches_total", &[("result", "ok")]);
    assert_eq!(fetched, 1.0);
}

#[tokio::test]
async fn a_rotated_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let provider = provider(&[&old]).await;
    let stage = Stage::start(&at(&provider)).await;
    let (before, after) = (old.token(&claims("u1")), new.token(&claims("u1")));
    assert_eq!(stage.served(bearing("/account", &before)).await, "canary");
    publish(&provider, &[&new]);
    eventually("the new key", || async {
        (stage.served(bearing("/account", &after)).await == "canary").then_some(())
    })
    .await;
    // What the lost key has signed is believed no more, although it was remembered.
    assert_eq!(stage.served(bearing("/account", &before)).await, "401");
    assert_eq!(provider.count(), 2);
}

#[tokio::test]
async fn a_thousand_unknown_keys_cause_two_fetches_at_most() {
    let (signer, evil) = (Signer::new("one"), Signer::new("evil"));
    let provider = provider(&[&signer]).await;
    let stage = Stage::start(&at(&provider)).await;
    let mut connection = stage.gateway.connect().await;
    for number in 0..1_000 {
        let token = evil.token_as(&format!("evil-{number}"), &claims("u1"));
        let answer = connection.send(bearing("/account", &token)).await;
        assert_eq!(answer.status, 401);
    }
    provider.await_requests(2).await;
    // Those that come then wait for the next minute.
    let token = evil.token_as("evil-last", &claims("u1"));
    assert_eq!(
        connection.send(bearing("/account", &token)).await.status,
        401
    );
    assert_eq!(provider.count(), 2);
    assert_eq!(stage.counted("unknown_key").await, 1_001.0);
    // Nobody else is the worse for it.
    let good = signer.token(&claims("u1"));
    assert_eq!(stage.served(bearing("/account", &good)).await, "canary");
}

#[tokio::test]
async fn a_head_alone_has_no_token_verified() {
    let signer = Signer::new("one");
    let provider = provider(&[&signer]).await;
    let stage = Stage::start(&at(&provider)).await;
    let unknown = Signer::new("unknown").token(&claims("u1"));
    let bearer = format!("Bearer {unknown}");
    let mut client = Frames::open(stage.gateway.address()).await;
    let posted = head(1, "POST", "/", &[("authorization", &bearer)]);
    client.send(&[posted]).await;
    for stream in [3, 5, 7, 9] {
        client.send(&[get_frame(stream, "/")]).await;
        client.end_of(stream).await;
    }
    assert_eq!(provider.count(), 1, "the key that it names was looked for");
    client.send(&[data(1, b"a body", true)]).await;
    client.end_of(1).await;
    assert_eq!(stage.counted("unknown_key").await, 1.0);
    eventually("another fetch", || async {
        (provider.count() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_outlast_their_server_and_reloads() {
    let signer = Signer::new("one");
    let mut provider = provider(&[&signer]).await;
    let stage = Stage::start(&at(&provider)).await;
    let token = signer.token(&claims("u1"));
    provider.stop().await;
    let generation = stage.gateway.generation().await;
    let other = stage.config.replace("userId: [u1]", "userId: [u1, u3]");
    stage.gateway.rewrite_config(&other);
    stage.gateway.await_generation(generation + 1).await;
    assert_eq!(stage.served(bearing("/account", &token)).await, "canary");
    let third = signer.token(&claims("u3"));
    assert_eq!(stage.served(bearing("/account", &third)).await, "canary");
    assert_eq!(provider.count(), 1, "nothing was fetched again");
    assert_has(
        &stage.issuer().await,
        &json!({ "keys": 1, "last_error": null }),
    );
}

#[tokio::test]
async fn a_reload_waits_for_the_keys_of_another_server() {
    let signer = Signer::new("one");
    let (first, second) = (provider(&[&signer]).await, provider(&[&signer]).await);
    let stage = Stage::start(&at(&first)).await;
    let token = signer.token(&claims("u1"));
    second.hold();
    let generation = stage.gateway.generation().await;
    let other = stage.config.replace(&first.url(), &second.url());
    stage.gateway.rewrite_config(&other);
    eventually("the other server asked", || async {
        (second.count() > 0).then_some(())
    })
    .await;
    assert_eq!(stage.gateway.generation().await, generation);
    assert_eq!(stage.served(bearing("/account", &token)).await, "canary");
    second.release();
    stage.gateway.await_generation(generation + 1).await;
    assert_eq!(stage.served(bearing("/account", &token)).await, "canary");
}

#[tokio::test]
async fn a_server_that_is_down_says_so_and_is_asked_again() {
    let signer = Signer::new("one");
    let mut provider = provider(&[&signer]).await;
    provider.stop().await;
    let stage = Stage::start(&at(&provider)).await;
    let token = signer.token(&claims("u1"));
    assert_eq!(stage.served(bearing("/account", &token)).await, "401");
    assert_eq!(stage.served(bearing("/", &token)).await, "stable");
    let issuer = stage.issuer().await;
    assert_has(&issuer, &json!({ "keys": 0, "last_fetch": null }));
    assert!(issuer["last_error"].is_string(), "{issuer}");
    stage
        .gateway
        .await_log("keys of tokens cannot be got")
        .await;
    provider.restart().await;
    eventually("keys after the outage", || async {
        (stage.served(bearing("/account", &token)).await == "canary").then_some(())
    })
    .await;
    assert_has(
        &stage.issuer().await,
        &json!({ "keys": 1, "last_error": null }),
    );
}

#[tokio::test]
async fn a_slow_server_holds_up_nobody() {
    let signer = Signer::new("one");
    let provider = provider(&[&signer]).await;
    provider.hold();
    // It starts all the same.
    let stage = Stage::start(&at(&provider)).await;
    let token = signer.token(&claims("u1"));
    assert_eq!(stage.served(bearing("/", &token)).await, "stable");
    assert_eq!(stage.served(get("/")).await, "stable");
    provider.release();
    eventually("the keys", || async {
        (stage.served(bearing("/account", &token)).await == "canary").then_some(())
    })
    .await;
}

#[tokio::test]
async fn strange_answers_are_told_and_change_nothing() {
    let signer = Signer::new("one");
    for (reply, told) in [
        (
            Reply::status(200).body("x".repeat(300 << 10)),
            "larger than 256 KiB",
        ),
        (Reply::status(200).body("<html>"), "no key set"),
        (
            Reply::status(200).body("{\"keys\":[]}"),
            "no key that could verify",
        ),
        (
            Reply::status(302).header("location", "https://evil.example.com/keys"),
            "not followed",
        ),
        (Reply::status(503), "503"),
    ] {
        let provider = Origin::start("idp").await;
        provider.answer(move |_| reply.clone());
        let stage = Stage::start(&at(&provider)).await;
        let error = stage.issuer().await["last_error"].to_string();
        assert!(error.contains(told), "{error}");
        publish(&provider, &[&signer]);
        let token = signer.token(&claims("u1"));
        eventually("keys that can be used", || async {
            (stage.served(bearing("/account", &token)).await == "canary").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let stage = Stage::start(&file_of(&folder, &[&one])).await;
    let (first, second) = (one.token(&claims("u1")), two.token(&claims("u1")));
    assert_eq!(stage.served(bearing("/account", &first)).await, "canary");
    assert_eq!(stage.served(bearing("/account", &second)).await, "401");
    file_of(&folder, &[&two]);
    eventually("the other key", || async {
        (stage.served(bearing("/account", &second)).await == "canary").then_some(())
    })
    .await;
    assert_eq!(stage.served(bearing("/account", &first)).await, "401");
}
