//! YAML itself: what cannot be read, and what could be read in two ways.

use super::{check, check_with, config, with};

#[test]
fn syntax_errors_have_a_place() {
    insta::assert_snapshot!(check("services:\n  a: [http://127.0.0.1\nroutes: []\n"), @r"
    error: this is not YAML: illegal placement of ':' indicator
     --> routes.yaml:3:7
      |
    3 | routes: []
      |       ^
      = hint: the `[` in line 2 may lack its `]`

    routes.yaml: 1 error
    ");
    insta::assert_snapshot!(check("services:\n  a: \"http://127.0.0.1\nroutes: []\n"), @r#"
    error: this is not YAML: unclosed quote
     --> routes.yaml:2:6
      |
    2 |   a: "http://127.0.0.1
      |      ^
      = hint: the quote that begins here has no end

    routes.yaml: 1 error
    "#);
    insta::assert_snapshot!(check("services:\n  a: http://127.0.0.1\n b: x\n"), @r"
    error: this is not YAML: while parsing a block mapping, did not find expected key
     --> routes.yaml:3:2
      |
    3 |  b: x
      |  ^
      = hint: a key is followed by `:` and a space, and keys of one map begin in one column

    routes.yaml: 1 error
    ");
    insta::assert_snapshot!(check("services:\n\ta: http://127.0.0.1\n"), @r"
    error: this is not YAML: tabs disallowed within this context (block indentation)
     --> routes.yaml:2:2
      |
    2 |  a: http://127.0.0.1
      |  ^
      = hint: YAML is indented with spaces

    routes.yaml: 1 error
    ");
    insta::assert_snapshot!(check("services: *nothing\n"), @r#"
    error: this is not YAML: while parsing node, found unknown anchor
     --> routes.yaml:1:11
      |
    1 | services: *nothing
      |           ^
      = hint: a text that begins with `*` stands in quotes: "*nothing"

    routes.yaml: 1 error
    "#);
}

#[test]
fn empty_files_are_told_what_is_needed() {
    insta::assert_snapshot!(check(""), @r"
    error: the file is empty
     --> routes.yaml:1:1
      = hint: `services` and `routes` are needed

    routes.yaml: 1 error
    ");
    for text in ["\n\n", "# nothing\n", "---\n", "\u{feff}", "null\n", "~"] {
        assert!(check(text).contains("the file is empty"), "{text:?}");
    }
}

#[test]
fn a_file_is_a_map() {
    insta::assert_snapshot!(check("- a\n- b\n"), @r"
    error: expected a map, found a list
     --> routes.yaml:1:1
      |
    1 | - a
      | ^

    routes.yaml: 1 error
    ");
    insta::assert_snapshot!(check("services"), @r"
    error: expected a map, found a single value
     --> routes.yaml:1:1
      |
    1 | services
      | ^^^^^^^^

    routes.yaml: 1 error
    ");
}

#[test]
fn keys_stand_once() {
    insta::assert_snapshot!(check("services:\n  a: http://127.0.0.1\n  a: http://127.0.0.2\nroutes: [{ service: a, service: b }]\n"), @r"
    error: the key `a` stands here a second time
     --> routes.yaml:3:3
      |
    3 |   a: http://127.0.0.2
      |   ^
      = hint: the first one is in line 2

    error: the key `service` stands here a second time
     --> routes.yaml:4:24
      |
    4 | routes: [{ service: a, service: b }]
      |                        ^^^^^^^
      = hint: the first one is in line 4

    routes.yaml: 2 errors
    ");
}

#[test]
fn a_file_is_one_document() {
    insta::assert_snapshot!(check("services: { a: http://a }\nroutes: [{ service: a }]\n---\nservices: {}\n"), @r"
    error: a second document begins here
     --> routes.yaml:3:1
      |
    3 | ---
      | ^^^
      = hint: one file is one document: remove the `---`

    routes.yaml: 1 error
    ");
}

#[test]
fn keys_are_texts_and_tags_mean_nothing() {
    insta::assert_snapshot!(check_with("? [a, b]\n: c\nadmin: !secret x\n"), @r"
    error: a key is a text, not a list
     --> routes.yaml:3:3
      |
    3 | ? [a, b]
      |   ^^^^^^

    error: the tag `!secret` means nothing here
     --> routes.yaml:5:8
      |
    5 | admin: !secret x
      |        ^^^^^^^
      = hint: remove it

    error: `x` is not an address to listen on
     --> routes.yaml:5:16
      |
    5 | admin: !secret x
      |                ^
      = hint: an IP address and a port, as in 127.0.0.1:8080 or [::]:8080

    routes.yaml: 3 errors
    ");
}

#[test]
fn aliases_cannot_grow_a_file_without_bound() {
    let mut text = String::from("x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        text += &format!("x-{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
    }
    let said = check(&text);
    assert!(
        said.contains("the file's aliases stand for more than 100000 values"),
        "{said}"
    );
}

#[test]
fn nesting_has_a_limit() {
    let deep = format!("a: {}{}", "[".repeat(80), "]".repeat(80));
    assert!(check(&deep).contains("maps and lists nest deeper than 64 levels"));
    let mut chained = String::from("x-0: &a0 [x]\n");
    for level in 1..80 {
        chained += &format!("x-{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(check(&chained).contains("maps and lists nest deeper than 64 levels"));
    assert!(check("a: &a [*a]").contains("routes.yaml:1:8"));
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_move_places() {
    let text = "services: { a: http://127.0.0.1 }\r\nroutes:\r\n  - { servise: a }\r\n";
    insta::assert_snapshot!(check(&format!("\u{feff}{text}")), @r"
    error: this route leads nowhere
     --> routes.yaml:3:5
      |
    3 |   - { servise: a }
      |     ^^^^^^^^^^^^^^
      = hint: give it a `service`, a `redirect` or a `respond`

    error: unknown key `servise`
     --> routes.yaml:3:7
      |
    3 |   - { servise: a }
      |       ^^^^^^^
      = hint: did you mean `service`?

    routes.yaml: 2 errors
    ");
}

#[test]
fn columns_count_characters() {
    insta::assert_snapshot!(check_with("segments: { Grüße: { userId: [ä] }, Ö: { usrId: x } }"), @r"
    error: there is no field `usrId`
     --> routes.yaml:3:42
      |
    3 | segments: { Grüße: { userId: [ä] }, Ö: { usrId: x } }
      |                                          ^^^^^
      = hint: did you mean `userId`?

    routes.yaml: 1 error
    ");
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let ids = vec!["user-0123"; 40].join(", ");
    insta::assert_snapshot!(check_with(&format!("segments: {{ s: {{ userId: [{ids}], usrId: x, email: [{ids}] }} }}")), @r"
    error: there is no field `usrId`
     --> routes.yaml:3:468
      |
    3 | …0123, user-0123, user-0123, user-0123], usrId: x, email: [user-0123, user-0123, user-0123, user-0123, user-012…
      |                                          ^^^^^
      = hint: did you mean `userId`?

    error: there is no field `email`
     --> routes.yaml:3:478
      |
    3 | …-0123, user-0123, user-0123], usrId: x, email: [user-0123, user-0123, user-0123, user-0123, user-0123, user-01…
      |                                          ^^^^^
      = hint: flags may look at `userId`, `sessionId`, `remoteAddress`, `now`; more under `identity.properties`

    routes.yaml: 2 errors
    ");
}

#[test]
fn control_characters_of_the_file_never_reach_a_terminal() {
    let said = check_with("admin: \"\\e[31mred\" # \u{7f}\n\"\\ex\\a\": 1\n");
    assert!(
        !said.contains('\u{1b}') && !said.contains('\u{7}'),
        "{said:?}"
    );
}

#[test]
fn texts_are_read_as_they_stand() {
    let config = config(&with(
        "segments: { s: { userId: [007, 10.1, NO, 2027-01-31, true, 0x1F, null, 1e3] } }",
    ));
    let shown = format!("{:?}", config.segments[0].condition);
    for text in [
        "\"007\"",
        "\"10.1\"",
        "\"NO\"",
        "\"2027-01-31\"",
        "\"true\"",
        "\"0x1F\"",
        "\"null\"",
        "\"1e3\"",
    ] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
}
