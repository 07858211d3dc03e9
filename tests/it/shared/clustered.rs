//! The same on a Redis Cluster, and what only a cluster does.

use serde_json::json;

use super::leases::{self, Fate};
use super::{
    House, await_killed, await_store, folder, freeze_server, go_on_without, kill_everywhere,
    killed, order, ordered, start_without, stop_a_gateway, store,
};
use crate::harness::eventually;
use crate::harness::redis::Server as _;
use crate::harness::redis::cluster::Cluster;

async fn house() -> House<Cluster> {
    House::with(Cluster::start().await).await
}

#[tokio::test]
async fn a_kill_holds_on_all_gateways_and_on_those_that_come_later() {
    kill_everywhere(house().await).await;
}

#[tokio::test]
async fn without_redis_kills_hold_here_and_spread_later_and_nothing_is_restored() {
    go_on_without(house().await).await;
}

#[tokio::test]
async fn a_frozen_redis_holds_up_no_kill() {
    freeze_server(house().await).await;
}

#[tokio::test]
async fn a_gateway_that_was_stopped_learns_what_it_has_missed() {
    stop_a_gateway(house().await).await;
}

#[tokio::test]
async fn gateways_start_without_redis_and_bring_what_they_have_had_alone() {
    start_without(house().await).await;
}

#[tokio::test]
async fn a_lease_outlives_a_cluster_that_crashes() {
    leases::a_lease_outlives(Fate::Crashed, house().await).await;
}

#[tokio::test]
async fn gateways_follow_when_another_node_becomes_the_master() {
    let mut house = house().await;
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    ordered(&one, "search.second", "kill").await;
    await_killed(&two, &["search.second"]).await;

    // It crashes. Whatever is answered meanwhile holds.
    house.redis.owner_mut().kill();
    await_store(&one, false).await;
    let (status, answer) = order(&one, "search.ranker", "kill").await;
    assert!([200, 202].contains(&status), "{answer}");
    await_store(&one, true).await;
    await_store(&two, true).await;
    let both = ["search.ranker", "search.second"];
    await_killed(&two, &both).await;
    let newcomer = house.gateway(&folder()).await;
    assert_eq!(killed(&newcomer).await, both);
    let stored: Vec<String> = house.redis.replica().ask(&["HKEYS", super::KILLS]);
    assert_eq!(stored.len(), 2, "{stored:?}");
    ordered(&two, "search.ranker", "restore").await;
    await_killed(&one, &["search.second"]).await;

    // It comes back as a replica, and takes over: nobody's connection ends.
    house.redis.owner_mut().start_again().await;
    house.redis.await_replica(house.redis.owner()).await;
    house
        .redis
        .ask::<String>(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    eventually("the old master", || async {
        let role: String = house.redis.ask(&["INFO", "replication"]);
        role.contains("role:master").then_some(())
    })
    .await;
    eventually("a restore", || async {
        (order(&one, "search.second", "restore").await.0 == 200).then_some(())
    })
    .await;
    for gateway in [&one, &two, &newcomer] {
        await_killed(gateway, &[]).await;
        await_store(gateway, true).await;
    }
    // A replica takes over with what it has received. A restore that the master before it has answered is written again by
    // the gateways, which know it.
    eventually("no kill in Redis", || async {
        let stored: Vec<String> = house.redis.ask(&["HVALS", super::KILLS]);
        (stored.len() == 2 && stored.iter().all(|value| !value.contains(' '))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_named_alone_says_how_a_cluster_is_named() {
    let house = house().await;
    let slotless = house.redis.replica().address();
    let lone = format!("redis: {{ url: 'redis://{slotless}' }}\n");
    let gateway = house.gateway_with(&folder(), &lone).await;
    let shown = store(&gateway).await;
    assert_eq!(shown["up"], json!(false));
    let error = shown["last_error"].as_str().expect("an error");
    assert!(error.contains("`redis.url` is a list"), "{error}");
}
