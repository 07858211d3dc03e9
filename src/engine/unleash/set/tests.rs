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
