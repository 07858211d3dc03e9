//! What is odd only beside something else, and what copied text brings with it.

use super::{Given, NOW, check, config};
use crate::config::{OnUnset, compile, render};

/// The first line of each thing that is said.
fn said(text: &str) -> Vec<String> {
    let shown = check(text);
    let heads = shown
        .lines()
        .filter(|line| line.starts_with("warning: ") || line.starts_with("error: "));
    heads.map(ToOwned::to_owned).collect()
}

#[test]
fn a_service_without_a_route_is_told() {
    let text = "services: { a: http://a, b: http://b }\nroutes: [{ service: a }]\n";
    assert_eq!(said(text), ["warning: no route leads to `b`"]);
}

#[test]
fn a_canary_at_stables_own_url_is_told() {
    let text = "
services: { a: http://127.0.0.1:1 }
flags:
  a.x: { url: 'http://127.0.0.1:1/', rings: [{ when: { userId: u1 } }] }
  a.y:
    variants: [{ name: control, weight: 50% }, { name: new, weight: 50%, url: 'http://127.0.0.1:1' }]
    rings: [{ when: { userId: u2 } }]
routes: [{ service: a }]
";
    let own = "warning: this is the stable deployment's own URL";
    assert_eq!(said(text), [own, own]);
}

#[test]
fn a_rollout_that_no_id_decides_is_told() {
    let text = "
services: { a: http://127.0.0.1:1 }
flags:
  a.x: { url: 'http://127.0.0.1:2', rings: [{ rollout: 5% }] }
  a.y: { url: 'http://127.0.0.1:3', stickiness: sessionId, rings: [{ rollout: 5% }] }
  a.z: { url: 'http://127.0.0.1:4', stickiness: team, rings: [{ rollout: 5% }] }
  a.zz: { url: 'http://127.0.0.1:4', rings: [{ rollout: 100% }] }
identity: { IDENTITY, properties: { team: { header: x-team } } }
routes: [{ service: a }]
";
    let undecided = "warning: no request has an ID that could decide this: everybody is on stable";
    let with = |identity: &str| said(&text.replace("IDENTITY", identity));
    assert_eq!(with("anonymous: stable"), [undecided, undecided]);
    assert_eq!(
        with("user_id: [{ header: x-user, trust: anyone }]"),
        [undecided]
    );
    assert_eq!(with("anonymous: sticky"), [""; 0]);
}

#[test]
fn two_flags_over_one_audience_are_told() {
    let text = "
services: { a: { stable: 'http://127.0.0.1:1', canaries: [a.last, 'a.*'] } }
segments: { team: { userId: [u1] } }
flags:
  a.b: { url: 'http://127.0.0.1:2', rings: [{ segment: team }, { when: { userId: [u3] }, rollout: 5% }] }
  a.c: { url: 'http://127.0.0.1:3', rings: [{ segment: team, rollout: 50% }, { when: { userId: [u3] } }] }
  a.d: { url: 'http://127.0.0.1:4', enabled: false, rings: [{ rollout: 100% }] }
  a.last: { url: 'http://127.0.0.1:5', rings: [{ segment: team }] }
identity: { user_id: [{ header: x-user, trust: anyone }] }
routes: [{ service: a }]
";
    let gets_nobody = |flag: &str, first: &str| {
        format!(
            "warning: `{flag}` gets nobody by this ring: `{first}` comes first and takes them all"
        )
    };
    assert_eq!(
        said(text),
        [gets_nobody("a.b", "a.last"), gets_nobody("a.c", "a.last")]
    );
    let all = text
        .replace("enabled: false, ", "")
        .replace("a.last: {", "a.last: { enabled: false,");
    assert_eq!(
        said(&all),
        [gets_nobody("a.c", "a.b")],
        "those that come before it lose nobody"
    );
    let ring_off = text.replace(
        "[{ segment: team }] }",
        "[{ segment: team, enabled: false }] }",
    );
    assert_eq!(
        said(&ring_off),
        [gets_nobody("a.c", "a.b")],
        "a ring that is switched off takes nobody from the others"
    );
}

#[test]
fn a_method_that_looks_like_a_slip_is_told() {
    let methods = |list: &str| {
        said(&format!(
            "services: {{ a: http://a }}\nroutes: [{{ service: a, methods: [{list}] }}]\n"
        ))
    };
    assert_eq!(
        methods("PSOT"),
        ["warning: `PSOT` is no method that is known"]
    );
    assert_eq!(methods("GTE, DELET").len(), 2);
    assert_eq!(methods("PURGE, PROPFIND, FROBNICATE, GET"), [""; 0]);
}

#[test]
fn quotes_and_blanks_of_word_processors_are_told() {
    let text = "
services: { a: http://a }
routes:
  - { service: a, hosts: [a.example], headers: { x-a: “v2” } }
  - { service: a, headers: { x-b: one\u{a0}two, x-c: \"one\u{a0}two\", x-d: it’s } }
  - { service: a, query: { q\u{200b}: x } }
";
    assert_eq!(
        said(text),
        [
            "warning: these quotes are a part of the text",
            "warning: there is a no-break space in this text",
            "warning: there is an invisible character in this text",
        ]
    );
}

#[test]
fn errors_come_first_and_silence_what_they_may_have_made_untrue() {
    let text = "
services:
  a: { stable: http://127.0.0.1:1, canarys: ['x.*'] }
  b: http://b
flags:
  x.y: { ulr: 'http://127.0.0.1:2', expires: 2020-01-01, rings: [{ rollout: 5% }] }
identity: { user_id: [{ header: x-user-id }] }
routes: [{ service: a }]
";
    assert_eq!(
        said(text),
        [
            "error: unknown key `canarys`",
            "error: unknown key `ulr`",
            "warning: this flag has expired",
            "warning: any client can say who it is here",
        ]
    );
}

#[test]
fn of_many_problems_a_hundred_are_told() {
    let keys: String = (0..5000).map(|number| format!("k{number}: x\n")).collect();
    let found = compile(&keys, &Given::default(), OnUnset::StandIn, NOW).expect_err("refused");
    let shown = render::text("routes.yaml", &keys, &found, false);
    assert_eq!(shown.matches("error: ").count(), 100);
    assert!(shown.ends_with("routes.yaml: 5002 errors; 4902 of them are not shown\n"));
    assert!(shown.len() < 40_000);
}

#[test]
fn a_variable_within_another_is_an_error() {
    let text =
        "services: { a: http://a }\nroutes: [{ service: a, headers: { x: '${A:-${B:-c}}' } }]\n";
    let inner = "error: `${` stands within another, or the one before it has no `}`";
    assert_eq!(said(text), [inner]);
    assert_eq!(
        said(&text.replace("${A:-${B:-c}}", "${A:-x ${B:-c}")),
        [inner]
    );
    config(&text.replace("${A:-${B:-c}}", "${A:-b}${B:-c}"));
}

#[test]
fn errors_of_yaml_itself_have_hints() {
    for (value, hint) in [
        (
            "hosts: [*.example.com]",
            "a text that begins with `*` stands in quotes: \"*.example.com\"",
        ),
        (
            "path: @x",
            "a text that begins with `@` stands in quotes: \"@x\"",
        ),
        (
            "path: `x`",
            "a text that begins with ``` stands in quotes: \"`x`\"",
        ),
        (
            "respond: foo: bar",
            "a text with `: ` in it stands in quotes: `respond: \"foo: bar\"`",
        ),
        ("path: \"/x\" y", "quotes stand around the whole text"),
        ("path: \"\\d\"", "in double quotes `\\` begins an escape"),
        ("path: { regex: [a-z]+ }", "stands in quotes"),
        ("path: { regex: x", "every `{` needs its `}`"),
        (
            "headers: { a: b,\n      c: { regex: '[{' }\n    query: {}",
            "the `{` in line 4 may lack its `}`",
        ),
        (
            "hosts: [a.example,\n     b.example\n    query: {}",
            "the `[` in line 4 may lack its `]`",
        ),
        ("path: \"/x", "the quote that begins here has no end"),
        (
            "path: |x",
            "after `|` or `>` the text begins in the next line",
        ),
    ] {
        let text = format!("services: {{ a: http://a }}\nroutes:\n  - service: a\n    {value}\n");
        let shown = check(&text);
        assert!(
            shown.contains("this is not YAML") && shown.contains(hint),
            "{shown}"
        );
    }
}
