use serde::Serialize;
use serde_json::{Value, json};

use super::read;
use crate::state::held::Loaded;
use crate::state::kind::Kind;
use crate::state::rendered::Rendered;
use crate::state::table::{Expected, Notes, Records, Table, Write};

/// The keys of what could be read, and which services are doubted ("*": all).
fn summary(loaded: &Loaded) -> (Vec<&str>, Vec<&str>) {
    let keys = loaded.table.records.keys().map(String::as_str);
    let damage = loaded.damage.iter();
    let damage = damage.map(|damage| damage.service.as_deref().unwrap_or("*"));
    (keys.collect(), damage.collect())
}

fn table() -> Table {
    let mut table = Table::default();
    for (key, value) in [
        ("search/search.a", json!({ "ttl": "30m", "n": 7 })),
        ("search/search.b", json!({ "url": "http://b:80" })),
        ("shop/ü\"\\", json!([1.1, null, "x"])),
    ] {
        table.records.insert(key.to_owned(), value);
    }
    table.notes.insert("drills".to_owned(), json!([{}]));
    table
}

fn write(table: &Table) -> Vec<u8> {
    super::write(table, &mut Rendered::default()).expect("it is written")
}

#[derive(Serialize)]
struct Document<'a> {
    version: u64,
    records: &'a Records,
    #[serde(flatten)]
    notes: &'a Notes,
}

#[test]
fn the_text_is_that_of_the_whole_document_whatever_of_it_was_rendered_before() {
    let whole = |table: &Table, text: &[u8]| {
        let document = Document {
            version: 2,
            records: &table.records,
            notes: &table.notes,
        };
        let document = serde_json::to_string_pretty(&document).expect("text");
        let text = String::from_utf8(text.to_vec()).expect("text");
        let (sum, members) = text.split_once(",\n").expect("a checksum");
        assert!(sum.starts_with("{\n  \"sha256\": \""), "{sum}");
        assert_eq!(format!("{{\n{}", members.trim_end()), document);
    };
    let (mut table, mut rendered) = (table(), Rendered::default());
    let write =
        |table: &Table, rendered: &mut _| super::write(table, rendered).expect("it is written");
    for _ in 0..2 {
        whole(&table, &write(&table, &mut rendered));
    }
    let change = vec![Write::Put {
        key: "search/search.a".to_owned(),
        value: json!({ "lines": ["one\ntwo", {}], "empty": [] }),
        expected: Expected::Any,
    }];
    rendered.forget(&change);
    table.carry_out(change);
    whole(&table, &write(&table, &mut rendered));
    table.records.clear();
    whole(&table, &write(&table, &mut rendered));
    table.notes.clear();
    whole(&table, &write(&table, &mut rendered));
}

#[test]
fn what_is_written_is_read_with_what_a_later_version_adds() {
    for table in [Table::default(), table()] {
        let text = write(&table);
        for kind in Kind::ALL {
            let loaded = read(kind, &text);
            assert_eq!((&loaded.table, &*loaded.damage), (&table, &[][..]));
        }
        // Editors add white space at the end.
        let loaded = read(Kind::Flags, &[&text, &b"\n \n"[..]].concat());
        assert_eq!((loaded.table, loaded.damage), (table, vec![]));
    }
}

#[test]
fn a_text_that_is_cut_off_anywhere_is_damaged_and_keeps_what_it_still_has() {
    let (table, text) = (table(), write(&table()));
    // Without the last line's end it is whole.
    for cut in 0..text.len() - 1 {
        let loaded = read(Kind::Registrations, &text[..cut]);
        assert_eq!(loaded.damage.len(), 1, "{cut}");
        for (key, value) in &loaded.table.records {
            assert_eq!(table.records.get(key), Some(value), "{cut}");
        }
    }
    let nearly = read(Kind::Registrations, &text[..text.len() - 40]);
    assert!(nearly.table.records.contains_key("search/search.b"));
}

#[test]
fn a_bit_that_flips_changes_nothing_unnoticed() {
    let (table, text) = (table(), write(&table()));
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.clone();
            flipped[at] ^= 1 << bit;
            let loaded = read(Kind::Segments, &flipped);
            // In the name of the checksum's member: then there is none, and one note more.
            let is_whole = loaded.damage.is_empty();
            assert!(
                !is_whole || loaded.table.records == table.records,
                "{at}/{bit}: {:?}",
                String::from_utf8_lossy(&flipped)
            );
        }
    }
}

#[test]
fn who_edits_the_file_takes_out_the_checksum() {
    let text = String::from_utf8(write(&table())).expect("text");
    let edited = text.replace("http://b:80", "http://b:81");
    let loaded = read(Kind::Registrations, edited.as_bytes());
    assert_eq!(summary(&loaded).1, ["*"]);
    assert!(loaded.damage[0].why.contains("take out its line `sha256`"));
    let url = |loaded: &Loaded| loaded.table.records["search/search.b"]["url"].clone();
    assert_eq!(url(&loaded), "http://b:81", "what is well-formed holds");
    let (_, rest) = edited.split_once(",\n").expect("lines");
    let loaded = read(Kind::Registrations, format!("{{{rest}").as_bytes());
    assert_eq!(
        (url(&loaded), summary(&loaded).1.len()),
        (json!("http://b:81"), 0)
    );
    // Elsewhere, or of another kind, it is no checksum.
    for sum in [json!("ab"), json!(7), Value::Null] {
        let text = format!(r#"{{"version":2,"records":{{"a/b":{{}}}},"sha256":{sum}}}"#);
        let loaded = read(Kind::Flags, text.as_bytes());
        assert_eq!(summary(&loaded), (vec!["a/b"], vec!["*"]), "{text}");
    }
}

#[test]
fn another_version_and_what_is_no_document_are_damage() {
    for (text, keys) in [
        (r#"{"version":3,"records":{"a/b":{}}}"#, 1),
        (r#"{"version":"2","records":{"a/b":{}}}"#, 1),
        (r#"{"records":{"a/b":{}}}"#, 1),
        (r#"{"version":2,"records":{"a/b":{},"a/b":7}}"#, 1),
        (r#"{"version":2,"records":{"a/b":{}}} and more"#, 1),
        ("{\"version\":2,\"records\":{\"a/b\":{},\u{0}\u{0}", 1),
        (r#"{"version":2,"records":[]}"#, 0),
        (r#"{"version":2}"#, 0),
        ("", 0),
        ("[]", 0),
        ("flags", 0),
        ("{}", 0),
        ("\u{0}\u{0}\u{0}\u{0}", 0),
    ] {
        let loaded = read(Kind::Flags, text.as_bytes());
        assert_eq!(loaded.table.records.len(), keys, "{text}");
        assert!(!loaded.damage.is_empty(), "{text}");
    }
}

const GOOD: &str = r#"{"service":"s","flag":"s.a","at_unix_ms":7,"by":"ann","ticket":{"id":3}}"#;

#[test]
fn the_first_form_of_kills_is_read_with_what_a_later_version_added() {
    let text = format!(
        r#"{{"version":1,"kills":[{GOOD}],"unknown":[{{"service":"x","why":"y"}}],"drills":[]}}"#
    );
    let loaded = read(Kind::Kills, text.as_bytes());
    assert_eq!(summary(&loaded), (vec!["s/s.a"], vec![]));
    let kill: Value = serde_json::from_str(GOOD).expect("JSON");
    assert_eq!(loaded.table.records["s/s.a"], kill);
    let notes: Vec<&String> = loaded.table.notes.keys().collect();
    assert_eq!(notes, ["drills", "unknown"]);
    // No other kind has had it.
    assert_eq!(summary(&read(Kind::Flags, text.as_bytes())).1, ["*"]);
}

#[test]
fn what_is_well_formed_of_the_first_form_holds_whatever_stands_beside_it() {
    for (kills, doubts) in [
        // Not an entry, or one that may be about any canary.
        (format!("{GOOD}, 7"), vec!["*"]),
        (format!("null, {GOOD}"), vec!["*"]),
        (format!(r#"{{"flag":"x.a"}}, {GOOD}"#), vec!["*"]),
        (
            format!(r#"{{"service":3,"flag":"x.a"}}, {GOOD}"#),
            vec!["*"],
        ),
        // One of a service.
        (format!(r#"{{"service":"x"}}, {GOOD}"#), vec!["x"]),
        (
            format!(r#"{GOOD}, {{"service":"x","flag":["x.a"]}}"#),
            vec!["x"],
        ),
    ] {
        let text = format!(r#"{{"version":1,"kills":[{kills}]}}"#);
        let loaded = read(Kind::Kills, text.as_bytes());
        assert_eq!(summary(&loaded), (vec!["s/s.a"], doubts), "{text}");
    }
    for text in [
        format!(r#"{{"version":1,"kills":[{GOOD},{{"serv"#),
        format!(r#"{{"version":1,"kills":[{GOOD}]"#),
        format!(r#"{{"kills":[{GOOD}]}}"#),
        format!(r#"{{"version":7,"kills":[{GOOD}]}}"#),
    ] {
        let (keys, damage) = (vec!["s/s.a"], read(Kind::Kills, text.as_bytes()));
        assert_eq!(summary(&damage).0, keys, "{text}");
        assert!(summary(&damage).1.contains(&"*"), "{text}");
    }
    for text in [r#"{"version":1}"#, r#"{"version":1,"kills":{}}"#] {
        assert_eq!(
            summary(&read(Kind::Kills, text.as_bytes())),
            (vec![], vec!["*"])
        );
    }
}
