use std::fs;

use clap::Parser;
use serde_json::{Value, json};

use super::{Register, is_ready, update};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    register: Register,
}

fn parsed(further: &[&str]) -> Register {
    let args = ["register", "search", "search.ranker", "--url", "http://a:1"];
    let line = Line::try_parse_from(args.iter().chain(further));
    line.expect("arguments that clap takes").register
}

fn on_github(name: &str) -> Option<String> {
    let value = match name {
        "GITHUB_REF_NAME" => "feature/ranker",
        "GITHUB_SHA" => "4f1c2ab",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn only_what_is_said_is_sent() {
    let document = parsed(&[]).document(|_| None);
    assert_eq!(document, Ok(json!({ "url": "http://a:1" })));
}

#[test]
fn branch_and_commit_come_from_the_ci_system_unless_they_are_said() {
    let expected =
        |branch: &str| Ok(json!({ "url": "http://a:1", "branch": branch, "commit": "4f1c2ab" }));
    assert_eq!(parsed(&[]).document(on_github), expected("feature/ranker"));
    let said = parsed(&["--branch", "other"]);
    assert_eq!(said.document(on_github), expected("other"));
}

#[test]
fn everything_that_is_said_is_sent_as_the_api_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rings.json");
    fs::write(&file, r#"[{ "name": "team", "segment": "team" }]"#).expect("a file");
    let register = parsed(&[
        "--ttl",
        "30m",
        "--version",
        "2.1.0-rc1",
        "--owner",
        "search@example.com",
        "--description",
        "the new ranker",
        "--health",
        "/healthz",
        "--rings",
        file.to_str().expect("a path"),
    ]);
    let expected = json!({
        "url": "http://a:1", "ttl": "30m", "version": "2.1.0-rc1", "owner": "search@example.com",
        "description": "the new ranker", "health": { "path": "/healthz" },
        "rings": [{ "name": "team", "segment": "team" }],
    });
    assert_eq!(register.document(|_| None), Ok(expected));
}

#[test]
fn a_file_of_rings_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rings.json");
    let path = file.to_str().expect("a path");
    for (text, expected) in [
        ("{}", "rings are a list"),
        ("[", "EOF while parsing"),
        (r#"[{ "name": "a", "name": "b" }]"#, "name"),
    ] {
        fs::write(&file, text).expect("a file");
        let problem = parsed(&["--rings", path]).document(|_| None);
        let problem = problem.expect_err(text);
        assert!(problem.starts_with(path), "{problem}");
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_canary_that_moves_is_not_ready_where_it_moves_to() {
    assert!(is_ready(&json!({ "state": "ready" })));
    assert!(is_ready(&json!({ "state": "ready", "moving_to": null })));
    let moving: Value = json!({ "state": "ready", "moving_to": "http://b:1" });
    assert!(!is_ready(&moving));
    assert!(!is_ready(&json!({ "state": "checking" })));
}

#[test]
fn an_answer_is_brought_up_to_date_and_keeps_its_own_members() {
    let mut answer = json!({ "state": "checking", "generation": 41 });
    update(&mut answer, &json!({ "state": "ready", "history": [] }));
    assert_eq!(answer, json!({ "state": "ready", "generation": 41 }));
}
