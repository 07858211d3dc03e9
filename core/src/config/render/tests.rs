use super::{json, text};
use crate::config::diagnostic::{Diagnostic, Findings, Severity, Span};

fn diagnostic(severity: Severity, line: usize, column: usize, length: usize) -> Diagnostic {
    Diagnostic {
        severity,
        message: "unknown key `stabel`".to_owned(),
        span: Span {
            line,
            column,
            length,
        },
        path: "services.search.stabel".to_owned(),
        hint: Some("did you mean `stable`?".to_owned()),
    }
}

const SOURCE: &str = "services:\n  search:\n\tstabel: x\n";

#[test]
fn colour_is_only_for_those_who_ask() {
    let found = Findings::from(vec![diagnostic(Severity::Warning, 3, 2, 6)]);
    insta::assert_snapshot!(text("r.yaml", SOURCE, &found, true).escape_debug().to_string().replace("\\n", "\n"), @r"
    \u{1b}[1;33mwarning\u{1b}[0m\u{1b}[1m: unknown key `stabel`\u{1b}[0m
     \u{1b}[1;34m-->\u{1b}[0m r.yaml:3:2
      \u{1b}[1;34m|\u{1b}[0m
    \u{1b}[1;34m3\u{1b}[0m \u{1b}[1;34m|\u{1b}[0m  stabel: x
      \u{1b}[1;34m|\u{1b}[0m \u{1b}[1;33m ^^^^^^\u{1b}[0m
      \u{1b}[1;34m=\u{1b}[0m hint: did you mean `stable`?

    r.yaml: 1 warning
    ");
    assert!(!text("r.yaml", SOURCE, &found, false).contains('\u{1b}'));
}

#[test]
fn places_outside_the_source_are_harmless() {
    let found = Findings::from(vec![
        diagnostic(Severity::Error, 99, 1, 1),
        diagnostic(Severity::Error, 1, 50, 9),
        diagnostic(Severity::Error, 0, 0, 0),
    ]);
    insta::assert_snapshot!(text("r.yaml", SOURCE, &found, false), @r"
    error: unknown key `stabel`
      --> r.yaml:99:1
       = hint: did you mean `stable`?

    error: unknown key `stabel`
     --> r.yaml:1:50
      |
    1 | services:
      |          ^
      = hint: did you mean `stable`?

    error: unknown key `stabel`
     --> r.yaml:0:0
      = hint: did you mean `stable`?

    r.yaml: 3 errors
    ");
}

#[test]
fn programs_get_the_same_as_json() {
    let found = Findings::from(vec![
        diagnostic(Severity::Error, 3, 2, 6),
        diagnostic(Severity::Warning, 1, 1, 1),
    ]);
    insta::assert_snapshot!(format!("{:#}", json("r.yaml", &found)), @r#"
    {
      "errors": 1,
      "file": "r.yaml",
      "not_shown": 0,
      "problems": [
        {
          "column": 2,
          "hint": "did you mean `stable`?",
          "length": 6,
          "line": 3,
          "message": "unknown key `stabel`",
          "path": "services.search.stabel",
          "severity": "error"
        },
        {
          "column": 1,
          "hint": "did you mean `stable`?",
          "length": 1,
          "line": 1,
          "message": "unknown key `stabel`",
          "path": "services.search.stabel",
          "severity": "warning"
        }
      ],
      "warnings": 1
    }
    "#);
}
