//! `serin flag`, `serin segment` and `serin ring` do what the API does, and say it in words.

use std::fs;

use serde_json::{Value, json};

use super::Stage;
use crate::harness::{assert_has, run_serin};

/// What a command came to: its exit code, and what it said.
fn run(stage: &Stage, command: &[&str]) -> (Option<i32>, String) {
    let output = stage.gateway.ask(command);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a life is told in its order")]
async fn flags_rings_and_segments_are_changed_by_command() {
    let stage = Stage::start().await;
    let file = stage.state.path().join("ranker.json");
    fs::write(&file, stage.ranker("0%").to_string()).expect("a file");
    let file = file.display().to_string();
    let tried = run(
        &stage,
        &["flag", "put", "search.ranker", &file, "--dry-run"],
    );
    assert_eq!(tried.0, Some(0), "{tried:?}");
    assert!(
        tried
            .1
            .starts_with("the flag search.ranker would be changed; nothing is\n"),
        "{tried:?}"
    );
    assert_eq!(stage.served(&["ann"]).await, ["stable"]);
    let (code, said) = run(&stage, &["flag", "put", "search.ranker", &file]);
    let expected = format!(
        "the flag search.ranker is kept now; generation 2 is in force
  ring team of search.ranker: not there -> 100%
  ring all of search.ranker: not there -> 0%
  deployment search.ranker of search: not there -> {}
",
        stage.canary.url()
    );
    assert_eq!((code, said), (Some(0), expected));
    assert_eq!(stage.served(&["ann"]).await, ["canary"]);

    let (code, said) = run(&stage, &["ring", "off", "search.ranker", "team"]);
    let expected = "the flag search.ranker is changed; generation 3 is in force
  ring team of search.ranker: 100% -> off (100%)
";
    assert_eq!((code, said.as_str()), (Some(0), expected));
    assert_eq!(stage.served(&["ann", "eve"]).await, ["stable", "stable"]);
    let set = run(
        &stage,
        &["ring", "set", "search.ranker", "all", "100%", "--json"],
    );
    let answer: Value = serde_json::from_str(&set.1).expect("JSON");
    assert_has(&answer, &json!({ "changed": true, "kept_by": "serin" }));
    assert_eq!(stage.served(&["eve"]).await, ["canary"]);
    let (_, listed) = run(&stage, &["flag", "list"]);
    let expected = "search.git (routes.yaml)
  nobody: 0%
search.ranker (serin)
  team: off (100%)
  all: 100%
";
    assert_eq!(listed, expected);
    let on = run(&stage, &["ring", "on", "search.ranker", "team"]);
    assert_eq!(on.0, Some(0), "{on:?}");
    let (_, shown) = run(&stage, &["flag", "show", "search.ranker"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["rings"][0]["enabled"], true);

    let segment = stage.state.path().join("new.json");
    fs::write(&segment, r#"{ "plan": "new" }"#).expect("a file");
    let put = run(
        &stage,
        &[
            "segment",
            "put",
            "New plans/ü",
            &segment.display().to_string(),
        ],
    );
    assert_eq!(put.0, Some(0), "{put:?}");
    let (_, listed) = run(&stage, &["segment", "list"]);
    assert!(
        listed.contains("New plans/ü (serin): ") && listed.contains("Team (routes.yaml): "),
        "{listed}"
    );
    assert_eq!(
        run(&stage, &["segment", "delete", "New plans/ü"]).0,
        Some(0)
    );
    let gone = run(&stage, &["flag", "delete", "search.ranker"]);
    assert_eq!(gone.0, Some(0), "{gone:?}");
    assert_eq!(stage.served(&["eve"]).await, ["stable"]);
}

#[tokio::test]
async fn what_is_refused_is_said_with_every_field() {
    let stage = Stage::start().await;
    let file = stage.state.path().join("flag.json");
    let put = |text: &str| {
        fs::write(&file, text).expect("a file");
        run(
            &stage,
            &["flag", "put", "search.ranker", &file.display().to_string()],
        )
    };
    let (code, said) = put(r#"{ "ulr": "x", "rings": [{ "segment": "Taem" }] }"#);
    assert_eq!(code, Some(1));
    for expected in [
        "ulr: unknown key `ulr`",
        "rings[0].segment: there is no segment `Taem`",
        "did you mean `Team`?",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let (code, said) = put(r#"{ "url": "http://127.0.0.1:1", "url": "http://127.0.0.1:2" }"#);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("`url` stands there twice at line 1"),
        "{said}"
    );
    assert_eq!(put("").0, Some(1));
    let missing = run(
        &stage,
        &["flag", "put", "search.ranker", "/nowhere/flag.json"],
    );
    assert_eq!(missing.0, Some(1), "{missing:?}");
    let (code, said) = run(&stage, &["ring", "off", "search.git", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("which git owns"), "{said}");
    assert_eq!(run(&stage, &["ring", "off", "search.git"]).0, Some(2));
    assert_eq!(
        run_serin(["flag", "list", "--admin", "http://127.0.0.1:1"])
            .status
            .code(),
        Some(75)
    );
}
