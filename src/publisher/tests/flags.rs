//! Flags from servers on their way into snapshots.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::fixture::{config, server};
use crate::audit::actor::Actor;
use crate::canary::ReasonKind;
use crate::config::Config;
use crate::context::{Context, Moment};
use crate::decide::decide;
use crate::engine::source::SourceSet;
use crate::engine::unleash::FeatureSet;
use crate::events::{EventKind, Heard, Listener};
use crate::publisher::kills::{KillAction, KillSwitch};
use crate::publisher::{Published, Publisher, PublisherHandle};
use crate::registry::kills::Kills;
use crate::resolver::ClusterManager;
use crate::resolver::dns::Dns;
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::MeterRegistry;

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

/// The flag "search.<name>", a canary for a percentage of users.
pub(super) fn feature(name: &str, percent: u8, port: u16) -> Value {
    json!({
        "name": format!("search.{name}"),
        "enabled": true,
        "strategies": [{
            "name": "flexibleRollout",
            "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": name },
            "variants": [{
                "name": "canary", "weight": 1000, "stickiness": "userId",
                "payload": { "type": "string", "value": format!("http://127.0.0.1:{port}") },
            }],
        }],
    })
}

pub(super) fn set(features: &[Value]) -> FeatureSet {
    let body = json!({ "version": 2, "features": features }).to_string();
    FeatureSet::parse(body.as_bytes()).unwrap()
}

pub(super) fn with_servers(names: &[&str], content: u8) -> Config {
    let mut config = config("http://127.0.0.1:81", content);
    config.canary_urls.networks = vec!["127.0.0.0/8".parse().unwrap()];
    config.unleash = names.iter().map(|name| server(name)).collect();
    config
}

pub(super) fn first_with(names: &[&str], content: u8) -> Arc<Config> {
    Arc::new(with_servers(names, content))
}

pub(super) fn start(first: &Arc<Config>, stored: Vec<(Arc<str>, SourceSet)>) -> PublisherHandle {
    let dns = Dns::new(Some("127.0.0.1:9")).unwrap();
    let clusters = ClusterManager::new(dns, Handle::current(), Box::default());
    Publisher::start(
        first.clone(),
        stored,
        clusters,
        MeterRegistry::default(),
        Kills::in_memory(),
        &Handle::current(),
    )
}

pub(super) async fn say(
    publisher: &PublisherHandle,
    source: &str,
    features: &[Value],
) -> Published {
    let source = source.into();
    let published = publisher.publish_flags(&source, set(features), Vec::new());
    published.await.unwrap()
}

/// Where a user is sent, and why.
pub(super) fn assigned(snapshot: &Snapshot) -> (String, ReasonKind) {
    let context = Context {
        user_id: Some("u1".into()),
        ..Context::default()
    };
    let service = &snapshot.services[0];
    let decision = decide(service, &context, NOW);
    let deployment = service.deployments.get(decision.assigned);
    (deployment.name.to_string(), decision.reason.kind())
}

/// Where an order comes from.
pub(super) fn by_nobody() -> Actor {
    Actor {
        address: Some([127, 0, 0, 1].into()),
        ..Actor::default()
    }
}

fn names(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

async fn heard(listener: &mut Listener) -> EventKind {
    match listener.next().await {
        Some(Heard::Event(event)) => Arc::unwrap_or_clone(event).what,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_canary_appears_and_goes_as_its_server_says() {
    let publisher = start(&first_with(&["unleash"], 1), Vec::new());
    let mut events = publisher.events().listen();
    let store = publisher.store();
    assert_eq!(
        assigned(&store.load()),
        ("stable".into(), ReasonKind::NoFlags)
    );

    let published = say(&publisher, "unleash", &[feature("new", 100, 9001)]).await;
    assert_eq!((published.generation, published.is_new), (2, true));
    assert_eq!(names(&published.changes.added), ["search.new"]);
    let snapshot = store.load();
    assert_eq!(snapshot.digest, published.digest);
    assert_eq!(
        assigned(&snapshot),
        ("search.new".into(), ReasonKind::Strategy)
    );
    assert_eq!(
        snapshot.sources[0].set.as_ref().map(|set| set.len()),
        Some(1)
    );
    let EventKind::Published {
        generation,
        changes,
        ..
    } = heard(&mut events).await
    else {
        panic!("something else first");
    };
    assert_eq!((generation, changes), (2, published.changes));

    let published = say(&publisher, "unleash", &[]).await;
    assert_eq!(names(&published.changes.removed), ["search.new"]);
    assert_eq!(
        assigned(&store.load()),
        ("stable".into(), ReasonKind::Default)
    );
}

#[tokio::test]
async fn what_was_stored_is_in_the_first_snapshot() {
    let stored = set(&[feature("new", 100, 9001)]);
    let first = first_with(&["unleash"], 1);
    let publisher = start(&first, vec![("unleash".into(), stored.clone().into())]);
    let snapshot = publisher.store().load();
    assert_eq!(
        (snapshot.generation, assigned(&snapshot).1),
        (1, ReasonKind::Strategy)
    );
    // The server says the same, in words of its own.
    let mut same = feature("new", 100, 9001);
    same["strategies"][0]["constraints"] = Value::Null;
    same["strategies"][0]
        .as_object_mut()
        .unwrap()
        .remove("constraints");
    let published = say(&publisher, "unleash", &[same]).await;
    assert_eq!((published.generation, published.is_new), (1, false));
    // Flags of a source that is not configured are nobody's.
    let other = start(&first, vec![("elsewhere".into(), stored.into())]);
    assert_eq!(assigned(&other.store().load()).1, ReasonKind::NoFlags);
}

#[tokio::test]
async fn equal_gateways_have_equal_digests_however_they_came_to_be() {
    let (one, two) = (feature("one", 50, 9001), feature("two", 50, 9002));
    let first = first_with(&["a", "b"], 1);
    let straight = start(&first, Vec::new());
    say(&straight, "a", &[one.clone(), two.clone()]).await;
    say(&straight, "b", std::slice::from_ref(&two)).await;
    let roundabout = start(
        &first,
        vec![("b".into(), set(std::slice::from_ref(&two)).into())],
    );
    say(&roundabout, "a", std::slice::from_ref(&one)).await;
    say(&roundabout, "a", &[two.clone(), one.clone()]).await;
    let digest = |publisher: &PublisherHandle| publisher.store().load().digest;
    assert_eq!(digest(&straight), digest(&roundabout));
    // Where another flag ran first, users are sent elsewhere.
    let late = start(
        &first,
        vec![("b".into(), set(std::slice::from_ref(&two)).into())],
    );
    say(&late, "a", &[]).await;
    say(&late, "a", &[two, one.clone()]).await;
    assert_ne!(digest(&straight), digest(&late));
    let swapped = start(&first_with(&["b", "a"], 1), Vec::new());
    say(&swapped, "a", &[one]).await;
    assert_ne!(digest(&straight), digest(&swapped));
}

#[tokio::test]
async fn only_what_changed_is_compiled_and_what_did_not_stays_the_same_one() {
    let publisher = start(&first_with(&["unleash"], 1), Vec::new());
    let all = |percent| {
        [
            feature("a", 10, 9001),
            feature("b", percent, 9002),
            feature("c", 10, 9003),
        ]
    };
    say(&publisher, "unleash", &all(10)).await;
    let before = publisher.store().load();
    let published = say(&publisher, "unleash", &all(20)).await;
    assert_eq!(names(&published.changes.changed), ["search.b"]);
    let after = publisher.store().load();
    let of = |snapshot: &Snapshot, name: &str| {
        let mut flags = snapshot.flags.iter();
        flags.find(|flag| *flag.name == *name).unwrap().clone()
    };
    for (name, same) in [("search.a", true), ("search.b", false), ("search.c", true)] {
        let (one, other) = (of(&before, name), of(&after, name));
        assert_eq!(Arc::ptr_eq(&one, &other), same, "{name}");
    }
    // Another configuration alone compiles no flag either, its own ones included.
    let mut next = with_servers(&["unleash"], 2);
    next.flags = config("http://127.0.0.1:81", 1).flags;
    let published = publisher.publish(next).await.unwrap();
    assert!(
        published.is_new && published.changes.is_empty(),
        "{published:?}"
    );
    let mut stricter = with_servers(&["unleash"], 3);
    stricter.canary_urls.networks.clear();
    let published = publisher.publish(stricter).await.unwrap();
    assert_eq!(published.changes.changed.len(), 3);
    assert_eq!(publisher.store().load().services[0].deployments.count(), 2);
}

#[tokio::test]
async fn a_source_that_is_not_configured_any_more_takes_its_flags_along() {
    let publisher = start(&first_with(&["one", "two"], 1), Vec::new());
    say(&publisher, "one", &[feature("a", 100, 9001)]).await;
    say(
        &publisher,
        "two",
        &[feature("a", 100, 9002), feature("b", 100, 9003)],
    )
    .await;
    let port = |publisher: &PublisherHandle| {
        let snapshot = publisher.store().load();
        let mut deployments = snapshot.services[0].deployments.iter();
        let canary = deployments.find(|deployment| &*deployment.name == "search.a");
        canary.map(|canary| canary.cluster.url.port())
    };
    assert_eq!(port(&publisher), Some(9001));
    publisher
        .publish(with_servers(&["two", "one"], 2))
        .await
        .unwrap();
    assert_eq!(
        port(&publisher),
        Some(9002),
        "the order of precedence is another one"
    );
    publisher.publish(with_servers(&["one"], 3)).await.unwrap();
    assert_eq!(port(&publisher), Some(9001));
    let late = say(&publisher, "two", &[feature("a", 100, 9002)]).await;
    assert!(!late.is_new);
    publisher.publish(with_servers(&[], 4)).await.unwrap();
    assert_eq!(port(&publisher), None);
}

#[tokio::test]
async fn held_flags_are_told_once() {
    let publisher = start(&first_with(&["unleash"], 1), Vec::new());
    say(&publisher, "unleash", &[feature("a", 10, 9001)]).await;
    let mut events = publisher.events().listen();
    let source = "unleash".into();
    let hold = |held: &[&str]| {
        let held = held.iter().map(|name| (*name).into()).collect();
        publisher.publish_flags(&source, set(&[feature("a", 10, 9001)]), held)
    };
    for held in [&["search.a"][..], &["search.a"], &[]] {
        hold(held).await.unwrap();
    }
    for expected in [&["search.a"][..], &[]] {
        let EventKind::Held { source, flags } = heard(&mut events).await else {
            panic!("something else");
        };
        assert_eq!((&*source, names(&flags)), ("unleash", expected.to_vec()));
    }
}

#[tokio::test]
async fn a_flag_that_moves_its_users_is_warned_of_in_the_snapshot_and_the_event() {
    let publisher = start(&first_with(&["unleash"], 1), Vec::new());
    say(&publisher, "unleash", &[feature("a", 50, 9001)]).await;
    let mut moved = feature("a", 50, 9001);
    moved["strategies"][0]["parameters"]["groupId"] = json!("other");
    let published = say(&publisher, "unleash", &[moved.clone()]).await;
    let told = published.changes.rebucketed[0].to_string();
    assert!(
        told.contains("search.a") && told.contains("its group is \"other\", was \"a\""),
        "{told}"
    );
    let warned = |publisher: &PublisherHandle| publisher.store().load().rebucketed.len();
    assert_eq!(warned(&publisher), 1);
    // Other flags come and go meanwhile.
    say(&publisher, "unleash", &[moved, feature("b", 50, 9002)]).await;
    assert_eq!(warned(&publisher), 1);
    say(&publisher, "unleash", &[feature("b", 50, 9002)]).await;
    assert_eq!(warned(&publisher), 0);
}

#[tokio::test]
async fn updates_that_wait_together_are_one_snapshot_and_none_waits_for_ever() {
    let publisher = start(&first_with(&["one", "two", "three"], 1), Vec::new());
    let flags = async |source: &'static str| {
        for percent in 1..=50 {
            say(&publisher, source, &[feature(source, percent, 9001)]).await;
        }
    };
    let configured = async {
        let mut generations = Vec::new();
        for content in 2..=20 {
            let next = with_servers(&["one", "two", "three"], content);
            generations.push(publisher.publish(next).await.unwrap().generation);
        }
        generations
    };
    let ((), (), (), generations) =
        tokio::join!(flags("one"), flags("two"), flags("three"), configured);
    assert!(generations.is_sorted_by(|one, other| one < other));
    // Each of the nineteen waited for what came with it at most, not for the burst's end.
    let last = publisher.store().load().generation;
    assert!(generations[18] < last, "{generations:?} of {last}");
    assert!(last <= 1 + 50 + 50 + 50 + 19, "{last}");
}

#[tokio::test]
async fn stable_is_where_a_flag_says_and_stays_there_when_the_flag_is_gone() {
    let mut first = with_servers(&["unleash"], 1);
    first.services[0].stable = None;
    let publisher = start(&Arc::new(first), Vec::new());
    let stable = |publisher: &PublisherHandle| {
        let snapshot = publisher.store().load();
        snapshot.services[0].stable().cluster.url.to_string()
    };
    assert_eq!(stable(&publisher), "(unknown)");
    let mut base = feature("base", 0, 9001);
    base["strategies"][0]["variants"][0]["name"] = json!("stable");
    base["enabled"] = json!(false);
    say(&publisher, "unleash", &[base]).await;
    assert_eq!(stable(&publisher), "http://127.0.0.1:9001");
    say(&publisher, "unleash", &[]).await;
    assert_eq!(stable(&publisher), "http://127.0.0.1:9001");
    assert!(publisher.store().load().warnings[0].contains("the last one known stays"));
    // Unless it may not be there any more.
    let mut stricter = with_servers(&["unleash"], 2);
    stricter.services[0].stable = None;
    stricter.canary_urls.networks.clear();
    publisher.publish(stricter).await.unwrap();
    assert_eq!(stable(&publisher), "(unknown)");
}

#[tokio::test]
async fn a_request_under_way_takes_no_large_snapshot_apart() {
    let publisher = start(&first_with(&["unleash"], 1), Vec::new());
    let pinned = publisher.store().load();
    say(&publisher, "unleash", &[feature("a", 1, 9001)]).await;
    // The publisher holds it too, so that whoever holds it here never is the last.
    assert_eq!(Arc::strong_count(&pinned), 2);
    let watched = Arc::downgrade(&pinned);
    drop(pinned);
    say(&publisher, "unleash", &[feature("a", 2, 9001)]).await;
    assert_eq!(watched.strong_count(), 0);
}

#[tokio::test]
async fn a_killed_canary_stays_killed_whatever_flags_come() {
    let first = first_with(&["unleash"], 1);
    let kills = Kills::in_memory();
    let dns = Dns::new(Some("127.0.0.1:9")).unwrap();
    let clusters = ClusterManager::new(dns, Handle::current(), Box::default());
    let meters = MeterRegistry::default();
    let control = Handle::current();
    let publisher = Publisher::start(first, Vec::new(), clusters, meters, kills.clone(), &control);
    let kills = KillSwitch::new(kills, publisher.clone());
    let mut events = publisher.events().listen();
    let by = by_nobody();
    kills
        .order(KillAction::Kill, "search", "search.new", (by.clone(), None))
        .await
        .unwrap();
    assert!(matches!(
        heard(&mut events).await,
        EventKind::Ordered { killed: true, .. }
    ));
    let killed = ("stable".to_owned(), ReasonKind::Killed);
    for percent in [100, 99, 100] {
        say(&publisher, "unleash", &[feature("new", percent, 9001)]).await;
        // The second time its candidate is taken over from the first, and marked anew.
        say(
            &publisher,
            "unleash",
            &[feature("new", percent, 9001), feature("z", 0, 9002)],
        )
        .await;
        assert_eq!(assigned(&publisher.store().load()), killed);
    }
    let again = say(
        &publisher,
        "unleash",
        &[feature("new", 100, 9001), feature("z", 0, 9002)],
    )
    .await;
    assert!(!again.is_new, "a kill alone makes nothing new");
    kills
        .order(KillAction::Restore, "search", "search.new", (by, None))
        .await
        .unwrap();
    let restored = ("search.new".to_owned(), ReasonKind::Strategy);
    assert_eq!(assigned(&publisher.store().load()), restored);
}
