//! What happens while a snapshot is assembled: a panic, a kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use super::flags::{assigned, by_nobody, feature, first_with, say, set, with_servers};
use crate::canary::{ReasonKind, Withdrawal};
use crate::config::Config;
use crate::context::Moment;
use crate::publisher::kills::{KillAction, KillSwitch};
use crate::publisher::{PublishError, Publisher, PublisherHandle};
use crate::registry::kills::{Kill, Kills};
use crate::resolver::dns::Dns;
use crate::resolver::{ClusterManager, Meanwhile};
use crate::telemetry::metrics::MeterRegistry;

/// The port of canaries that something happens at.
const ODD: u16 = 9666;

fn start(first: &Arc<Config>, kills: &Kills, meanwhile: Meanwhile) -> PublisherHandle {
    let dns = Dns::new(Some("127.0.0.1:9")).unwrap();
    let mut clusters = ClusterManager::new(dns, Handle::current(), Box::default());
    clusters.meanwhile = Some(meanwhile);
    Publisher::start(
        first.clone(),
        Vec::new(),
        clusters,
        MeterRegistry::default(),
        kills.clone(),
        &Handle::current(),
    )
}

fn panicking() -> Meanwhile {
    Box::new(|url| assert_ne!(url.port(), ODD, "an odd port"))
}

#[tokio::test]
async fn what_no_snapshot_can_be_made_of_is_no_end_and_leaves_nothing_behind() {
    let kills = Kills::in_memory();
    let publisher = start(&first_with(&["one", "two"], 1), &kills, panicking());
    say(&publisher, "one", &[feature("a", 100, 9001)]).await;
    let (one, two) = ("one".into(), "two".into());
    let odd = || publisher.publish_flags(&one, set(&[feature("a", 100, ODD)]), Vec::new());
    for _ in 0..2 {
        match odd().await {
            // Not "unchanged", however often it comes.
            Err(PublishError::Failed(why)) => assert!(why.contains("an odd port"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let canary = ("search.a".to_owned(), ReasonKind::Strategy);
    assert_eq!(
        assigned(&publisher.store().load()),
        canary,
        "what runs stays"
    );

    // Everybody else's updates go on without it, a kill above all.
    let published = say(&publisher, "two", &[feature("b", 1, 9002)]).await;
    assert_eq!((published.generation, published.is_new), (3, true));
    let kills = KillSwitch::new(kills, publisher.clone());
    let order = |order| kills.order(order, "search", "search.a", (by_nobody(), None));
    let report = order(KillAction::Kill).await.unwrap();
    assert_eq!((report.generation, report.canaries), (4, 1));
    order(KillAction::Restore).await.unwrap();
    publisher
        .publish(with_servers(&["one", "two"], 2))
        .await
        .unwrap();
    assert_eq!(assigned(&publisher.store().load()), canary);

    // And so do its own, as soon as they can be put in force.
    let published = say(&publisher, "one", &[feature("a", 100, 9003)]).await;
    assert!(published.is_new);
    let snapshot = publisher.store().load();
    let mut deployments = snapshot.services[0].deployments.iter();
    let canary = deployments.find(|one| &*one.name == "search.a");
    assert_eq!(canary.unwrap().cluster.url.port(), 9003);
    let same = publisher.publish_flags(&two, set(&[feature("b", 1, 9002)]), Vec::new());
    assert!(!same.await.unwrap().is_new);
}

#[tokio::test]
async fn what_waits_beside_what_cannot_be_published_is_published() {
    let kills = Kills::in_memory();
    let publisher = start(&first_with(&["one", "two"], 1), &kills, panicking());
    let (one, two) = ("one".into(), "two".into());
    // Polled together, they are sent before the publisher, on the same thread, takes any.
    let (odd, good, kill) = tokio::join!(
        publisher.publish_flags(&one, set(&[feature("a", 100, ODD)]), Vec::new()),
        publisher.publish_flags(&two, set(&[feature("b", 100, 9002)]), Vec::new()),
        publisher.withdraw(),
    );
    assert!(matches!(odd, Err(PublishError::Failed(_))), "{odd:?}");
    assert!(good.unwrap().is_new);
    kill.unwrap();
    let canary = ("search.b".to_owned(), ReasonKind::Strategy);
    assert_eq!(assigned(&publisher.store().load()), canary);
}

#[tokio::test]
async fn a_kill_that_comes_while_a_snapshot_is_made_is_not_lifted_by_it() {
    let kills = Kills::in_memory();
    let killing = kills.clone();
    let has_killed = Arc::new(AtomicBool::new(false));
    let killed = has_killed.clone();
    let publisher = start(
        &first_with(&["unleash"], 1),
        &kills,
        Box::new(move |url| {
            if url.port() == ODD && !killed.swap(true, Ordering::Relaxed) {
                let moment = Moment { unix_ms: 0 };
                killing.kill(
                    "search",
                    "search.a",
                    Kill::new(moment, "ann".to_owned(), None),
                );
            }
        }),
    );
    say(&publisher, "unleash", &[feature("a", 100, 9001)]).await;
    let before = publisher.store().load();
    // Another flag has the new snapshot made; the killed one is the same in it.
    let flags = [feature("a", 100, 9001), feature("b", 0, ODD)];
    say(&publisher, "unleash", &flags).await;
    assert!(has_killed.load(Ordering::Relaxed));
    let after = publisher.store().load();
    let killed = ("stable".to_owned(), ReasonKind::Killed);
    assert_eq!(assigned(&after), killed, "the snapshot knows of it");
    for snapshot in [&before, &after] {
        let deployments = &snapshot.services[0].deployments;
        let canary = deployments
            .iter()
            .find(|canary| &*canary.name == "search.a");
        assert_eq!(canary.unwrap().withdrawal(), Some(Withdrawal::Killed));
    }
}

#[tokio::test]
async fn a_canary_that_was_restored_while_its_flag_was_gone_is_back_with_it() {
    let kills = Kills::in_memory();
    let publisher = start(&first_with(&["unleash"], 1), &kills, panicking());
    let kills = KillSwitch::new(kills, publisher.clone());
    let order = |order| kills.order(order, "search", "search.a", (by_nobody(), None));
    say(&publisher, "unleash", &[feature("a", 100, 9001)]).await;
    // A request under way holds the snapshot, and with it the canary's mark.
    let _pinned = publisher.store().load();
    order(KillAction::Kill).await.unwrap();
    say(&publisher, "unleash", &[]).await;
    order(KillAction::Restore).await.unwrap();
    say(&publisher, "unleash", &[feature("a", 100, 9001)]).await;
    let snapshot = publisher.store().load();
    let canary = ("search.a".to_owned(), ReasonKind::Strategy);
    assert_eq!(assigned(&snapshot), canary);
    let withdrawals = snapshot.services[0].deployments.iter();
    assert!(
        withdrawals
            .map(|one| one.withdrawal())
            .all(|one| one.is_none())
    );
}
