//! A user who alone fares badly on a canary is spared it for a while.

use serde_json::json;

use crate::harness::{Gateway, Origin, Reply, assert_has, eventually, fill};

const CONFIG: &str = "
services:
  search:
    stable: @stable
    rescue: { quarantine_after: 3, quarantine_for: 2s }
flags:
  search.ranker: { url: @canary, rings: [{ name: some, when: { userId: [u1, u2] } }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

#[tokio::test]
async fn it_holds_for_one_user_of_one_canary_and_ends() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.answer(|seen| match seen.header("x-user-id").as_deref() {
        Some("u1") => Reply::status(500),
        _ => Reply::status(200),
    });
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    for n in 0..3 {
        gateway
            .get_as("u1", &format!("/bad-{n}"))
            .await
            .assert_from("stable");
        gateway.get_as("u2", "/well").await.assert_from("canary");
    }
    assert_eq!(canary.count(), 6);
    gateway.get_as("u1", "/spared").await.assert_from("stable");
    gateway.get_as("u2", "/well").await.assert_from("canary");
    assert_eq!(canary.count(), 7, "only u2 was asked for");
    let line = gateway.await_access_log_of("/spared").await;
    let expected = json!({
        "assigned": "search.ranker", "served": "stable", "cause": "quarantined", "reason": "ring",
    });
    assert_has(&line, &expected);
    let labels = [("from", "search.ranker"), ("cause", "quarantined")];
    gateway
        .await_metric("serin_rescues_total", &labels, 1.0)
        .await;

    let text = gateway.explain("u1");
    assert!(text.contains("search -> search.ranker"), "{text}");
    assert!(
        text.contains("now: stable would serve, cause quarantined"),
        "{text}"
    );

    eventually("the quarantine's end", || async {
        let answer = gateway.get_as("u1", "/later").await;
        answer.assert_from("stable");
        (canary.count() > 7).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_fails_for_all_puts_nobody_in() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.answer(|_| Reply::status(500));
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    for n in 0..4 {
        for user in ["u1", "u2"] {
            gateway
                .get_as(user, &format!("/{n}"))
                .await
                .assert_from("stable");
        }
    }
    canary.answer(|_| Reply::status(200));
    let labels = [("from", "search.ranker"), ("cause", "quarantined")];
    let sum = gateway.metrics().await.sum("serin_rescues_total", &labels);
    assert_eq!(sum, 0.0);
}
