//! Keys: unknown, missing, not supported yet, and values of the wrong kind.

use super::{check, check_with};

#[test]
fn unknown_keys_come_with_the_nearest_one() {
    insta::assert_snapshot!(check("services:\n  search:\n    stabel: http://127.0.0.1:9001\nroutes:\n  - { path: /, service: search }\n"), @r"
    error: `stable` is missing
     --> routes.yaml:2:3
      |
    2 |   search:
      |   ^^^^^^
      = hint: The stable deployment: its URL.

    error: unknown key `stabel`
     --> routes.yaml:3:5
      |
    3 |     stabel: http://127.0.0.1:9001
      |     ^^^^^^
      = hint: did you mean `stable`?

    routes.yaml: 2 errors
    ");
    insta::assert_snapshot!(check_with("server: { colour: red }"), @r"
    error: unknown key `colour`
     --> routes.yaml:3:11
      |
    3 | server: { colour: red }
      |           ^^^^^^
      = hint: valid here are `threads`, `state_dir`, `trusted_proxies`, `shutdown_delay`, `shutdown_grace`, `ready_without_flags`, `snapshot_max_age`, `removal_guard`, `limits`, `timeouts`

    routes.yaml: 1 error
    ");
}

#[test]
fn problems_say_where_in_the_document_they_are() {
    let text = "services:\n  a: { stabel: http://a }\nroutes:\n  - path: x\n    headers:\n      y: { rgx: a }\n";
    let found = super::read(text).expect_err("refused");
    let paths: Vec<&str> = found
        .iter()
        .map(|diagnostic| diagnostic.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "services.a",
            "services.a.stabel",
            "routes[0]",
            "routes[0].path",
            "routes[0].headers.y.rgx"
        ]
    );
}

#[test]
fn everything_is_told_at_once_in_file_order() {
    insta::assert_snapshot!(check("
services:
  search: { stable: ftp://x, retries: { attempts: many } }
  Search!: http://127.0.0.1
flgas: {}
routes:
  - { path: search, service: serach, timeout: 5 }
  - { hosts: ['*'], service: search }
server: { threads: -1 }
"), @r"
error: `ftp://x` is not an upstream's URL
 --> routes.yaml:3:21
  |
3 |   search: { stable: ftp://x, retries: { attempts: many } }
  |                     ^^^^^^^
  = hint: the scheme of an upstream is http, https, h2c, h2 or srv+http, not ftp

error: `many` is not a number that can stand here
 --> routes.yaml:3:51
  |
3 |   search: { stable: ftp://x, retries: { attempts: many } }
  |                                                   ^^^^
  = hint: a whole number from 0 to 10

error: `Search!` cannot be the name of a service
 --> routes.yaml:4:3
  |
4 |   Search!: http://127.0.0.1
  |   ^^^^^^^
  = hint: ASCII letters, digits and any of ._-, beginning with a letter or digit

error: unknown key `flgas`
 --> routes.yaml:5:1
  |
5 | flgas: {}
  | ^^^^^
  = hint: did you mean `flags`?

error: `search` is not a path
 --> routes.yaml:7:13
  |
7 |   - { path: search, service: serach, timeout: 5 }
  |             ^^^^^^
  = hint: a path begins with /

error: there is no service `serach`
 --> routes.yaml:7:30
  |
7 |   - { path: search, service: serach, timeout: 5 }
  |                              ^^^^^^
  = hint: did you mean `search`?

error: `5` is not a time limit
 --> routes.yaml:7:47
  |
7 |   - { path: search, service: serach, timeout: 5 }
  |                                               ^
  = hint: a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d

error: `*` is not a host
 --> routes.yaml:8:15
  |
8 |   - { hosts: ['*'], service: search }
  |               ^^^
  = hint: for every host leave `hosts` out

error: `-1` is not a number that can stand here
 --> routes.yaml:9:20
  |
9 | server: { threads: -1 }
  |                    ^^
  = hint: a whole number from 0 to 1024

routes.yaml: 9 errors
");
}

#[test]
fn what_is_needed_is_named() {
    insta::assert_snapshot!(check("x-nothing: 1\nadmin: 127.0.0.1:1\n"), @r"
    error: `services` is missing
     --> routes.yaml:1:1
      |
    1 | x-nothing: 1
      | ^^^^^^^^^^^^
      = hint: What callers want: each has a stable deployment and its canaries.

    error: `routes` is missing
     --> routes.yaml:1:1
      |
    1 | x-nothing: 1
      | ^^^^^^^^^^^^
      = hint: Which requests go to which service; the most specific route wins.

    routes.yaml: 2 errors
    ");
    insta::assert_snapshot!(check("services: {}\nroutes: []\n"), @r"
    error: there is no service
     --> routes.yaml:1:1
      |
    1 | services: {}
      | ^^^^^^^^
      = hint: as in `search: http://127.0.0.1:9001`

    error: there is no route
     --> routes.yaml:2:1
      |
    2 | routes: []
      | ^^^^^^
      = hint: as in `- { path: /, service: search }`

    routes.yaml: 2 errors
    ");
}

#[test]
fn what_is_not_built_yet_is_said_to_be() {
    insta::assert_snapshot!(check("
services:
  a:
    stable: { url: http://a, version: 2 }
    health: { path: / }
    outlier: {}
    balance: hash_user
  b: srv+https://b
routes: [{ service: a }]
identity: {}
listeners: [{ address: 127.0.0.1:1 }]
admin: 127.0.0.1:9900
server: {}
unleash: { url: 'http://u', token: t }
launchdarkly: {}
attribution: { relay: {} }
"), @r"
error: `version` is not supported yet
 --> routes.yaml:4:30
  |
4 |     stable: { url: http://a, version: 2 }
  |                              ^^^^^^^

error: `srv+https://b` is not an upstream's URL
 --> routes.yaml:8:6
  |
8 |   b: srv+https://b
  |      ^^^^^^^^^^^^^
  = hint: the scheme of an upstream is http, https, h2c, h2 or srv+http, not srv+https

error: `launchdarkly` is not supported yet
  --> routes.yaml:15:1
   |
15 | launchdarkly: {}
   | ^^^^^^^^^^^^

error: `relay` is not supported yet
  --> routes.yaml:16:16
   |
16 | attribution: { relay: {} }
   |                ^^^^^

routes.yaml: 4 errors
");
}

#[test]
fn values_of_the_wrong_kind() {
    insta::assert_snapshot!(check_with("
flags:
segments: [a]
identity: { user_id: { header: x }, anonymous: sometimes }
canary_urls: { allow: 10.0.0.0/8 }
server: { shutdown_delay: 5, trusted_proxies: [10.0.0.0/33], threads: \"2\" }
logging: { level: loud, sample: 1, access: of }
"), @r#"
error: expected a map, found nothing
 --> routes.yaml:4:6
  |
4 | flags:
  |      ^
  = hint: write `{}`, or remove the key

error: expected a map, found a list
 --> routes.yaml:5:11
  |
5 | segments: [a]
  |           ^^^

error: expected a list, found a map
 --> routes.yaml:6:22
  |
6 | identity: { user_id: { header: x }, anonymous: sometimes }
  |                      ^^^^^^^^^^^^^

error: `sometimes` is not known here
 --> routes.yaml:6:48
  |
6 | identity: { user_id: { header: x }, anonymous: sometimes }
  |                                                ^^^^^^^^^
  = hint: valid here are `stable`, `sticky`, `reject`

error: expected a list, found a single value
 --> routes.yaml:7:23
  |
7 | canary_urls: { allow: 10.0.0.0/8 }
  |                       ^^^^^^^^^^
  = hint: a list of one is written `[value]`

error: `5` is not a duration
 --> routes.yaml:8:27
  |
8 | server: { shutdown_delay: 5, trusted_proxies: [10.0.0.0/33], threads: "2" }
  |                           ^
  = hint: a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d

error: `10.0.0.0/33` is not a network
 --> routes.yaml:8:48
  |
8 | server: { shutdown_delay: 5, trusted_proxies: [10.0.0.0/33], threads: "2" }
  |                                                ^^^^^^^^^^^
  = hint: a network is written as in 10.0.0.0/8 or fd00::/8, an address as 192.0.2.7

error: `2` is not a number that can stand here
 --> routes.yaml:8:71
  |
8 | server: { shutdown_delay: 5, trusted_proxies: [10.0.0.0/33], threads: "2" }
  |                                                                       ^^^
  = hint: without the quotes

error: `loud` is not known here
 --> routes.yaml:9:19
  |
9 | logging: { level: loud, sample: 1, access: of }
  |                   ^^^^
  = hint: valid here are `error`, `warn`, `info`, `debug`, `trace`

error: `1` is not a percentage
 --> routes.yaml:9:33
  |
9 | logging: { level: loud, sample: 1, access: of }
  |                                 ^
  = hint: a percentage is a number followed by %, as in 5% or 0.25%

error: `of` is not known here
 --> routes.yaml:9:44
  |
9 | logging: { level: loud, sample: 1, access: of }
  |                                            ^^
  = hint: did you mean `off`?

routes.yaml: 11 errors
"#);
}
