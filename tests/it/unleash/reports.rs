//! What Unleash learns from a gateway: that it is there, and whose decisions were what.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stage::{Stage, patiently};
use crate::harness::unleash::{Unleash, Usage, canary, constraint};
use crate::harness::{FaultProxy, Setup, assert_has, until};

#[tokio::test]
async fn decisions_are_reported() {
    let unleash = Unleash::shared().await;
    let proxy = FaultProxy::start(unleash.address()).await;
    let stage = Stage::new("reports").await;
    let config = stage.config(&proxy.url(), ", poll: 1s, app_name: reports-app");
    let mut gateway = Setup::new(config).start().await;
    let registered = until("its registration", || {
        proxy.passed("/api/client/register").pop()
    })
    .await;
    let registered: Value = serde_json::from_slice(&registered.body).expect("JSON");
    let expected = json!({ "appName": "reports-app", "specVersion": "5.2.0", "interval": 1000 });
    assert_has(&registered, &expected);
    let strategies = registered["strategies"].as_array().expect("strategies");
    assert!(strategies.contains(&json!("flexibleRollout")));
    let flag = stage.flag("new");
    let mut strategy = canary(&flag, 100, &stage.canary.url());
    strategy["constraints"] = json!([constraint("userId", "IN", &["u1"])]);
    unleash.open(&flag, strategy).await;
    // For ten seconds Unleash takes no figures for a flag that it has just been given.
    patiently("a flag that may be counted", || async {
        unleash.count(&flag, "somebody-else").await;
        let counted = unleash.usage(&flag, "somebody-else").await;
        (counted.yes > 0).then_some(())
    })
    .await;
    // Only asked for, not requested: an explanation is no decision.
    patiently("the flag", || async {
        let decision = stage.explain(&gateway, "u1").await;
        (decision["flag"] == flag.as_str()).then_some(())
    })
    .await;
    for _ in 0..3 {
        assert_eq!(stage.serves(&gateway, "u1").await, "canary");
    }
    for _ in 0..2 {
        assert_eq!(stage.serves(&gateway, "u2").await, "stable");
    }
    // What was not reported yet is reported at the end.
    assert!(gateway.terminate().await.success());
    let expected = Usage {
        yes: 3,
        no: 2,
        variants: BTreeMap::from([("canary".to_owned(), 3), ("disabled".to_owned(), 2)]),
    };
    patiently("figures that arrived", || async {
        let usage = unleash.usage(&flag, "reports-app").await;
        assert!(usage.yes <= 3 && usage.no <= 2, "{usage:?}");
        (usage == expected).then_some(())
    })
    .await;
    patiently("an application that is known", || {
        unleash.application("reports-app")
    })
    .await;
}
