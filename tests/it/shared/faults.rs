//! A Redis that answers, but does not do what it is asked to.

use serde_json::Value;

use super::{House, KILLS, await_killed, await_store, folder, killed, order, ordered, store};
use crate::harness::eventually;

#[tokio::test]
async fn a_redis_that_is_full_loses_no_kill_and_is_told() {
    let house = House::new().await;
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    ordered(&one, "search.second", "kill").await;
    await_killed(&two, &["search.second"]).await;
    let set = |bytes: &str| {
        house
            .redis
            .ask::<String>(&["CONFIG", "SET", "maxmemory", bytes])
    };
    set("1");
    let (status, answer) = order(&one, "search.ranker", "kill").await;
    assert_eq!(status, 202, "{answer}");
    await_store(&one, false).await;
    let error = store(&one).await["last_error"].to_string();
    assert!(error.contains("maxmemory"), "{error}");
    // What it has is read all the same, by a gateway that knows nothing yet.
    let newcomer = house.gateway(&folder()).await;
    assert_eq!(killed(&newcomer).await, ["search.second"]);
    newcomer.get_as("u1", "/").await.assert_from("canary");
    assert_eq!(store(&newcomer).await["up"], false);
    set("0");
    for gateway in [&one, &two, &newcomer] {
        await_killed(gateway, &["search.ranker", "search.second"]).await;
        await_store(gateway, true).await;
    }
}

#[tokio::test]
async fn a_user_that_may_not_write_hears_of_kills_and_is_told() {
    let house = House::new().await;
    let allow = |rights: &[&str]| {
        let command = [&["ACL", "SETUSER", "reader"], rights].concat();
        house.redis.ask::<String>(&command);
    };
    allow(&["on", ">let-me-in", "~*", "&*", "+@all", "-@write"]);
    let one = house.gateway(&folder()).await;
    let port = house.redis.port();
    let url = format!("redis: {{ url: 'redis://reader:let-me-in@127.0.0.1:{port}' }}\n");
    let reader = house.gateway_with(&folder(), &url).await;
    assert_told_of_rights(&store(&reader).await);
    ordered(&one, "search.ranker", "kill").await;
    await_killed(&reader, &["search.ranker"]).await;
    assert!(!reader.log().contains("let-me-in"), "{}", reader.log());
    // With the rights it is there without a restart.
    allow(&["+@write"]);
    await_store(&reader, true).await;
    ordered(&reader, "search.ranker", "restore").await;
    await_killed(&one, &[]).await;
}

#[tokio::test]
async fn a_user_that_may_not_even_read_is_told_what_it_needs() {
    let house = House::new().await;
    house
        .redis
        .ask::<String>(&["ACL", "SETUSER", "nobody", "on", ">let-me-in", "+ping"]);
    let port = house.redis.port();
    let url = format!("redis: {{ url: 'redis://nobody:let-me-in@127.0.0.1:{port}' }}\n");
    let gateway = house.gateway_with(&folder(), &url).await;
    assert_told_of_rights(&store(&gateway).await);
}

/// How often Redis was asked something, by gateways and scripts.
fn asked(house: &House, command: &str) -> u64 {
    let said: String = house.redis.ask(&["INFO", "commandstats"]);
    let start = format!("cmdstat_{command}:calls=");
    let calls = said.lines().find_map(|line| line.strip_prefix(&start));
    let calls = calls.and_then(|calls| calls.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

/// As when a replica takes over that has not received the last writes, and connections stay: nobody is told of it.
#[tokio::test]
async fn a_redis_that_falls_back_gets_what_it_has_answered_again() {
    let house = House::new().await;
    let revisions = format!("{KILLS}:revision");
    let state = folder();
    let first = house.gateway(&state).await;
    let flags = ["search.ranker", "search.second"];
    ordered(&first, flags[0], "kill").await;
    let killed_then: Vec<String> = house.redis.ask(&["HGETALL", KILLS]);
    let revision: String = house.redis.ask(&["GET", &revisions]);
    ordered(&first, flags[0], "restore").await;
    ordered(&first, flags[1], "kill").await;
    let answered: Vec<String> = house.redis.ask(&["HVALS", KILLS]);
    first.kill().await;

    // Its next full read is ten of its questions for the time away.
    let gateway = house.gateway(&state).await;
    let before = asked(&house, "time");
    house.redis.ask::<i64>(&["DEL", KILLS]);
    let set = [&["HSET".to_owned(), KILLS.to_owned()], &killed_then[..]].concat();
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    house.redis.ask::<i64>(&set);
    house.redis.ask::<String>(&["SET", &revisions, &revision]);
    eventually("what was answered", || async {
        let stored: Vec<String> = house.redis.ask(&["HVALS", KILLS]);
        let is_same = |text: &String| answered.contains(text);
        (stored.len() == 2 && stored.iter().all(is_same)).then_some(())
    })
    .await;
    let questions = asked(&house, "time") - before;
    assert!(questions < 7, "{questions} questions for the time");
    // The kill of then never holds again.
    assert_eq!(killed(&gateway).await, [flags[1]]);
    assert!(!gateway.log().contains("ordered at another gateway"));
}

fn assert_told_of_rights(store: &Value) {
    assert_eq!(store["up"], false, "{store}");
    let error = store["last_error"].as_str().expect("an error");
    assert!(error.contains("under `redis.prefix`"), "{error}");
}
