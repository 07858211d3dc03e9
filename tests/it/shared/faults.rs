//! A Redis that answers, but does not do what it is asked to.

use super::{House, await_killed, await_store, folder, order, ordered, store};

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
}
