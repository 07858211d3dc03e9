//! Where two JSON documents differ, whatever the order of their members.

use serde_json::{Number, Value};

use crate::mirror::{MemberPath, Step};

/// What stands in for the name of a member that looks like no name: it may be what a body is about.
const SOME_MEMBER: &str = "[…]";
/// How long a name may be.
const MOST_NAME: usize = 40;

/// Takes a member out of a document, wherever it is there. Of a list the items keep their places.
pub(super) fn leave_out(document: &mut Value, path: &MemberPath) {
    take_out(document, path.steps());
}

fn take_out(value: &mut Value, steps: &[Step]) {
    let Some((step, rest)) = steps.split_first() else {
        *value = Value::Null;
        return;
    };
    match (step, value) {
        (Step::Member(name), Value::Object(members)) if rest.is_empty() => {
            members.remove(&**name);
        }
        (Step::Member(name), Value::Object(members)) => {
            if let Some(member) = members.get_mut(&**name) {
                take_out(member, rest);
            }
        }
        (Step::Item(place), Value::Array(items)) => {
            if let Some(item) = items.get_mut(*place) {
                take_out(item, rest);
            }
        }
        (Step::EveryItem, Value::Array(items)) => {
            items.iter_mut().for_each(|item| take_out(item, rest));
        }
        _ => {}
    }
}

/// The way to the first place where two documents differ; `None`: they say the same. It has names of members and no values.
pub(super) fn first_difference(one: &Value, other: &Value) -> Option<String> {
    let mut way = "$".to_owned();
    differs(one, other, &mut way).then_some(way)
}

fn differs(one: &Value, other: &Value, way: &mut String) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one
                .keys()
                .chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let step = shown(name);
                let differ = match (one.get(name), other.get(name)) {
                    (Some(one), Some(other)) => within(&step, one, other, way),
                    _ => {
                        way.push_str(&step);
                        true
                    }
                };
                if differ {
                    return true;
                }
            }
            false
        }
        (Value::Array(one), Value::Array(other)) => {
            let pairs = one.iter().zip(other).enumerate();
            for (place, (one, other)) in pairs {
                if within(&format!("[{place}]"), one, other, way) {
                    return true;
                }
            }
            one.len() != other.len()
        }
        (Value::Number(one), Value::Number(other)) => one != other && !is_same_float(one, other),
        _ => one != other,
    }
}

/// Whether two numbers have the same value, one of which may be written as a whole number and the other not, as `1` and `1.0`.
fn is_same_float(one: &Number, other: &Number) -> bool {
    (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
}

/// Whether two values differ that a step leads to; then the way has it.
fn within(step: &str, one: &Value, other: &Value, way: &mut String) -> bool {
    let length = way.len();
    way.push_str(step);
    let differ = differs(one, other, way);
    if !differ {
        way.truncate(length);
    }
    differ
}

/// A member's name as a step. What is no identifier may be a user's address, or another thing that no log is to have.
fn shown(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-');
    let is_identifier = !name.is_empty() && name.len() <= MOST_NAME && name.bytes().all(is_plain);
    match is_identifier {
        true => format!(".{name}"),
        false => SOME_MEMBER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{first_difference, leave_out};

    fn found(one: &Value, other: &Value) -> Option<String> {
        let found = first_difference(one, other);
        assert_eq!(found.is_some(), first_difference(other, one).is_some());
        found
    }

    #[test]
    fn the_order_of_members_and_blanks_say_nothing() {
        let read = |text| serde_json::from_str::<Value>(text).expect("JSON");
        let one = read(r#"{"a":1,"b":[{"c":null,"d":"x"}]}"#);
        let other = read("{ \"b\": [ { \"d\": \"x\", \"c\": null } ],\n \"a\": 1 }");
        assert_eq!(found(&one, &other), None);
    }

    #[test]
    fn the_way_to_a_difference_is_told_and_no_value() {
        let base = json!({ "items": [{ "price": 1 }, { "price": 2 }], "total": 3 });
        let cases = [
            (
                json!({ "items": [{ "price": 1 }, { "price": 9 }], "total": 3 }),
                "$.items[1].price",
            ),
            (json!({ "items": [{ "price": 1 }], "total": 3 }), "$.items"),
            (
                json!({ "items": [{ "price": 1 }, { "price": 2 }] }),
                "$.total",
            ),
            (
                json!({ "items": [{ "price": 1 }, { "price": "2" }], "total": 3 }),
                "$.items[1].price",
            ),
            (json!([]), "$"),
        ];
        for (other, way) in cases {
            assert_eq!(found(&base, &other).as_deref(), Some(way));
        }
        assert_eq!(
            found(&json!({ "a": null }), &json!({})).as_deref(),
            Some("$.a")
        );
    }

    #[test]
    fn numbers_are_compared_by_their_values() {
        let read = |text| serde_json::from_str::<Value>(text).expect("JSON");
        for (one, other, same) in [
            ("1", "1.0", true),
            ("100", "1e2", true),
            ("-0.50", "-0.5", true),
            ("1", "1.5", false),
            ("9007199254740993", "9007199254740992", false),
        ] {
            let found = found(&read(one), &read(other));
            assert_eq!(found.is_none(), same, "{one} {other}");
        }
    }

    #[test]
    fn a_name_that_may_be_somebodys_is_not_told() {
        let one = json!({ "ann@example.com": { "plan": 1 } });
        let other = json!({ "ann@example.com": { "plan": 2 } });
        assert_eq!(found(&one, &other).as_deref(), Some("$[…].plan"));
        let (one, other) = (json!({ "4711": 1 }), json!({ "4711": 2 }));
        assert_eq!(found(&one, &other).as_deref(), Some("$[…]"));
    }

    #[test]
    fn what_is_left_out_may_be_anywhere_or_nowhere() {
        let left = |path: &str, mut document: Value| {
            leave_out(&mut document, &path.parse().expect("a path"));
            document
        };
        let document = json!({ "at": 1, "items": [{ "id": 1, "n": 2 }, { "id": 3 }, 4] });
        let cases = [
            (
                "$.at",
                json!({ "items": [{ "id": 1, "n": 2 }, { "id": 3 }, 4] }),
            ),
            (
                "$.items[*].id",
                json!({ "at": 1, "items": [{ "n": 2 }, {}, 4] }),
            ),
            (
                "$.items[0]",
                json!({ "at": 1, "items": [null, { "id": 3 }, 4] }),
            ),
            (
                "$.items[*]",
                json!({ "at": 1, "items": [null, null, null] }),
            ),
            ("$.at.id", document.clone()),
            ("$[0]", document.clone()),
            ("$.other.id", document.clone()),
        ];
        for (path, expected) in cases {
            assert_eq!(left(path, document.clone()), expected, "{path}");
        }
    }
}
