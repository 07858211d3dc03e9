use std::fs;

use super::file::OrderFile;
use crate::snapshot::seniority::Seniority;

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = OrderFile::new(&folder.path().join("new"));
    assert_eq!(file.read(), Ok(None));
    let record = Seniority::new([(
        "search".into(),
        vec!["search.b".into(), "search.a — ä".into()],
    )]);
    file.write(&record).expect("written");
    assert_eq!(file.read(), Ok(Some(record)));
}

#[test]
fn what_cannot_be_read_is_set_aside_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = OrderFile::new(folder.path());
    let path = folder.path().join("canary-order.json");
    for text in ["", "{", "[]", r#"{"version":2,"services":[]}"#] {
        fs::write(&path, text).expect("written");
        let trouble = file.read().expect_err("unreadable");
        assert!(
            trouble.contains("ranked by name") && trouble.contains("set aside"),
            "{trouble}"
        );
        let aside = folder.path().join("canary-order.json.damaged");
        assert_eq!(fs::read_to_string(aside).expect("set aside"), text);
        assert_eq!(file.read(), Ok(None));
    }
}
