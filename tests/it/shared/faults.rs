//! A Redis that answers, but does not do what it is asked to.

use serde_json::Value;

use super::{House, await_killed, await_store, folder, killed, order, ordered, store};

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

fn assert_told_of_rights(store: &Value) {
    assert_eq!(store["up"], false, "{store}");
    let error = store["last_error"].as_str().expect("an error");
    assert!(error.contains("under `redis.prefix`"), "{error}");
}
