//! `services.*.mirror`.

use http::Method;

use super::{check, config};
use crate::flag::Share;
use crate::mirror::MirrorPolicy;

#[test]
fn a_shadow_gets_what_is_stated_and_little_needs_to_be() {
    let config = config(
        "
services:
  a: { stable: http://127.0.0.1:1, mirror: { to: a.shadow } }
  b:
    stable: http://127.0.0.1:2
    mirror: { to: b.ab:treatment, sample: 0.5%, methods: [GET], compare: true, ignore: [$.at, '$.items[*].id'] }
flags:
  a.shadow: { url: http://127.0.0.1:3 }
  b.ab:
    variants: [{ name: control, weight: 50% }, { name: treatment, weight: 50%, url: http://127.0.0.1:4 }]
routes: [{ service: a }]
",
    );
    let mirrors: Vec<MirrorPolicy> = config
        .services
        .iter()
        .map(|service| service.mirror.as_deref().expect("a mirror").clone())
        .collect();
    let paths = ["$.at", "$.items[*].id"].map(|path| path.parse().expect("a path"));
    let expected = [
        MirrorPolicy {
            to: "a.shadow".into(),
            sample: Share::ALL,
            methods: vec![Method::GET, Method::HEAD, Method::OPTIONS],
            compare: false,
            ignore: Vec::new(),
        },
        MirrorPolicy {
            to: "b.ab:treatment".into(),
            sample: Share::new(50).expect("0.5 %"),
            methods: vec![Method::GET],
            compare: true,
            ignore: paths.to_vec(),
        },
    ];
    assert_eq!(mirrors, expected);
}

#[test]
fn what_cannot_be_mirrored_or_compared_is_told() {
    insta::assert_snapshot!(check("
services:
  a:
    stable: http://127.0.0.1:1
    mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  b: { stable: http://127.0.0.1:2, mirror: { to: b.shadwo, compare: maybe } }
  c: { stable: http://127.0.0.1:2, mirror: { too: b.shadow } }
flags: { b.shadow: { url: http://127.0.0.1:3, rings: [] } }
routes: [{ service: a }, { path: /b, service: b }, { path: /c, service: c }]
"), @r"
error: stable cannot be its own shadow
 --> routes.yaml:5:19
  |
5 |     mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  |                   ^^^^^^
  = hint: name a canary of the service: a flag with a `url`, which needs no rings

error: `101%` is not a percentage
 --> routes.yaml:5:35
  |
5 |     mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  |                                   ^^^^
  = hint: a percentage is at most 100%

error: `get` is not a method
 --> routes.yaml:5:51
  |
5 |     mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  |                                                   ^^^
  = hint: methods are case-sensitive: write GET

error: `ignore` means nothing where nothing is compared
 --> routes.yaml:5:63
  |
5 |     mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  |                                                               ^^^^^^
  = hint: add `compare: true`

error: `at` is not the path of a member
 --> routes.yaml:5:72
  |
5 |     mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  |                                                                        ^^
  = hint: a path begins with $, as in $.timestamp, $.items[*].id or $['a.b']

error: `$.` is not the path of a member
 --> routes.yaml:5:76
  |
5 |     mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  |                                                                            ^^
  = hint: a path begins with $, as in $.timestamp, $.items[*].id or $['a.b']

error: `b` has no canary `b.shadwo`
 --> routes.yaml:6:50
  |
6 |   b: { stable: http://127.0.0.1:2, mirror: { to: b.shadwo, compare: maybe } }
  |                                                  ^^^^^^^^
  = hint: did you mean `b.shadow`?

error: `maybe` is not true or false
 --> routes.yaml:6:69
  |
6 |   b: { stable: http://127.0.0.1:2, mirror: { to: b.shadwo, compare: maybe } }
  |                                                                     ^^^^^
  = hint: write `true` or `false`

error: `to` is missing
 --> routes.yaml:7:44
  |
7 |   c: { stable: http://127.0.0.1:2, mirror: { too: b.shadow } }
  |                                            ^^^^^^^^^^^^^^^^^
  = hint: A canary of the service, its shadow: the flag's name, or flag:variant. A flag without rings has no users of its own.

error: unknown key `too`
 --> routes.yaml:7:46
  |
7 |   c: { stable: http://127.0.0.1:2, mirror: { too: b.shadow } }
  |                                              ^^^
  = hint: did you mean `to`?

warning: a mirrored POST may be done twice: by the service and by its shadow
 --> routes.yaml:5:56
  |
5 |     mirror: { to: stable, sample: 101%, methods: [get, POST], ignore: [at, $.] }
  |                                                        ^^^^
  = hint: leave it out, unless the shadow keeps what it does to itself

routes.yaml: 10 errors, 1 warning
");
}

#[test]
fn a_shadow_is_a_canary_of_its_own_service() {
    let told = |to: &str| {
        check(&format!(
            "
services:
  a: {{ stable: http://127.0.0.1:1, mirror: {{ to: '{to}' }} }}
  b: {{ stable: http://127.0.0.1:2 }}
  c: {{ stable: http://127.0.0.1:2, canaries: [a.of-c] }}
flags:
  a.shadow: {{ url: http://127.0.0.1:3 }}
  a.registered: {{ rings: [] }}
  a.ab: {{ variants: [{{ name: stable, weight: 50% }}, {{ name: blue, weight: 50%, url: http://127.0.0.1:4 }}], rings: [] }}
  a.of-c: {{ url: http://127.0.0.1:3, rings: [] }}
  b.shadow: {{ url: http://127.0.0.1:3 }}
routes: [{{ service: a }}, {{ path: /b, service: b }}, {{ path: /c, service: c }}]
"
        ))
    };
    for to in [
        "a.shadow",
        "a.registered",
        "a.ab",
        "a.ab:blue",
        "a.ab:blue.2",
    ] {
        let text = told(to);
        assert!(!text.contains("has no canary"), "{to}: {text}");
    }
    for to in [
        "b.shadow",
        "a.of-c",
        "a.shadow:nonsense",
        "a.ab:stable",
        "a.shadow.2",
        "nonsense",
    ] {
        let text = told(to);
        let words = format!("error: `a` has no canary `{to}`");
        assert!(text.contains(&words), "{to}: {text}");
    }
    let hint = "its canaries are `a.ab`, `a.ab:blue`, `a.registered`, `a.shadow`";
    assert!(told("nonsense").contains(hint), "{}", told("nonsense"));
}

#[test]
fn a_flag_server_may_have_the_shadow() {
    let config = config(
        "
services: { a: { stable: http://127.0.0.1:1, mirror: { to: a.shadow } } }
routes: [{ service: a }]
unleash: { url: http://127.0.0.1:2, token: t }
",
    );
    assert!(config.services[0].mirror.is_some());
}
