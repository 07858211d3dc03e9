use serde_json::Value;

use super::FlagRendering;
use crate::client_api::evaluation::FlagEvaluation;
use crate::engine::{
    Bucketing, CanaryUrl, Flag, Payload, Stickiness, Variant, VariantIndex, VariantRef, Variants,
};

/// The toggle of a flag whose only variant carries this.
fn told(kind: &str, value: &str, url: Option<CanaryUrl>) -> (Value, Value) {
    told_of(kind, value, url, None)
}

fn told_of(
    kind: &str,
    value: &str,
    url: Option<CanaryUrl>,
    nearly: Option<&str>,
) -> (Value, Value) {
    let variant = Variant {
        name: "v".into(),
        weight: 1,
        url,
        service: None,
        payload: Some(Payload {
            kind: kind.into(),
            value: value.into(),
        }),
        nearly: nearly.map(Into::into),
    };
    let flag = Flag {
        variants: Variants::new(
            vec![variant],
            Bucketing::unleash("group"),
            Stickiness::Default,
        ),
        ..Flag::new("flag")
    };
    let rendering = FlagRendering::of(&flag);
    let answer = rendering.answer(&FlagEvaluation {
        on: true,
        variant: Some(VariantRef::Flag(VariantIndex::new(0))),
        randomised: false,
        missing_id: false,
    });
    let toggle: Value = serde_json::from_str(&answer.toggle).expect("JSON");
    let evaluation = format!("{{{}}}", answer.evaluation);
    let evaluation: Value = serde_json::from_str(&evaluation).expect("JSON");
    (
        toggle["variant"]["payload"]["value"].clone(),
        evaluation["value"].clone(),
    )
}

#[test]
fn payloads_are_shown_without_upstreams() {
    let refused = || Some(CanaryUrl::Refused("no".into()));
    let both = |value: &str| (Value::from(value), Value::from(value));
    assert_eq!(told("string", "hello", None), both("hello"));
    assert_eq!(told("csv", "a,b", None), both("a,b"));
    assert_eq!(
        told("number", "7", None),
        (Value::from("7"), Value::from(7))
    );
    assert_eq!(
        told("string", "http://10.0.0.1", refused()),
        (Value::Null, Value::from(true))
    );
    let (shown, value) = told(
        "json",
        r#"{"url":"http://10.0.0.1","service":"s","a":1}"#,
        refused(),
    );
    assert_eq!(shown, r#"{"a":1}"#);
    assert_eq!(value, serde_json::json!({ "a": 1 }));
    let alone = told("json", r#"{"url":"http://10.0.0.1"}"#, refused());
    assert_eq!(alone, (Value::Null, Value::from(true)));
    let misnamed = r#"{"URL":"http://10.0.0.1"}"#;
    let misnamed = told_of("json", misnamed, None, Some("it is called `url`"));
    assert_eq!(misnamed, (Value::Null, Value::from(true)));
    let broken = told("json", r#"{"url":"http://10.0.0.1"#, None);
    assert_eq!(broken, (Value::Null, Value::from(true)));
}

#[test]
fn a_flag_that_is_off_tells_its_off_variation_where_the_protocol_has_a_word_for_it() {
    let variant = |name: &str, value: &str| Variant {
        name: name.into(),
        weight: 1,
        url: None,
        service: None,
        payload: Some(Payload {
            kind: "string".into(),
            value: value.into(),
        }),
        nearly: None,
    };
    let flag = Flag {
        off_variant: Some(Box::new(variant("old", "blue"))),
        ..Flag::new("flag")
    };
    let rendering = FlagRendering::of(&flag);
    let answer = rendering.answer(&FlagEvaluation {
        on: false,
        variant: Some(VariantRef::Off),
        randomised: false,
        missing_id: false,
    });
    assert_eq!(
        &*answer.evaluation,
        r#""key":"flag","value":"blue","variant":"old""#
    );
    let toggle: Value = serde_json::from_str(&answer.toggle).expect("JSON");
    assert_eq!(
        (&toggle["enabled"], &toggle["variant"]["name"]),
        (&false.into(), &"disabled".into())
    );
    assert_eq!(toggle["variant"]["payload"], Value::Null);
}
