use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{RemovalGuard, is_suspicious};
use crate::engine::source::{SourceKind, SourceSet};

const PATIENCE: Duration = Duration::from_secs(300);

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("flag-{number:03}")).collect()
}

fn feature(name: &str, on: bool) -> serde_json::Value {
    json!({ "name": name, "enabled": on, "strategies": [{ "name": "default", "segments": [1] }] })
}

fn set(names: &[String]) -> SourceSet {
    let features: Vec<_> = names.iter().map(|name| feature(name, true)).collect();
    let segments = if names.is_empty() {
        json!([])
    } else {
        json!([{ "id": 1, "constraints": [] }])
    };
    let answer = json!({ "version": 2, "features": features, "segments": segments });
    SourceSet::parse(SourceKind::Unleash, answer.to_string().as_bytes()).expect("an answer")
}

fn guard(flags: usize) -> RemovalGuard {
    RemovalGuard::new(Arc::new(set(&names(0..flags))))
}

fn in_force(guard: &RemovalGuard) -> usize {
    guard.in_force().len()
}

#[test]
fn more_than_half_and_at_least_ten_are_suspicious() {
    for (all, missing, empty, expected) in [
        (19, 10, false, true),
        (20, 10, false, false),
        (18, 9, false, false),
        (17, 9, false, false),
        (1000, 501, false, true),
        (1, 1, true, true),
        (0, 0, true, false),
        (3, 2, false, false),
    ] {
        assert_eq!(
            is_suspicious(all, missing, empty),
            expected,
            "{missing} of {all}"
        );
    }
}

#[test]
fn what_is_missing_goes_after_a_while_of_the_same_answer() {
    let (mut guard, start) = (guard(20), Instant::now());
    guard.full(set(&names(0..5)), start, PATIENCE);
    assert_eq!((in_force(&guard), guard.held().len()), (20, 15));
    assert_eq!(guard.due(PATIENCE), Some(start + PATIENCE));
    let almost = start + PATIENCE - Duration::from_millis(1);
    assert!(!guard.confirm(almost, PATIENCE));
    guard.full(set(&names(0..5)), almost, PATIENCE);
    assert_eq!(in_force(&guard), 20);
    assert!(guard.confirm(start + PATIENCE, PATIENCE));
    assert_eq!((in_force(&guard), guard.held().len()), (5, 0));
    assert!(!guard.confirm(start + 2 * PATIENCE, PATIENCE));
}

#[test]
fn an_answer_that_lacks_others_begins_anew() {
    let (mut guard, start) = (guard(20), Instant::now());
    guard.full(set(&[]), start, PATIENCE);
    let later = start + PATIENCE / 2;
    guard.full(set(&names(0..3)), later, PATIENCE);
    assert_eq!(guard.due(PATIENCE), Some(later + PATIENCE));
    assert_eq!(in_force(&guard), 20);
    // All are back, and nothing is held.
    guard.full(set(&names(0..20)), later, PATIENCE);
    assert_eq!((guard.held().len(), guard.due(PATIENCE)), (0, None));
}

#[test]
fn what_is_in_the_answer_takes_effect_at_once() {
    let (mut guard, start) = (guard(20), Instant::now());
    let mut features: Vec<_> = vec![feature("flag-000", false), feature("new", true)];
    features.extend(names(1..4).iter().map(|name| feature(name, true)));
    let answer = json!({ "features": features, "meta": { "revisionId": 7 } });
    let answer =
        SourceSet::parse(SourceKind::Unleash, answer.to_string().as_bytes()).expect("an answer");
    guard.full(answer, start, PATIENCE);
    let set = guard.in_force();
    assert!(set.contains("new") && set.contains("flag-019") && set.len() == 21);
    assert_eq!(set.revision(), Some(7));
    let text = set.to_json();
    assert!(text.contains(r#""enabled":false"#), "{text}");
    // The segment that the kept flags refer to is kept with them.
    assert!(text.contains(r#""segments":[{"#), "{text}");
}

#[test]
fn an_empty_answer_takes_nothing_away_however_few_there_were() {
    let (mut guard, start) = (guard(1), Instant::now());
    guard.full(set(&[]), start, PATIENCE);
    assert_eq!((in_force(&guard), guard.held().len()), (1, 1));
    assert!(guard.accept() && !guard.accept());
    assert_eq!(in_force(&guard), 0);
    // A first answer may be empty.
    let mut new = RemovalGuard::new(Arc::new(set(&[])));
    new.full(set(&[]), start, PATIENCE);
    assert_eq!((in_force(&new), new.held().len()), (0, 0));
}

#[test]
fn few_of_many_are_removed_at_once() {
    let (mut guard, start) = (guard(20), Instant::now());
    guard.full(set(&names(0..10)), start, PATIENCE);
    assert_eq!((in_force(&guard), guard.held().len()), (10, 0));
}

#[test]
fn without_patience_nothing_is_held() {
    let mut guard = guard(20);
    guard.full(set(&[]), Instant::now(), Duration::ZERO);
    assert_eq!(in_force(&guard), 0);
}
