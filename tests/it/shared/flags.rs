//! The last good flags of a flag server, which gateways share: one that has nothing on its disk starts with them.

use tempfile::TempDir;

use super::folder;
use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::redis::cluster::Cluster;
use crate::harness::redis::{Redis, Server};
use crate::harness::{Gateway, eventually, until};
use crate::sources::{Parts, await_origin};

const STORED: &str = "serin:{s}:v1:flags-snapshot:unleash";

async fn gateway(parts: &Parts, redis: &impl Server, state: &TempDir) -> Gateway {
    gateway_with(parts, redis, state, "").await
}

async fn gateway_with(parts: &Parts, redis: &impl Server, state: &TempDir, more: &str) -> Gateway {
    let (url, state) = (redis.url(), state.path().display());
    let more = format!("redis: {{ url: {url} }}\nserver: {{ state_dir: '{state}'{more} }}\n");
    Gateway::start(parts.config("", &more)).await
}

/// Waits until what stands in Redis has this in it.
async fn await_stored(redis: &impl Server, text: &str) {
    eventually("flags in Redis", || async {
        let stored: Option<String> = redis.ask(&["HGET", STORED, "text"]);
        stored.filter(|stored| stored.contains(text)).map(drop)
    })
    .await;
}

async fn start_from(mut redis: impl Server) {
    let mut parts = Parts::start().await;
    let first = gateway(&parts, &redis, &folder()).await;
    await_origin(&first, "canary").await;
    await_stored(&redis, "search.v2").await;
    parts.server.stop().await;
    let state = folder();
    let newcomer = gateway(&parts, &redis, &state).await;
    newcomer.get_as("u1", "/").await.assert_from("canary");
    // From then on it needs Redis no more than the flag server.
    let file = state.path().join("flags-unleash.snapshot");
    until("flags on the disk", || file.exists().then_some(())).await;
    newcomer.kill().await;
    redis.kill();
    let again = gateway(&parts, &redis, &state).await;
    again.get_as("u1", "/").await.assert_from("canary");
}

#[tokio::test]
async fn a_gateway_with_an_empty_disk_starts_while_the_flag_server_is_gone() {
    start_from(Redis::start().await).await;
}

#[tokio::test]
async fn a_gateway_with_an_empty_disk_starts_from_a_cluster() {
    start_from(Cluster::start().await).await;
}

#[tokio::test]
async fn the_newer_of_disk_and_redis_is_taken() {
    let mut parts = Parts::start().await;
    let redis = Redis::start().await;
    let (old, new) = (folder(), folder());
    let one = gateway(&parts, &redis, &old).await;
    await_origin(&one, "canary").await;
    one.kill().await;
    parts.switch(false);
    let two = gateway(&parts, &redis, &new).await;
    await_origin(&two, "stable").await;
    await_stored(&redis, "\"enabled\":false").await;
    two.kill().await;
    parts.server.stop().await;
    // The disk has older ones than Redis.
    let one = gateway(&parts, &redis, &old).await;
    one.get_as("u1", "/").await.assert_from("stable");
    one.kill().await;
    // What is damaged in Redis is not used, nor what another server has said.
    for (field, value) in [("text", "serin-flags 1 sha256=00\n{}"), ("text", "")] {
        redis.ask::<i64>(&["HSET", STORED, field, value]);
        let two = gateway(&parts, &redis, &new).await;
        two.get_as("u1", "/").await.assert_from("stable");
        two.kill().await;
    }
}

#[tokio::test]
async fn a_flag_server_of_another_url_is_not_started_from() {
    let mut parts = Parts::start().await;
    let redis = Redis::start().await;
    let one = gateway(&parts, &redis, &folder()).await;
    await_origin(&one, "canary").await;
    await_stored(&redis, "search.v2").await;
    one.kill().await;
    parts.server = FlagServer::start().await;
    parts
        .server
        .put([feature("search.other", &parts.canary.url(), false)]);
    parts.server.stop().await;
    let other = gateway_with(&parts, &redis, &folder(), ", ready_without_flags: 1s").await;
    assert_eq!(other.get_as("u1", "/").await.origin(), "stable");
}
