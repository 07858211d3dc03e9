//! A product team opens, widens, narrows and closes canaries in Unleash; nobody touches `routes.yaml`.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::stage::{Stage, patiently, report, warns};
use crate::harness::unleash::{canary, constraint, rollout, variants};
use crate::harness::{Call, Gateway, Setup, Unleash, eventually};

/// What a poll each second promises.
const PROMISED: Duration = Duration::from_secs(1 + 2);

#[tokio::test]
async fn a_toggle_is_routed_by_within_the_poll_and_two_seconds() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("toggle").await;
    let gateway = stage.start(&unleash.url()).await;
    let flag = stage.flag("new");
    unleash.create_flag(&flag).await;
    let strategy = canary(&flag, 100, &stage.canary.url());
    unleash.add_strategy(&flag, strategy).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");

    let mut took = Vec::new();
    for on in [true, false, true, false, true] {
        unleash.turn(&flag, on).await;
        let origin = if on { "canary" } else { "stable" };
        took.push(stage.await_served(&gateway, "u1", origin).await);
    }
    report(&format!("toggle to routing, poll 1 s: {took:.2?}"));
    took.sort_unstable();
    // The slowest may have met a machine that was busy with everything else.
    assert!(took[3] < PROMISED, "{took:?}");
}

async fn refresh(gateway: &Gateway) {
    let call = Call::new(Method::POST, "/api/v1/sources/unleash/refresh");
    let answer = gateway.admin_send(call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_webhook_makes_it_routed_by_at_once() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("webhook").await;
    let config = stage.config(&unleash.url(), ", poll: 10m");
    let gateway = Setup::new(config).start().await;
    let flag = stage.flag("new");
    unleash
        .open(&flag, canary(&flag, 100, &stage.canary.url()))
        .await;
    // Unleash itself tells nobody for up to a second.
    eventually("a server that says so", || async {
        let features = unleash.features().await;
        let mut features = features["features"].as_array()?.iter();
        features
            .any(|feature| feature["name"] == flag && feature["enabled"] == true)
            .then_some(())
    })
    .await;
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");

    let begun = Instant::now();
    refresh(&gateway).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
    // The next poll is ten minutes away: the very first request after the webhook's answer was routed by it.
    report(&format!("webhook to routing: {:.2?}", begun.elapsed()));

    let unknown = Call::new(Method::POST, "/api/v1/sources/nobody/refresh");
    assert_eq!(gateway.admin_send(unknown).await.status, 404);
}

#[tokio::test]
async fn strategies_segments_and_archiving_move_users() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("edits").await;
    let gateway = stage.start(&unleash.url()).await;
    let (flag, url) = (stage.flag("new"), stage.canary.url());

    // To a segment.
    let of = |user: &str| json!([constraint("userId", "IN", &[user])]);
    let segment = unleash.create_segment("edits-pilot", of("u1")).await;
    let mut strategy = canary(&flag, 100, &url);
    strategy["segments"] = json!([segment]);
    let strategy = unleash.open(&flag, strategy).await;
    stage.await_served(&gateway, "u1", "canary").await;
    assert_eq!(stage.serves(&gateway, "u2").await, "stable");

    // To another.
    unleash
        .change_segment(segment, "edits-pilot", of("u2"))
        .await;
    stage.await_served(&gateway, "u2", "canary").await;
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");

    // To an app's version.
    let mut newer = constraint("appVersion", "SEMVER_GT", &[]);
    newer["value"] = json!("10.1.0");
    let mut by_version = canary(&flag, 100, &url);
    by_version["constraints"] = json!([newer]);
    unleash.change(&strategy, by_version).await;
    stage.await_served(&gateway, "u2", "stable").await;
    for (version, origin) in [("10.1.1", "canary"), ("10.1.0", "stable"), ("x", "stable")] {
        assert_eq!(stage.serves_version(&gateway, version).await, origin);
    }

    // To everyone as well, and to nobody.
    let everyone = unleash.add_strategy(&flag, canary(&flag, 100, &url)).await;
    stage.await_served(&gateway, "u1", "canary").await;
    unleash.remove(&everyone).await;
    stage.await_served(&gateway, "u1", "stable").await;
    unleash.change(&strategy, canary(&flag, 100, &url)).await;
    stage.await_served(&gateway, "u1", "canary").await;
    unleash.archive(&[&flag]).await;
    stage.await_served(&gateway, "u1", "stable").await;
}

#[tokio::test]
async fn a_control_arm_is_stable_under_the_flag() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("arms").await;
    let gateway = stage.start(&unleash.url()).await;
    let flag = stage.flag("ab");
    let mut strategy = rollout(&flag, 100);
    let url = stage.canary.url();
    let arms = [
        ("treatment", 500, Some(url.as_str())),
        ("control", 500, None),
    ];
    strategy["variants"] = variants(&arms);
    unleash.open(&flag, strategy).await;
    patiently("users of both arms", || async {
        let (mut seen, all) = (Vec::new(), ["canary", "stable"]);
        for user in 0..20 {
            seen.push(stage.serves(&gateway, &format!("u{user}")).await);
        }
        all.iter()
            .all(|arm| seen.iter().any(|origin| origin == arm))
            .then_some(())
    })
    .await;
    // Some of those may have been asked for before the flag came.
    for user in 0..20 {
        stage.serves(&gateway, &format!("u{user}")).await;
    }
    for (arm, assigned) in [("treatment", flag.as_str()), ("control", "stable")] {
        let line = gateway
            .await_access_log(|line| line["flag"] == flag.as_str() && line["variant"] == arm)
            .await;
        assert_eq!(line["reason"], "strategy", "{line:#}");
        // A canary is named after its flag, while one variant of it has a URL.
        assert_eq!(line["assigned"], assigned, "{line:#}");
    }
}

#[tokio::test]
async fn a_parent_that_is_off_turns_its_child_off() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("parents").await;
    let gateway = stage.start(&unleash.url()).await;
    let (child, parent) = (stage.flag("child"), "parents-of-others");
    unleash.open(parent, rollout(parent, 100)).await;
    unleash.create_flag(&child).await;
    unleash.depend(&child, parent).await;
    let strategy = canary(&child, 100, &stage.canary.url());
    unleash.add_strategy(&child, strategy).await;
    unleash.turn(&child, true).await;
    stage.await_served(&gateway, "u1", "canary").await;
    unleash.turn(parent, false).await;
    stage.await_served(&gateway, "u1", "stable").await;
}

#[tokio::test]
async fn a_flag_may_record_where_stable_is() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("recorded").await;
    let flag = stage.flag("urls");
    let (stable, canary) = (stage.stable.url(), stage.canary.url());
    let mut strategy = rollout(&flag, 100);
    strategy["variants"] = variants(&[
        ("canary", 1000, Some(canary.as_str())),
        ("stable", 0, Some(stable.as_str())),
    ]);
    unleash.create_flag(&flag).await;
    unleash.add_strategy(&flag, strategy).await;

    let config = stage.config(&unleash.url(), ", poll: 1s");
    let config = config.replace(&format!("stable: \"{stable}\""), "canaries: [recorded.*]");
    assert!(!config.contains(&stable), "{config}");
    let gateway = Setup::new(config).start().await;
    // Whatever the flag's state: it is off.
    patiently("a stable deployment", || async {
        let answer = gateway.get_as("u1", "/recorded").await;
        (answer.origin() == "stable").then_some(())
    })
    .await;
    unleash.turn(&flag, true).await;
    stage.await_served(&gateway, "u1", "canary").await;
}

#[tokio::test]
async fn gateways_of_equal_flags_are_equal() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("alike").await;
    let config = stage.config(&unleash.url(), ", poll: 1s");
    let config = config.replace(&format!("{}", stage.state.path().display()), "./state");
    let (one, two) = tokio::join!(
        Setup::new(config.clone()).start(),
        Setup::new(config.clone()).start()
    );
    let flag = stage.flag("half");
    unleash
        .open(&flag, canary(&flag, 50, &stage.canary.url()))
        .await;
    for gateway in [&one, &two] {
        patiently("somebody on the canary", || async {
            for user in 0..20 {
                if stage.serves(gateway, &format!("u{user}")).await == "canary" {
                    return Some(());
                }
            }
            None
        })
        .await;
    }
    for user in 0..50 {
        let user = format!("u{user}");
        let by_one = stage.serves(&one, &user).await;
        assert_eq!(by_one, stage.serves(&two, &user).await, "{user}");
    }
    // Other tests change other flags of the server meanwhile: they are alike again and again, not always.
    patiently("one digest", || async {
        let (one, two) = tokio::join!(one.status(), two.status());
        (one["digest"] == two["digest"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_that_moves_users_is_said() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("flips").await;
    let gateway = stage.start(&unleash.url()).await;
    let (flag, url) = (stage.flag("new"), stage.canary.url());
    let strategy = unleash.open(&flag, canary(&flag, 50, &url)).await;
    eventually("the flag", || async {
        let decision = stage.explain(&gateway, "u1").await;
        (decision["flags"][0]["enabled"] == true).then_some(())
    })
    .await;
    assert_eq!(warns(&gateway, &[flag.as_str()]).await, None);
    unleash
        .change(&strategy, canary("another-group", 50, &url))
        .await;
    let words = [flag.as_str(), "group"];
    patiently("a warning", || warns(&gateway, &words)).await;
    assert!(gateway.log().contains("another-group"), "{}", gateway.log());
}
