//! Incremental compilation: what has not changed is the very same afterwards.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Compiled, ContextSchema, FeatureSet, Stage, ask, document, feature, find, set};

const FLAGS: usize = 1_000;

/// A thousand flags; the first is a parent, the second its child, and the third asks for segment 1.
fn features() -> Vec<Value> {
    let mut features: Vec<_> = (0..FLAGS)
        .map(|number| {
            let constraint =
                json!({ "contextName": "plan", "operator": "IN", "values": [number.to_string()] });
            let strategy = json!({ "name": "default", "constraints": [constraint] });
            feature(&format!("flag {number:04}"), json!([strategy]))
        })
        .collect();
    features[1]["dependencies"] = json!([{ "feature": "flag 0000" }]);
    features[2]["strategies"][0]["segments"] = json!([1]);
    features
}

fn set_of(features: &[Value], segment: &str) -> FeatureSet {
    let mut all = document(features);
    let constraint = json!({ "contextName": "region", "operator": "IN", "values": [segment] });
    all["segments"] = json!([{ "id": 1, "name": "beta", "constraints": [constraint] }]);
    set(&all)
}

/// The names of flags of `now` that are not the very ones of `before`.
fn renewed(before: &Compiled, now: &Compiled) -> Vec<String> {
    let flags = now.flags.iter();
    let renewed = flags.filter(|flag| {
        let earlier = find(before, &flag.name);
        earlier.is_none_or(|earlier| !Arc::ptr_eq(earlier, flag))
    });
    renewed.map(|flag| flag.name.to_string()).collect()
}

#[test]
fn the_same_again_is_all_shared() {
    let mut stage = Stage::new();
    let set = set_of(&features(), "eu");
    let first = stage.compile(&set, None);
    assert_eq!(first.flags.len(), FLAGS);
    assert!(first.flags.is_sorted_by(|a, b| a.name < b.name));
    let second = stage.compile(&set, Some(&first));
    assert_eq!(renewed(&first, &second), [""; 0]);
}

#[test]
fn one_changed_flag_is_compiled_alone() {
    let mut stage = Stage::new();
    let mut features = features();
    let before = set_of(&features, "eu");
    let first = stage.compile(&before, None);
    features[500]["enabled"] = false.into();
    let changed = set_of(&features, "eu").share(&before);
    let second = stage.compile(&changed, Some(&first));
    assert_eq!(renewed(&first, &second), ["flag 0500"]);
    assert!(!find(&second, "flag 0500").expect("a flag").enabled);

    features.remove(700);
    features.push(feature("flag 0700 again", json!([])));
    let third = stage.compile(&set_of(&features, "eu"), Some(&second));
    assert_eq!(renewed(&second, &third), ["flag 0700 again"]);
    assert!(find(&third, "flag 0700").is_none());
}

#[test]
fn a_parents_children_follow_it() {
    let mut stage = Stage::new();
    let mut features = features();
    let first = stage.compile(&set_of(&features, "eu"), None);
    features[0]["strategies"] = json!([]);
    let second = stage.compile(&set_of(&features, "eu"), Some(&first));
    assert_eq!(renewed(&first, &second), ["flag 0000", "flag 0001"]);
    let child = |compiled: &Compiled| {
        let context = stage.context(&[("plan", "1")]);
        ask(find(compiled, "flag 0001").expect("a flag"), &context).0
    };
    assert!(!child(&first) && child(&second));

    features.remove(0);
    let third = stage.compile(&set_of(&features, "eu"), Some(&second));
    assert_eq!(renewed(&second, &third), ["flag 0001"]);
    assert_eq!(third.warnings.len(), 1, "{:?}", third.warnings);
}

#[test]
fn a_segments_flags_follow_it() {
    let mut stage = Stage::new();
    let first = stage.compile(&set_of(&features(), "eu"), None);
    let second = stage.compile(&set_of(&features(), "us"), Some(&first));
    assert_eq!(renewed(&first, &second), ["flag 0002"]);
    let gone = stage.compile(&set(&document(&features())), Some(&second));
    assert_eq!(renewed(&second, &gone), ["flag 0002"]);
    let on = |compiled: &Compiled, region: &str| {
        let context = stage.context(&[("plan", "2"), ("region", region)]);
        ask(find(compiled, "flag 0002").expect("a flag"), &context).0
    };
    assert!(on(&first, "eu") && !on(&first, "us"));
    assert!(!on(&second, "eu") && on(&second, "us"));
    assert!(!on(&gone, "us"));
}

#[test]
fn other_context_compile_everything_anew() {
    let set = set_of(&features(), "eu");
    let changes: [fn(&mut Stage); 5] = [
        |stage| stage.app_name.push('x'),
        |stage| stage.environment = None,
        |stage| stage.policy.networks.clear(),
        |stage| stage.source = "another".into(),
        |stage| stage.vocabulary = ContextSchema::new(&["email".into(), "plan".into()]),
    ];
    for change in changes {
        let mut stage = Stage::new();
        let first = stage.compile(&set, None);
        change(&mut stage);
        let second = stage.compile(&set, Some(&first));
        assert_eq!(renewed(&first, &second).len(), FLAGS);
        let context = stage.context(&[("plan", "7")]);
        assert!(ask(&second.flags[7], &context).0);
    }
    // The same properties lead to the same slots.
    let mut stage = Stage::new();
    let first = stage.compile(&set, None);
    stage.vocabulary = ContextSchema::new(&["appVersion".into()]);
    assert_eq!(renewed(&first, &stage.compile(&set, Some(&first))), [""; 0]);
}

#[test]
fn warnings_stay_as_long_as_their_cause() {
    let mut stage = Stage::new();
    let mut features = features();
    features[3]["strategies"][0]["name"] = "ours".into();
    let first = stage.compile(&set_of(&features, "eu"), None);
    features[4]["enabled"] = false.into();
    let second = stage.compile(&set_of(&features, "eu"), Some(&first));
    assert_eq!(
        (first.warnings.len(), &first.warnings),
        (1, &second.warnings)
    );
    features[3]["strategies"][0]["name"] = "default".into();
    let third = stage.compile(&set_of(&features, "eu"), Some(&second));
    assert!(third.warnings.is_empty(), "{:?}", third.warnings);
}
