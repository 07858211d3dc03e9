use serde_json::json;

use super::{Message, Names, Stored, told};
use crate::state::kind::Kind;
use crate::state::shared::change::{Change, Condition};

#[test]
fn all_keys_of_a_prefix_are_in_one_slot_of_a_cluster() {
    let names = Names::new("eu:");
    let all = [
        names.records(Kind::Kills),
        names.revision(Kind::Kills),
        names.channel(),
    ];
    assert_eq!(
        all,
        [
            "eu:{s}:v1:kills",
            "eu:{s}:v1:kills:revision",
            "eu:{s}:v1:changes"
        ]
    );
}

#[test]
fn what_stands_in_redis_is_read_or_left_alone() {
    for (text, expected) in [
        ("7 {\"a\":1}", Stored::Record(7, json!({ "a": 1 }))),
        ("7 null", Stored::Record(7, json!(null))),
        ("7", Stored::Removal(7)),
        ("", Stored::Unreadable),
        ("7 ", Stored::Unreadable),
        ("7 {\"a\":1", Stored::Unreadable),
        ("x {}", Stored::Unreadable),
        ("-7", Stored::Unreadable),
        ("7 {} {}", Stored::Unreadable),
    ] {
        assert_eq!(Stored::read(text), expected, "{text}");
    }
}

#[test]
fn what_is_told_is_what_is_heard() {
    let changes = [
        Change {
            key: "a/b".to_owned(),
            record: Some(json!({ "text": "one\ntwo" })),
            expected: Condition::Any,
        },
        Change {
            key: "c".to_owned(),
            record: None,
            expected: Condition::Absent,
        },
    ];
    let message = Message::read(&format!("kills 3 4\n{}", told(&changes))).unwrap();
    assert_eq!(
        (message.kind, message.after, message.revision),
        (Kind::Kills, 3, 4)
    );
    let heard = changes.map(|change| (change.key, change.record));
    assert_eq!(message.changes, heard);
    assert_eq!(Message::read("flags 0 1\n").unwrap().changes, []);
    for odd in [
        "",
        "kills 1 2",
        "others 1 2\n",
        "kills 1\n",
        "kills 1 x\n",
        "kills 1 2\n{}",
    ] {
        assert_eq!(Message::read(odd), None, "{odd}");
    }
}
