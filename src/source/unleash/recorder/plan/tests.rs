//! What is done about a flag, by what is there.

use serde_json::{Value, json};

use super::{Step, to_record, to_withdraw};
use crate::config::unleash::{OnDeregister, UnleashPlace};
use crate::source::unleash::admin_api::Found;
use crate::source::unleash::recorder::record::CanaryRecord;

const LINE: &str = "Recorded by Serin: service search, branch feature/ranker, owner team@example.com, URL http://new";

fn canary() -> CanaryRecord {
    CanaryRecord {
        flag: "search.r2".into(),
        service: "search".into(),
        url: "http://new".into(),
        branch: Some("feature/ranker".into()),
        commit: None,
        version: Some(" ".into()),
        owner: Some("team@\nexample.com".replace('\n', "").into()),
        description: None,
    }
}

fn place(on_deregister: OnDeregister) -> UnleashPlace {
    UnleashPlace {
        project: "default".into(),
        environment: "production".into(),
        on_deregister,
    }
}

fn here(is_tagged: bool, flag: Value) -> Found {
    let flag = serde_json::from_value(flag).unwrap();
    let flag = Box::new(flag);
    Found::Here { flag, is_tagged }
}

/// A flag of Serin's with these strategies.
fn own(enabled: bool, strategies: &Value) -> Value {
    json!({
        "name": "search.r2", "project": "default", "stale": false, "description": LINE,
        "environments": [
            { "name": "development", "enabled": true, "strategies": [] },
            { "name": "production", "enabled": enabled, "strategies": strategies },
        ],
    })
}

fn strategy(id: &str, rollout: &str, variants: &Value) -> Value {
    json!({
        "id": id, "name": "flexibleRollout", "disabled": false, "variants": variants,
        "parameters": { "rollout": rollout },
    })
}

fn variant(name: &str, kind: &str, value: &str) -> Value {
    json!({ "name": name, "payload": { "type": kind, "value": value } })
}

fn record(found: &Found) -> Result<Vec<Step>, String> {
    to_record(&canary(), found, &place(OnDeregister::Archive))
}

fn patch(id: &str, patch: Value) -> Step {
    Step::Patch {
        strategy: id.into(),
        patch,
    }
}

#[test]
fn a_new_flag_is_made_closed_and_is_guarded_before_it_has_a_disabled_strategy() {
    let steps = record(&Found::Nothing).unwrap();
    assert_eq!(steps, [Step::Create(LINE.to_owned()), Step::Tag]);
    let steps = record(&here(true, own(false, &json!([])))).unwrap();
    assert_eq!(steps, [Step::AddGuard, Step::AddCanary]);
    // The process ended between the two.
    let guarded = own(false, &json!([strategy("g", "0", &json!([]))]));
    assert_eq!(record(&here(true, guarded)).unwrap(), [Step::AddCanary]);
    // It ended before there was a tag.
    let steps = record(&here(false, own(false, &json!([])))).unwrap();
    assert_eq!(steps, [Step::Tag, Step::AddGuard, Step::AddCanary]);
}

#[test]
fn what_is_recorded_is_not_written_again() {
    let url = json!([variant("canary", "json", r#"{"url":"http://new"}"#)]);
    for rollout in ["0", "5", "100"] {
        let flag = own(true, &json!([strategy("c", rollout, &url)]));
        assert_eq!(record(&here(true, flag)).unwrap(), [], "{rollout}");
    }
}

#[test]
fn what_people_made_of_it_stays_and_the_url_follows_everywhere() {
    let variants = json!([
        variant("b", "json", r#"{"url":"http://b"}"#),
        variant(
            "canary",
            "json",
            r#"{"service":"search","url":"http://old"}"#
        ),
    ]);
    let text = json!([variant("canary", "string", "http://old")]);
    let made = json!([variant("canary", "csv", "a,b")]);
    let mut flag = own(
        true,
        &json!([
            strategy("beta", "5", &variants),
            strategy("team", "100", &text),
            strategy("odd", "100", &made),
            strategy("bare", "50", &json!([{ "name": "canary" }])),
        ]),
    );
    flag["description"] =
        json!("Do not touch before Monday.\nRecorded by Serin: URL http://old\nAsk Ada.");
    let mut steps = record(&here(true, flag)).unwrap();
    let described = format!("Do not touch before Monday.\n{LINE}\nAsk Ada.");
    assert_eq!(steps.remove(0), Step::Describe(described));
    let payload = |index: usize, kind: &str, value: &str| {
        let path = format!("/variants/{index}/payload");
        json!({ "op": "add", "path": path, "value": { "type": kind, "value": value } })
    };
    let json = r#"{"service":"search","url":"http://new"}"#;
    let expected = [
        patch("beta", payload(1, "json", json)),
        patch("team", payload(0, "string", "http://new")),
        patch("bare", payload(0, "json", r#"{"url":"http://new"}"#)),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_flag_that_is_on_for_everybody_by_itself_gets_no_strategies() {
    assert_eq!(record(&here(true, own(true, &json!([])))).unwrap(), []);
}

#[test]
fn what_serin_did_not_make_stays_as_it_is() {
    let mut foreign = own(false, &json!([]));
    foreign["description"] = Value::Null;
    let foreign = here(false, foreign);
    let archived = |description: &str, is_tagged| Found::Archived {
        project: "default".into(),
        description: description.into(),
        is_tagged,
    };
    for (found, words) in [
        (foreign.clone(), "was made there, not by Serin"),
        (Found::Elsewhere("shop".into()), "in project `shop`"),
        (archived("theirs", false), "Serin did not make"),
        (
            Found::Archived {
                project: "shop".into(),
                description: LINE.into(),
                is_tagged: true,
            },
            "in the archive of project `shop`",
        ),
    ] {
        let error = record(&found).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert_eq!(to_withdraw(&found, &place(OnDeregister::Archive)), []);
        assert_eq!(to_withdraw(&found, &place(OnDeregister::Stale)), []);
    }
    for found in [archived("", true), archived(LINE, false)] {
        assert_eq!(record(&found).unwrap(), [Step::Revive]);
    }
}

#[test]
fn an_environment_that_the_project_lacks_is_named() {
    let mut flag = own(false, &json!([]));
    flag["environments"] = json!([]);
    let error = record(&here(true, flag)).unwrap_err();
    assert!(error.contains("no environment `production`"), "{error}");
}

#[test]
fn a_canary_that_leaves_takes_its_url_with_it() {
    let variants = json!([
        variant("b", "json", r#"{"url":"http://b"}"#),
        variant("canary", "json", r#"{"url":"http://old"}"#),
    ]);
    let more = json!([variant(
        "canary",
        "json",
        r#"{"color":"red","url":"http://old"}"#
    )]);
    let plain = json!([variant("canary", "string", "blue")]);
    let strategies = json!([
        strategy("beta", "5", &variants),
        strategy("team", "100", &more),
        strategy("odd", "100", &plain),
    ]);
    let flag = here(true, own(true, &strategies));
    assert_eq!(
        to_withdraw(&flag, &place(OnDeregister::Archive)),
        [Step::Archive]
    );
    let left = json!({ "type": "json", "value": r#"{"color":"red"}"# });
    let mut expected = vec![
        patch(
            "beta",
            json!({ "op": "remove", "path": "/variants/1/payload" }),
        ),
        patch(
            "team",
            json!({ "op": "add", "path": "/variants/0/payload", "value": left }),
        ),
    ];
    assert_eq!(to_withdraw(&flag, &place(OnDeregister::Keep)), expected);
    expected.push(Step::MarkStale(true));
    assert_eq!(to_withdraw(&flag, &place(OnDeregister::Stale)), expected);

    let mut stale = own(false, &json!([strategy("g", "0", &plain)]));
    stale["stale"] = true.into();
    let stale = here(true, stale);
    assert_eq!(to_withdraw(&stale, &place(OnDeregister::Stale)), []);
    let back = to_record(&canary(), &stale, &place(OnDeregister::Stale)).unwrap();
    assert_eq!(back, [Step::MarkStale(false)]);
    // With another setting it is people who marked it.
    assert_eq!(record(&stale).unwrap(), []);
    assert_eq!(
        to_withdraw(&Found::Nothing, &place(OnDeregister::Archive)),
        []
    );
}
