//! Audit trails that gateways share: each shows what was done at any of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{House, await_killed, await_store, folder, order, ordered};
use crate::harness::redis::Server;
use crate::harness::redis::cluster::Cluster;
use crate::harness::{Gateway, eventually};

async fn shown(gateway: &Gateway, query: &str) -> Value {
    let answer = gateway.admin(&format!("/api/v1/audit{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn entries(shown: &Value) -> &[Value] {
    shown["entries"].as_array().expect("entries")
}

/// What was done to which flag, without what gateways do by themselves.
fn orders(shown: &Value) -> Vec<String> {
    let orders = entries(shown).iter().filter(|entry| {
        ["kill", "restore"]
            .iter()
            .any(|action| entry["action"] == *action)
    });
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    orders
        .map(|entry| format!("{} {}", text(&entry["action"]), text(&entry["object"])))
        .collect()
}

/// Waits until a gateway shows that of all gateways, each entry once.
async fn await_orders(gateway: &Gateway, expected: &[&str]) {
    let what = format!("entries of {expected:?}");
    let all = eventually(&what, || async {
        let all = shown(gateway, "?limit=1000").await;
        (all["scope"] == "all gateways" && orders(&all) == expected).then_some(all)
    })
    .await;
    let ids: BTreeSet<&str> = entries(&all)
        .iter()
        .map(|entry| entry["id"].as_str().expect("an ID"))
        .collect();
    assert_eq!(ids.len(), entries(&all).len(), "{all}");
}

/// Waits until the others can see all that a gateway has entered.
async fn await_shared(gateway: &Gateway) {
    eventually("a shared trail", || async {
        (gateway.status().await["audit"]["not_shared"] == 0).then_some(())
    })
    .await;
}

async fn share_trails<S: Server>(mut house: House<S>) {
    let folders = [folder(), folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    ordered(&one, "search.ranker", "kill").await;
    await_shared(&one).await;
    await_killed(&two, &["search.ranker"]).await;
    ordered(&two, "search.ranker", "restore").await;
    // Who has ordered something finds it at once.
    let both = ["kill search.ranker", "restore search.ranker"];
    assert_eq!(orders(&shown(&two, "").await), both);
    await_shared(&two).await;
    let newcomer = house.gateway(&folders[2]).await;
    for gateway in [&one, &two, &newcomer] {
        await_orders(gateway, &both).await;
    }
    let starts = entries(&shown(&newcomer, "?limit=1000").await)
        .iter()
        .filter(|entry| entry["action"] == "start")
        .count();
    assert_eq!(starts, 3);

    house.redis.kill();
    await_store(&one, false).await;
    await_store(&two, false).await;
    assert_eq!(order(&one, "search.second", "kill").await.0, 202);
    let own = shown(&one, "").await;
    assert_eq!(own["scope"], "this gateway");
    assert_eq!(orders(&own), ["kill search.ranker", "kill search.second"]);
    assert_ne!(one.status().await["audit"]["not_shared"], json!(0));
    // What waits outlives the gateway.
    one.kill().await;
    let one = house.gateway(&folders[0]).await;
    house.redis.start_again().await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    let all = [&both[..], &["kill search.second"]].concat();
    for gateway in [&two, &newcomer, &one] {
        await_orders(gateway, &all).await;
    }
}

#[tokio::test]
async fn what_was_done_at_one_gateway_is_shown_by_all() {
    share_trails(House::new().await).await;
}

#[tokio::test]
async fn what_was_done_at_one_gateway_is_shown_by_all_on_a_cluster() {
    share_trails(House::with(Cluster::start().await).await).await;
}

#[tokio::test]
async fn entries_of_all_gateways_are_shown_by_pages() {
    let house = House::new().await;
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    for (gateway, flag) in [
        (&one, "search.ranker"),
        (&two, "search.second"),
        (&one, "search.ranker"),
    ] {
        ordered(gateway, flag, "kill").await;
        ordered(gateway, flag, "restore").await;
        await_shared(gateway).await;
    }
    let all = shown(&two, "?limit=1000").await;
    let all = entries(&all);
    assert_eq!(all.len(), 8, "{all:?}");
    assert_eq!(entries(&shown(&one, "?limit=3").await), &all[5..]);
    for (from, entry) in all.iter().enumerate() {
        let id = entry["id"].as_str().expect("an ID");
        let page = shown(&one, &format!("?since={id}&limit=2")).await;
        assert_eq!(entries(&page), &all[from + 1..all.len().min(from + 3)]);
    }
    let at = all[3]["at"].as_str().expect("a moment");
    let later = shown(&one, &format!("?since={at}")).await;
    assert!(entries(&later).ends_with(&all[3..]), "{later}");
    let unknown = one.admin("/api/v1/audit?since=00000000-1").await;
    assert_eq!(unknown.status, 400, "{unknown:?}");
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_gets_the_trails_back() {
    let mut house = House::new().await;
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    ordered(&one, "search.ranker", "kill").await;
    await_shared(&one).await;
    house.redis.kill();
    await_store(&one, false).await;
    house.redis.start_empty().await;
    await_store(&one, true).await;
    ordered(&one, "search.ranker", "restore").await;
    let two = house.gateway(&folders[1]).await;
    await_orders(&two, &["kill search.ranker", "restore search.ranker"]).await;
}
