//! Servers that tell of changes as they happen.

use serde_json::json;

use super::{Parts, await_error, await_origin, first, source};
use crate::harness::flag_server::feature;
use crate::harness::{Gateway, eventually};

async fn await_mode(gateway: &Gateway, mode: &str) {
    let what = format!("the mode {mode}");
    eventually(&what, || async {
        (source(gateway, "unleash").await["mode"] == mode).then_some(())
    })
    .await;
}

/// A gateway that would not poll again for an hour.
async fn streaming(parts: &Parts, more: &str) -> Gateway {
    parts.server.offer_streams();
    let config = parts.config(more, "").replace("200ms", "1h");
    let gateway = Gateway::start(config).await;
    await_mode(&gateway, "streaming").await;
    gateway
}

#[tokio::test]
async fn what_is_told_is_in_force_without_a_poll() {
    let parts = Parts::start().await;
    let gateway = streaming(&parts, "").await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    for (on, origin) in [(false, "stable"), (true, "canary")] {
        parts.switch(on);
        // The next poll is an hour away.
        await_origin(&gateway, origin).await;
    }
    parts.server.remove("search.v2");
    await_origin(&gateway, "stable").await;
    let facts = source(&gateway, "unleash").await;
    assert_eq!(
        (&facts["held"], &facts["revision"]),
        (&json!([]), &json!(4))
    );
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_and_nothing_is_missed() {
    let mut parts = Parts::start().await;
    let gateway = streaming(&parts, "").await;
    parts.server.stop().await;
    await_mode(&gateway, "polling").await;
    await_error(&gateway, "refused").await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    parts.switch(false);
    parts.server.restart().await;
    await_origin(&gateway, "stable").await;
    await_mode(&gateway, "streaming").await;
    await_error(&gateway, "").await;
}

#[tokio::test]
async fn an_event_that_says_nothing_ends_the_stream_and_the_server_is_asked() {
    let parts = Parts::start().await;
    let gateway = streaming(&parts, "").await;
    // Nobody was told of this: only a whole answer brings it.
    parts.server.keep_only(&["search.v2"]);
    parts
        .server
        .say("event: unleash-updated\ndata: {\"events\":[{\"type\":\"feature-updated\"}]}\n\n");
    parts.server.await_more("/client/features", 1).await;
    await_mode(&gateway, "streaming").await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    // Comments and events of other kinds are no trouble.
    parts
        .server
        .say(": keep-alive\n\nevent: news\ndata: {}\n\n");
    parts
        .server
        .put([feature("search.v1", &first(&parts.stable), true)]);
    await_origin(&gateway, "stable").await;
}

#[tokio::test]
async fn a_server_that_would_rather_stream_is_streamed() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    // Asked once whether it streams, it says no, and is polled.
    parts
        .server
        .await_asked("/client/streaming", |_| true)
        .await;
    parts.server.await_more("/client/features", 2).await;
    assert_eq!(source(&gateway, "unleash").await["mode"], "polling");
    assert_eq!(parts.server.asked("/client/streaming").len(), 1);
    drop(gateway);
    parts.server.want_streaming();
    let gateway = parts.gateway().await;
    await_mode(&gateway, "streaming").await;
}

#[tokio::test]
async fn streaming_can_be_forbidden_and_demanded() {
    let parts = Parts::start().await;
    parts.server.offer_streams();
    let gateway = Gateway::start(parts.config(", streaming: never", "")).await;
    parts.server.await_more("/client/features", 3).await;
    assert_eq!(parts.server.asked("/client/streaming").len(), 0);
    drop(gateway);

    let other = Parts::start().await;
    let gateway = Gateway::start(other.config(", streaming: always", "")).await;
    await_error(&gateway, "no streams").await;
    other.switch(false);
    await_origin(&gateway, "stable").await;
}
