//! A flag answers for a service, for some users or for all.

use serde_json::json;

use crate::harness::{Gateway, Origin, assert_has, fill};

const CONFIG: &str = "
services:
  search:
    stable: @stable
    shutoff: { flag: search.shutoff, respond: { status: 503, retry_after: 1500ms, body: back soon } }
flags:
  search.ranker: { url: @canary, rings: [{ name: one, when: { userId: [u1] } }] }
  search.shutoff: { rings: [{ name: some, when: { userId: [u1, u9] } }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

#[tokio::test]
async fn who_is_cut_off_is_answered_without_the_service() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    for user in ["u1", "u9"] {
        let answer = gateway.get_as(user, &format!("/{user}")).await;
        assert_eq!((answer.status, answer.text()), (503, "back soon"));
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!((stable.count(), canary.count()), (0, 0));
    gateway.get_as("u2", "/u2").await.assert_from("stable");
    let line = gateway.await_access_log_of("/u1").await;
    let expected = json!({
        "service": "search", "assigned": "search.ranker", "served": null, "cause": "shutoff", "status": 503,
    });
    assert_has(&line, &expected);
    for assigned in ["search.ranker", "stable"] {
        let labels = [("assigned", assigned), ("served", "-"), ("code", "503")];
        gateway
            .await_metric("serin_requests_total", &labels, 1.0)
            .await;
    }
    let text = gateway.explain("u9");
    assert!(
        text.contains("now: nobody would serve, cause shutoff"),
        "{text}"
    );

    // A switch like any other: what changes is the flag.
    let open = fill(CONFIG, [&stable, &canary]).replace(
        "{ rings: [{ name: some,",
        "{ enabled: false, rings: [{ name: some,",
    );
    let generation = gateway.generation().await;
    gateway.rewrite_config(&open);
    gateway.await_generation(generation + 1).await;
    gateway.get_as("u1", "/open").await.assert_from("canary");
}
