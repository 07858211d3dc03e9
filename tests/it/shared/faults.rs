//! A Redis that answers, but does not do what it is asked to.

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
    // What it has can still be read.
    let newcomer = house.gateway(&folder()).await;
    assert_eq!(killed(&newcomer).await, ["search.second"]);
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
    let allowed = [
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">let-me-in",
        "~*",
        "&*",
        "+@all",
        "-@write",
    ];
    house.redis.ask::<String>(&allowed);
    let one = house.gateway(&folder()).await;
    let port = house.redis.port();
    let url = |who: &str| format!("redis: {{ url: 'redis://{who}@127.0.0.1:{port}' }}\n");
    let reader = house
        .gateway_with(&folder(), &url("reader:let-me-in"))
        .await;
    let shown = store(&reader).await;
    assert_eq!(shown["up"], false);
    let error = shown["last_error"].as_str().expect("an error");
    assert!(
        error.contains("permissions") && error.contains("`redis.prefix`"),
        "{error}"
    );
    ordered(&one, "search.ranker", "kill").await;
    await_killed(&reader, &["search.ranker"]).await;
    assert!(!reader.log().contains("let-me-in"), "{}", reader.log());
    // With the rights it is there without a restart.
    house
        .redis
        .ask::<String>(&["ACL", "SETUSER", "reader", "+@write"]);
    await_store(&reader, true).await;
    ordered(&reader, "search.ranker", "restore").await;
    await_killed(&one, &[]).await;
}
