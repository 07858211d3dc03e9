//! Which strategy a ring is, and what is done about it.

use serde_json::{Value, json};

use super::{Step, is_unguarded, plan};
use crate::source::unleash::admin_flag::AdminEnvironment;
use crate::source::unleash::rings::{RingChange, SwitchError};

/// Strategies by title, kind, whether they are enabled, and rollout; their IDs are numbers.
fn environment(strategies: &[(&str, &str, bool, &str)]) -> AdminEnvironment {
    let strategies: Vec<Value> = (1..)
        .zip(strategies)
        .map(|(id, (title, kind, enabled, rollout))| {
            json!({
                "id": id.to_string(), "name": kind, "title": title, "disabled": !enabled,
                "parameters": { "rollout": rollout },
            })
        })
        .collect();
    let all = json!({ "name": "production", "enabled": true, "strategies": strategies });
    serde_json::from_value(all).unwrap()
}

const GRADUAL: &str = "flexibleRollout";

fn turn(on: bool) -> RingChange {
    RingChange {
        enabled: Some(on),
        rollout: None,
    }
}

fn rollout(to: &str) -> RingChange {
    RingChange {
        enabled: None,
        rollout: Some(to.to_owned()),
    }
}

fn disabled(id: &str, value: bool) -> Step {
    patch(
        id,
        json!({ "op": "add", "path": "/disabled", "value": value }),
    )
}

fn patch(id: &str, patch: Value) -> Step {
    Step::Patch {
        strategy: id.into(),
        patch,
    }
}

#[test]
fn a_ring_is_turned_off_without_the_others() {
    let two = environment(&[("team", "default", true, ""), ("beta", GRADUAL, true, "5")]);
    let off = plan(&two, "f", "beta", &turn(false)).unwrap();
    assert_eq!(off, [disabled("2", true)]);
    assert_eq!(plan(&two, "f", "team", &turn(true)).unwrap(), []);
}

#[test]
fn the_last_ring_is_guarded_before_it_goes_off() {
    let last = environment(&[("team", GRADUAL, false, "1"), ("beta", GRADUAL, true, "5")]);
    let off = plan(&last, "f", "beta", &turn(false)).unwrap();
    assert_eq!(off, [Step::AddGuard, disabled("2", true)]);
    let both = RingChange {
        enabled: Some(false),
        rollout: Some("7%".to_owned()),
    };
    let off = plan(&last, "f", "beta", &both).unwrap();
    assert_eq!(off.len(), 3);
    assert_eq!(off[0], Step::AddGuard);
    let guarded = environment(&[("beta", GRADUAL, true, "5"), ("Nobody", GRADUAL, true, "0")]);
    let off = plan(&guarded, "f", "beta", &turn(false)).unwrap();
    assert_eq!(off, [disabled("1", true)]);
    assert!(!is_unguarded(&guarded) && !is_unguarded(&environment(&[])));
    assert!(is_unguarded(&environment(&[("a", GRADUAL, false, "5")])));
}

#[test]
fn a_rollout_is_a_text_of_whole_percents_of_a_gradual_strategy() {
    let rings = environment(&[("team", "default", true, ""), ("beta", GRADUAL, true, "5")]);
    for (text, percent) in [
        ("10%", "10"),
        ("0%", "0"),
        ("100", "100"),
        ("7.0%", "7"),
        (" 3 % ", "3"),
    ] {
        let change = json!({ "op": "add", "path": "/parameters/rollout", "value": percent });
        let steps = plan(&rings, "f", "beta", &rollout(text)).unwrap();
        assert_eq!(steps, [patch("2", change)], "{text}");
    }
    assert_eq!(plan(&rings, "f", "beta", &rollout("5%")).unwrap(), []);
    for text in ["0.5%", "101%", "-1%", "many", "", "%"] {
        let refused = plan(&rings, "f", "beta", &rollout(text));
        assert!(
            matches!(refused, Err(SwitchError::Refused(_))),
            "{text}: {refused:?}"
        );
    }
    let refused = plan(&rings, "f", "team", &rollout("5%"));
    assert!(
        matches!(&refused, Err(SwitchError::Refused(why)) if why.contains("`default`")),
        "{refused:?}"
    );
}

#[test]
fn rings_are_found_by_title_else_by_number_and_never_by_guess() {
    let found = |rings: &AdminEnvironment, ring: &str, on: bool| {
        let steps = plan(rings, "f", ring, &turn(on))?;
        let last = steps.last().cloned();
        Ok::<_, SwitchError>(last)
    };
    let untitled = environment(&[
        ("", "default", true, ""),
        ("", GRADUAL, false, "5"),
        ("", GRADUAL, true, "9"),
        ("", GRADUAL, true, "9"),
    ]);
    for ring in ["1", "default 1"] {
        assert_eq!(found(&untitled, ring, false), Ok(Some(disabled("1", true))));
    }
    // The second of all is disabled, so nothing but turning it on can be meant by that.
    assert_eq!(found(&untitled, "2", true), Ok(Some(disabled("2", false))));
    for ring in ["2", "flexibleRollout 2", "3"] {
        let refused = found(&untitled, ring, false);
        assert!(
            matches!(refused, Err(SwitchError::Ambiguous(_))),
            "{ring}: {refused:?}"
        );
    }
    // Clients are told of three, so they have no fourth.
    assert_eq!(found(&untitled, "4", false), Ok(Some(disabled("4", true))));
    for ring in ["5", "0", "beta", "", "default 3", "userWithId 1"] {
        let missing = found(&untitled, ring, false);
        assert!(
            matches!(missing, Err(SwitchError::NoRing(_))),
            "{ring}: {missing:?}"
        );
    }
    let twins = environment(&[
        ("a", GRADUAL, true, "5"),
        (" a ", GRADUAL, true, "5"),
        ("2", GRADUAL, true, "5"),
    ]);
    let refused = found(&twins, "a", false);
    assert!(
        matches!(&refused, Err(SwitchError::Ambiguous(why)) if why.starts_with("2 strategies")),
        "{refused:?}"
    );
    assert_eq!(found(&twins, "2", false), Ok(Some(disabled("3", true))));
    let Err(SwitchError::NoRing(missing)) = found(&twins, "b", true) else {
        panic!("it was found");
    };
    assert!(
        missing.ends_with("its strategies are `a`, `a`, `2`"),
        "{missing}"
    );
}
