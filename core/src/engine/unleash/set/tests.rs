use std::sync::Arc;

use super::FeatureSet;

const ANSWER: &str = r#"{"version":2,"features":[
  {"name":"b","enabled":true,"strategies":[{"name":"default","segments":[2]}]},
  {"name":"a \u00e4","enabled":false}
],"query":{"environment":"development"},"segments":[{"id":2,"name":"beta","constraints":[]}],
"meta":{"revisionId":23,"etag":"\"1fc12c72:23:v1\""}}"#;

fn parse(text: &str) -> FeatureSet {
    FeatureSet::parse(text.as_bytes()).expect("a document")
}

fn names(set: &FeatureSet) -> Vec<&str> {
    set.names().map(|name| &**name).collect()
}

#[test]
fn an_answer_is_read_flag_by_flag() {
    let set = parse(ANSWER);
    assert_eq!(names(&set), ["a ä", "b"]);
    assert_eq!((set.len(), set.revision()), (2, Some(23)));
    assert!(set.contains("a ä") && !set.contains("a") && !set.is_empty());
    assert!(FeatureSet::default().is_empty());
}

#[test]
fn what_is_written_is_read_again() {
    let set = parse(ANSWER);
    assert_eq!(parse(&set.to_json()), set);
    let empty = FeatureSet::default();
    assert_eq!(parse(&empty.to_json()), empty);
}

#[test]
fn order_and_revision_are_not_content() {
    let set = parse(ANSWER);
    let (head, features) = (r#"{"features":["#, ANSWER);
    assert!(features.starts_with(r#"{"version""#));
    let b = r#"{"name":"b","enabled":true,"strategies":[{"name":"default","segments":[2]}]}"#;
    let a = r#"{"name":"a \u00e4","enabled":false}"#;
    let segments = r#"],"segments":[{"id":2,"name":"beta","constraints":[]}]}"#;
    let turned = parse(&format!("{head}{a},{b}{segments}"));
    assert_eq!(turned.revision(), None);
    assert_eq!(turned.digest(), set.digest());
    for other in [
        format!("{head}{a}{segments}"),
        format!("{head}{a},{b}]}}"),
        format!("{head}{a},{}{segments}", b.replace("true", "false")),
    ] {
        assert_ne!(parse(&other).digest(), set.digest(), "{other}");
    }
}

#[test]
fn equal_texts_are_shared() {
    let first = parse(ANSWER);
    let changed = ANSWER.replace(r#""enabled":false"#, r#""enabled":true"#);
    let second = parse(&changed).share(&first);
    assert_eq!(second, parse(&changed));
    let shared = |name: &str| {
        let (one, other) = (first.features.get(name), second.features.get(name));
        one.zip(other).map(|(one, other)| Arc::ptr_eq(one, other))
    };
    assert_eq!((shared("b"), shared("a ä")), (Some(true), Some(false)));
    assert!(Arc::ptr_eq(&first.segments[&2], &second.segments[&2]));
}

#[test]
fn events_are_applied_in_order() {
    let set = parse(ANSWER);
    let delta = r#"{"events":[
      {"type":"feature-updated","eventId":24,"feature":{"name":"c","enabled":true}},
      {"type":"feature-updated","eventId":25,"feature":{"name":"b","enabled":false}},
      {"type":"feature-removed","eventId":26,"featureName":"a ä","project":"default"},
      {"type":"segment-updated","eventId":27,"segment":{"id":3,"constraints":[]}},
      {"type":"segment-removed","eventId":28,"segmentId":2},
      {"type":"licence-renewed","eventId":29}]}"#;
    let next = set.apply(delta.as_bytes()).expect("a delta");
    assert_eq!(names(&next), ["b", "c"]);
    assert_eq!(&*next.features["b"], r#"{"name":"b","enabled":false}"#);
    assert_eq!(next.segments.keys().collect::<Vec<_>>(), [&3]);
    assert_eq!(next.revision(), Some(29));
    let anew =
        r#"{"events":[{"type":"hydration","eventId":40,"features":[{"name":"x"}],"segments":[]}]}"#;
    let anew = next.apply(anew.as_bytes()).expect("a delta");
    assert_eq!((names(&anew), anew.revision()), (vec!["x"], Some(40)));
    assert!(anew.segments.is_empty());
}

#[test]
fn what_is_no_answer_is_refused() {
    for text in [
        "",
        "<html>502</html>",
        "{}",
        "[]",
        "null",
        r#"{"features":null}"#,
        r#"{"features":[1]}"#,
        r#"{"features":[{"enabled":true}, null]}"#,
        r#"{"features":[{"name":7}]}"#,
        &ANSWER[..ANSWER.len() - 1],
    ] {
        assert!(FeatureSet::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(FeatureSet::parse(b"\xff\xfe").is_err());
    for text in [
        "{}",
        r#"{"events":[{"type":"feature-updated","eventId":1}]}"#,
        r#"{"events":[{"type":"segment-removed"}]}"#,
        r#"{"events":[{"eventId":1}]}"#,
    ] {
        assert!(
            FeatureSet::default().apply(text.as_bytes()).is_err(),
            "{text}"
        );
    }
}

const NAMELESS: [&str; 7] = [
    "null",
    "1",
    "\"a\"",
    "[]",
    r#"{"enabled":true}"#,
    r#"{"name":null}"#,
    r#"{"name":"","enabled":true}"#,
];

#[test]
fn what_has_no_name_is_left_out_and_told_and_the_others_are_taken() {
    let plain = parse(ANSWER);
    for nameless in NAMELESS {
        let text = ANSWER.replacen('[', &format!("[{nameless},"), 1);
        let set = parse(&text);
        assert_eq!(names(&set), ["a ä", "b"], "{nameless}");
        let told: Vec<_> = set.left_out().collect();
        assert_eq!(
            told,
            [format!(
                "a flag in the answer has no name and is left out: {nameless}"
            )]
        );
        assert_eq!(parse(&set.to_json()), set);
        // Whoever looks at the status is to see it, so it is another content.
        assert_ne!(set.digest(), plain.digest());
        // An event that has no flag at all ends the stream, and the server is asked.
        if nameless == "null" {
            continue;
        }
        let event = format!(
            r#"{{"events":[{{"type":"feature-updated","eventId":24,"feature":{nameless}}},
              {{"type":"feature-updated","eventId":25,"feature":{{"name":"c"}}}}]}}"#
        );
        let next = plain.apply(event.as_bytes()).expect("a delta");
        assert_eq!(names(&next), ["a ä", "b", "c"], "{nameless}");
        assert_eq!(next.left_out().count(), 1);
    }
    assert_eq!(plain.left_out().count(), 0);
    let segment = ANSWER.replace(r#""segments":[{"#, r#""segments":[{"name":"no number"},{"#);
    let told: Vec<_> = parse(&segment).left_out().collect();
    assert_eq!(
        told,
        [r#"a segment in the answer has no number and is left out: {"name":"no number"}"#]
    );
}

#[test]
fn a_revision_that_is_none_does_not_spoil_the_answer() {
    for meta in [r#"{"revisionId":"x"}"#, "7", "null"] {
        let set = parse(&format!(r#"{{"features":[{{"name":"a"}}],"meta":{meta}}}"#));
        assert_eq!((names(&set), set.revision()), (vec!["a"], None), "{meta}");
    }
}

#[test]
fn a_kept_flag_keeps_its_segments() {
    let earlier = parse(ANSWER);
    let mut now = parse(r#"{"features":[{"name":"new","enabled":true}],"segments":[]}"#);
    now.keep("b", &earlier);
    now.keep("never there", &earlier);
    assert_eq!(names(&now), ["b", "new"]);
    assert_eq!(now.segments, earlier.segments);
    let replaced = r#"{"id":2,"name":"beta","constraints":[{}]}"#;
    let mut now = parse(&format!(r#"{{"features":[],"segments":[{replaced}]}}"#));
    now.keep("b", &earlier);
    assert_eq!(&*now.segments[&2], replaced);
}
