//! A server that really freezes, really ends, and really forgets its flags. It is this test's own.

use http::Method;

use super::stage::{Stage, patiently, source};
use crate::harness::unleash::canary;
use crate::harness::{Call, Unleash};

#[tokio::test]
async fn a_server_that_freezes_ends_and_forgets() {
    let mut unleash = Unleash::start().await;
    let stage = Stage::new("own").await;
    let gateway = stage.start(&unleash.url()).await;
    let flag = stage.flag("new");
    unleash
        .open(&flag, canary(&flag, 100, &stage.canary.url()))
        .await;
    stage.await_served(&gateway, "u1", "canary").await;

    // Frozen: connections are taken, nothing is said.
    unleash.freeze();
    stage.await_trouble(&gateway, &[("u1", "canary")]).await;
    unleash.thaw();
    stage.await_well(&gateway).await;
    unleash.turn(&flag, false).await;
    stage.await_served(&gateway, "u1", "stable").await;

    // Ended and started anew.
    unleash.turn(&flag, true).await;
    stage.await_served(&gateway, "u1", "canary").await;
    unleash.stop().await;
    stage.await_trouble(&gateway, &[("u1", "canary")]).await;
    unleash.restart().await;
    stage.await_well(&gateway).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");

    // One of twelve flags is archived: it goes at once.
    let others: Vec<String> = (0..11).map(|n| stage.flag(&format!("z{n}"))).collect();
    for other in &others {
        unleash
            .open(other, canary(other, 100, &stage.canary.url()))
            .await;
    }
    unleash.archive(&[&flag]).await;
    // Its users are on the next one by name, and all that come after it are known.
    patiently("the next canary", || async {
        let decision = stage.explain(&gateway, "u1").await;
        let after = decision["preempted"].as_array()?;
        (decision["flag"] == others[0].as_str() && after.len() == 10).then_some(())
    })
    .await;

    // All of the rest: that is held to be an accident until somebody says that it is none.
    let names: Vec<&str> = others.iter().map(String::as_str).collect();
    unleash.archive(&names).await;
    patiently("flags that are held", || async {
        assert_eq!(stage.serves(&gateway, "u1").await, "canary");
        let held = source(&gateway).await["held"].clone();
        let held = held.as_array()?;
        (held.len() == names.len()).then_some(())
    })
    .await;
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
    let accept = Call::new(Method::POST, "/api/v1/sources/unleash/accept");
    let answer = gateway.admin_send(accept).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    stage.await_served(&gateway, "u1", "stable").await;
}
