//! `serin audit verify`.

use std::fs;

use super::{ONCALL, carried_out, kept, kill};
use crate::harness::{Gateway, Origin, run_serin};

fn verify(args: &[&str]) -> (Option<i32>, String) {
    let output = run_serin([&["audit", "verify"], args].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

#[tokio::test]
async fn what_was_changed_or_removed_is_named_by_file_and_line() {
    let stable = Origin::start("stable").await;
    let (folder, config) = kept(&stable);
    let mut gateway = Gateway::start(config).await;
    for name in ["search.a", "search.b", "search.c"] {
        carried_out(&gateway, ONCALL, kill(name)).await;
    }
    assert!(gateway.terminate().await.success());
    let whole = fs::read_to_string(folder.path().join("audit.ndjson")).expect("a file");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let hash = |line: &str| {
        let from = line.rfind("\"hash\":\"").expect("a hash") + 8;
        line[from..from + 64].to_owned()
    };
    let (first, last) = (hash(lines[0]), hash(lines[3]));
    let file = folder.path().join("copy.ndjson");
    let path = file.to_str().expect("a path");
    let of = |text: &str, more: &[&str]| {
        fs::write(&file, text).expect("a file");
        verify(&[&[path], more].concat())
    };
    let well = (Some(0), format!("4 entries, the last hash is {last}\n"));
    assert_eq!(of(&whole, &[]), well);
    let state = folder.path().to_str().expect("a path");
    assert_eq!(verify(&["--state-dir", state, "--expect", &first]), well);

    let (code, said) = of(&whole.replace("search.b", "search.x"), &[]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(&format!("{path}:3: this entry was changed")),
        "{said}"
    );
    let (code, said) = of(&whole.replace(lines[1], ""), &[]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(&format!("{path}:2: 1 entries are missing")),
        "{said}"
    );
    // That the end is missing shows only to those who know what was there.
    let cut = whole.replace(lines[3], "");
    assert_eq!(of(&cut, &[]).0, Some(0));
    let (code, said) = of(&cut, &["--expect", &last]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains(&format!("no entry has the hash {last}")),
        "{said}"
    );
    let (code, said) = of(whole.trim_end(), &[]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(&format!("{path}:4: this entry is not complete")),
        "{said}"
    );

    let nothing = folder.path().join("nothing");
    let nothing = nothing.to_str().expect("a path");
    assert_eq!(verify(&[nothing]).0, Some(1));
    assert_eq!(verify(&["--state-dir", nothing]).0, Some(1));
    assert_eq!(verify(&[]).0, Some(2));
}
