use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::engine::source::{SourceKind, SourceSet};
use crate::source::feed::removal_guard::RemovalGuard;

const PATIENCE: Duration = Duration::from_secs(300);

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("flag-{number:03}")).collect()
}

fn feature(name: &str, on: bool) -> serde_json::Value {
    json!({ "name": name, "enabled": on, "strategies": [{ "name": "default" }] })
}

fn set(names: &[String]) -> SourceSet {
    let features: Vec<_> = names.iter().map(|name| feature(name, true)).collect();
    let answer = json!({ "version": 2, "features": features }).to_string();
    SourceSet::parse(SourceKind::Unleash, answer.as_bytes()).expect("an answer")
}

fn guard(flags: usize) -> RemovalGuard {
    RemovalGuard::new(Arc::new(set(&names(0..flags))))
}

fn in_force(guard: &RemovalGuard) -> usize {
    guard.in_force().len()
}

fn apply(delta: &str, guard: &mut RemovalGuard, now: Instant) {
    super::apply(delta.as_bytes(), guard, now, PATIENCE).expect("a delta");
}

#[test]
fn a_removal_by_name_is_never_held() {
    let (mut guard, start) = (guard(20), Instant::now());
    let removed: Vec<_> = names(0..19)
        .iter()
        .map(|name| json!({ "type": "feature-removed", "eventId": 1, "featureName": name, "project": "p" }))
        .collect();
    let delta = json!({ "events": removed }).to_string();
    apply(&delta, &mut guard, start);
    assert_eq!((in_force(&guard), guard.held().len()), (1, 0));
}

#[test]
fn a_delta_reaches_what_is_held() {
    let (mut guard, start) = (guard(20), Instant::now());
    guard.full(set(&[]), start, PATIENCE);
    let delta = json!({ "events": [
        { "type": "feature-removed", "eventId": 1, "featureName": "flag-000", "project": "p" },
        { "type": "feature-updated", "eventId": 2, "feature": feature("flag-001", false) },
    ] });
    apply(&delta.to_string(), &mut guard, start);
    assert_eq!((in_force(&guard), guard.held().len()), (19, 18));
    assert!(guard.confirm(start + PATIENCE, PATIENCE));
    assert_eq!(in_force(&guard), 1);
}

#[test]
fn a_hydration_is_a_full_answer() {
    let (mut guard, start) = (guard(20), Instant::now());
    let hydration = |features: Vec<serde_json::Value>| {
        json!({ "events": [{ "type": "hydration", "eventId": 3, "features": features, "segments": [] }] }).to_string()
    };
    apply(&hydration(Vec::new()), &mut guard, start);
    assert_eq!((in_force(&guard), guard.held().len()), (20, 20));
    let two = hydration(vec![feature("a", true), feature("b", true)]);
    let mut fresh = RemovalGuard::new(Arc::new(SourceSet::empty(SourceKind::Unleash)));
    apply(&two, &mut fresh, start);
    assert_eq!(
        (in_force(&fresh), fresh.in_force().revision()),
        (2, Some(3))
    );
}

#[test]
fn what_is_no_delta_changes_nothing() {
    let (mut guard, start) = (guard(3), Instant::now());
    for broken in [
        &b"<html>"[..],
        b"{}",
        b"{\"events\":[{\"type\":\"feature-updated\"}]}",
    ] {
        assert!(super::apply(broken, &mut guard, start, PATIENCE).is_err());
    }
    assert_eq!(in_force(&guard), 3);
}
