use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Audience, Extent, SPARED, Spread};
use crate::context::schema::ContextSchema;
use crate::context::{Context, Field, Moment, Slot};
use crate::snapshot::Snapshot;
use crate::snapshot::fixture::{flag, ring, service, snapshot, when};

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

/// Service `search` with a canary for users of a plan, which is in a slot.
fn on_plan(plan: &str, slot: u16) -> Snapshot {
    let condition = when(Field::Property(Slot(slot)), "plan", "in", &[plan]);
    let flags = vec![flag("search.a", vec![ring("plan", condition, "100%")])];
    let names: [Arc<str>; 2] = match slot {
        0 => ["plan".into(), "email".into()],
        _ => ["email".into(), "plan".into()],
    };
    let mut snapshot = snapshot(vec![service("search", &["search.*"])], flags);
    snapshot.vocabulary = Arc::new(ContextSchema::new(&names));
    snapshot
}

#[test]
fn users_are_moved_when_they_are_meant_for_another_deployment() {
    let before = on_plan("free", 0);
    let context = Context {
        properties: [Some("free".into()), None].into_iter().collect(),
        ..Context::default()
    };
    let audience = Audience::of(&before, context);
    let is_moved = |snapshot: &Snapshot, deployment: &str| {
        let service = &snapshot.services[0];
        audience.is_moved(&snapshot.vocabulary, service, deployment, NOW)
    };
    assert!(!is_moved(&before, "search.a"));
    assert!(is_moved(&before, "search.b"));
    assert!(is_moved(&on_plan("paid", 0), "search.a"));
    // The same rule, where properties have other slots.
    assert!(!is_moved(&on_plan("free", 1), "search.a"));
    assert!(is_moved(&on_plan("paid", 1), "search.a"));
}

fn endings(window: Duration, extent: Extent, count: usize) -> Vec<Duration> {
    let (spread, now) = (Spread::default(), Instant::now());
    let ending = |_| {
        let ending = spread.ending(now, window, extent);
        assert!(ending.at <= ending.latest && ending.latest == now + window);
        ending.at - now
    };
    (0..count).map(ending).collect()
}

#[test]
fn endings_are_even_however_many_there_are() {
    let window = Duration::from_secs(31);
    for count in [10, 11, 57, 300, 5000] {
        let mut tenths = [0; 10];
        for at in endings(window, Extent::Endless, count) {
            assert!(at >= SPARED);
            let tenth = (at - SPARED).as_secs_f64() / 3.0;
            tenths[(tenth as usize).min(9)] += 1;
        }
        let most = tenths.iter().max().expect("ten of them");
        assert!(*most <= count / 10 + 2, "{count}: {tenths:?}");
    }
}

#[test]
fn what_may_end_by_itself_has_longer() {
    let window = Duration::from_secs(10);
    let first = |extent| endings(window, extent, 100).into_iter().min();
    assert!(first(Extent::Endless) < Some(Duration::from_millis(1200)));
    assert!(first(Extent::Bounded) >= Some(window / 2));
    assert_eq!(first(Extent::Unanswered), Some(window));
    // A short window spares the shortest ones still.
    let window = Duration::from_secs(1);
    let first = endings(window, Extent::Endless, 100).into_iter().min();
    assert!(first >= Some(window / 4));
}
