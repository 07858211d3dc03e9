use super::{read, write};
use crate::registry::book::{Book, Kill};

/// Who is killed, which services are doubted ("*": all), and whether the file must be kept.
fn summary(book: &Book) -> (Vec<&str>, Vec<&str>, bool) {
    let kills = book.kills().map(|((_, flag), _)| &**flag);
    let doubts = book.doubts().iter();
    let doubts = doubts.map(|doubt| doubt.service.as_deref().unwrap_or("*"));
    (kills.collect(), doubts.collect(), book.is_damaged)
}

const GOOD: &str = r#"{"service":"s","flag":"s.a","at_unix_ms":7,"by":"ann"}"#;

#[test]
fn a_good_file_is_read_and_written_as_it_was_with_what_a_later_version_adds() {
    let text = r#"{
  "version": 1,
  "kills": [
    {
      "service": "s",
      "flag": "s.a",
      "at_unix_ms": 7,
      "by": "ann",
      "reason": "slow",
      "ticket": {
        "id": 3
      }
    }
  ],
  "drills": []
}"#;
    let book = read(text.as_bytes());
    assert_eq!(summary(&book), (vec!["s.a"], vec![], false));
    let (_, kill) = book.kills().next().expect("a kill");
    assert_eq!(
        (&*kill.by, kill.reason.as_deref(), kill.at.unix_ms),
        ("ann", Some("slow"), 7)
    );
    let written = write(&book).expect("it is written");
    assert_eq!(String::from_utf8(written).expect("text"), text);
}

#[test]
fn what_is_well_formed_holds_whatever_stands_beside_it() {
    let all = vec!["*"];
    for (kills, doubts) in [
        // Not an entry, or one that may be about any canary.
        (format!("{GOOD}, 7"), all.clone()),
        (format!("null, {GOOD}"), all.clone()),
        (format!(r#"{{"flag":"x.a"}}, {GOOD}"#), all.clone()),
        (
            format!(r#"{{"service":3,"flag":"x.a"}}, {GOOD}"#),
            all.clone(),
        ),
        // One of a service.
        (format!(r#"{{"service":"x"}}, {GOOD}"#), vec!["x"]),
        (
            format!(r#"{GOOD}, {{"service":"x","flag":["x.a"]}}"#),
            vec!["x"],
        ),
    ] {
        let text = format!(r#"{{"version":1,"kills":[{kills}]}}"#);
        let book = read(text.as_bytes());
        assert_eq!(summary(&book), (vec!["s.a"], doubts, true), "{text}");
    }
    // When and by whom is no reason to lift a kill.
    let text = r#"{"version":1,"kills":[{"service":"s","flag":"s.a","at_unix_ms":"x","by":1}]}"#;
    assert_eq!(
        summary(&read(text.as_bytes())),
        (vec!["s.a"], vec![], false)
    );
}

#[test]
fn another_version_and_what_is_no_document_leave_everything_else_unknown() {
    for text in [
        format!(r#"{{"version":2,"kills":[{GOOD}]}}"#),
        format!(r#"{{"kills":[{GOOD}],"version":"1"}}"#),
        format!(r#"{{"kills":[{GOOD}]}}"#),
        // Cut off wherever it may be.
        format!(r#"{{"version":1,"kills":[{GOOD},{{"serv"#),
        format!(r#"{{"version":1,"kills":[{GOOD}"#),
        format!(r#"{{"version":1,"kills":[{GOOD}]"#),
        format!(r#"{{"version":1,"kills":[{GOOD}]}} and more"#),
        format!("{{\"version\":1,\"kills\":[{GOOD},\u{0}\u{0}"),
    ] {
        let book = read(text.as_bytes());
        assert_eq!(summary(&book), (vec!["s.a"], vec!["*"], true), "{text}");
    }
    for text in [
        "",
        "[]",
        "kills",
        "{}",
        r#"{"version":1}"#,
        r#"{"version":1,"kills":{}}"#,
    ] {
        let book = read(text.as_bytes());
        let (kills, doubts, is_damaged) = summary(&book);
        assert!(kills.is_empty() && is_damaged, "{text}");
        assert!(
            !doubts.is_empty() && doubts.iter().all(|doubt| *doubt == "*"),
            "{text}"
        );
    }
}

#[test]
fn doubts_outlive_a_rewriting() {
    let text = format!(r#"{{"version":1,"kills":[{GOOD},{{"service":"x"}}]}}"#);
    let mut book = read(text.as_bytes());
    assert!(book.restore("x", "x.good"));
    book.kill(
        "y",
        "y.a",
        Kill::new(crate::context::Moment { unix_ms: 8 }, "bob".into(), None),
    );
    let again = read(&write(&book).expect("it is written"));
    assert_eq!(summary(&again), (vec!["s.a", "y.a"], vec!["x"], false));
    book.note_written();
    assert_eq!(again, book);
    let unreadable = r#"{"version":1,"kills":[],"unknown":7}"#;
    assert_eq!(
        summary(&read(unreadable.as_bytes())),
        (vec![], vec!["*"], true)
    );
}
