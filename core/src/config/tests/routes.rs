//! `routes`.

use std::time::Duration;

use super::{check, check_with, config};
use crate::edit::Edit;
use crate::route::{Action, PathPattern, RouteTimeout, ServiceIndex, ValuePattern};

#[test]
fn routes_are_compiled_in_file_order_and_have_names_of_their_own() {
    let config = config(
        "
services: { a: http://a, b: http://b }
routes:
  - { hosts: [API.example.com, '*.example.com'], path: /search/, service: b, methods: [GET, PURGE] }
  - { hosts: [api.example.com], path: /search, service: a }
  - { path: { exact: /x/ }, service: a, rewrite: { prefix: / } }
  - { path: { regex: '/v[0-9]+|/w' }, service: a }
  - { service: a, timeout: 2s, expose: true }
  - { path: /, headers: { X-Api: v2, y: { regex: 'a|b' }, z: { present: false } }, query: { q: 007 }, service: a }
  - { path: /old, redirect: { to: https://example.com/new } }
  - { path: /ping, respond: {} }
",
    );
    let names: Vec<&str> = config.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(
        names,
        [
            "API.example.com/search/",
            "api.example.com/search",
            "/x/",
            "/v[0-9]+|/w",
            "/",
            "/#2",
            "/old",
            "/ping"
        ]
    );
    let [first, _, exact, regex, plain, values, redirect, respond] = config.routes.as_slice()
    else {
        panic!("{names:?}");
    };
    assert!(
        first.matches.hosts[0].matches("api.example.com")
            && first.matches.hosts[1].matches("a.b.example.com")
    );
    assert!(matches!(&first.matches.path, PathPattern::Prefix(path) if &**path == "/search"));
    assert!(
        matches!(&first.action, Action::Forward(forward) if forward.service == ServiceIndex::new(1))
    );
    assert!(matches!(&exact.matches.path, PathPattern::Exact(path) if &**path == "/x/"));
    assert!(
        matches!(&exact.action, Action::Forward(forward) if forward.rewrite_prefix.as_deref() == Some(""))
    );
    assert!(
        matches!(&regex.matches.path, PathPattern::Regex(regex) if regex.is_match("/w") && !regex.is_match("/w/"))
    );
    assert!(matches!(&plain.matches.path, PathPattern::Prefix(path) if path.is_empty()));
    assert!(
        matches!(&plain.action, Action::Forward(forward) if forward.expose && matches!(forward.timeout, RouteTimeout::After(_)))
    );
    assert_eq!(values.matches.headers[0].name, "x-api");
    assert!(
        matches!(&values.matches.headers[1].value, ValuePattern::Regex(regex) if !regex.is_match("ab"))
    );
    assert!(matches!(
        values.matches.headers[2].value,
        ValuePattern::Present(false)
    ));
    assert!(
        matches!(&values.matches.query[0].value, ValuePattern::Exact(text) if &**text == "007")
    );
    assert!(matches!(&redirect.action, Action::Redirect(redirect) if redirect.status == 308));
    assert!(
        matches!(&respond.action, Action::Respond(respond) if respond.status == 200 && respond.body.is_empty())
    );
}

#[test]
fn headers_are_removed_then_set_then_added() {
    let config = config(
        "
services: { a: http://a }
routes:
  - service: a
    request_headers: { add: { x-a: 1 }, remove: [X-B], set: { Host: b.example } }
    response_headers: { set: { x-c: 'a, b' } }
",
    );
    let Action::Forward(forward) = &config.routes[0].action else {
        panic!("{:?}", config.routes);
    };
    let shown = format!(
        "{:?} {:?}",
        forward.request_edits, config.routes[0].response_edits
    );
    assert_eq!(
        shown,
        r#"[Remove("x-b"), Set("host", "b.example"), Add("x-a", "1")] [Set("x-c", "a, b")]"#
    );
    assert!(matches!(forward.request_edits[0], Edit::Remove(_)));
}

#[test]
fn what_is_wrong_with_a_match() {
    insta::assert_snapshot!(check("
services: { a: http://a }
routes:
  - { service: a, hosts: ['http://x', 'x:80', '*', 'a.*.b', ''] }
  - { service: a, path: search }
  - { service: a, path: /a/../b }
  - { service: a, path: /a?b }
  - { service: a, path: { exact: /a, regex: /b } }
  - { service: a, path: { regex: '/(' } }
  - { service: a, path: { prefix: /a } }
  - { service: a, methods: [get, 'G T'], hosts: [] }
  - { service: a, headers: { 'x y': 1, x: { regex: '[' }, z: {}, X: 2 } }
"), @r"
error: `http://x` is not a host
 --> routes.yaml:4:27
  |
4 |   - { service: a, hosts: ['http://x', 'x:80', '*', 'a.*.b', ''] }
  |                           ^^^^^^^^^^
  = hint: a host is written without scheme and port

error: `x:80` is not a host
 --> routes.yaml:4:39
  |
4 |   - { service: a, hosts: ['http://x', 'x:80', '*', 'a.*.b', ''] }
  |                                       ^^^^^^
  = hint: a host is written without scheme and port

error: `*` is not a host
 --> routes.yaml:4:47
  |
4 |   - { service: a, hosts: ['http://x', 'x:80', '*', 'a.*.b', ''] }
  |                                               ^^^
  = hint: for every host leave `hosts` out

error: `a.*.b` is not a host
 --> routes.yaml:4:52
  |
4 |   - { service: a, hosts: ['http://x', 'x:80', '*', 'a.*.b', ''] }
  |                                                    ^^^^^^^
  = hint: a `*` stands at the front, for whole labels, as in *.example.com

error: `` is not a host
 --> routes.yaml:4:61
  |
4 |   - { service: a, hosts: ['http://x', 'x:80', '*', 'a.*.b', ''] }
  |                                                             ^^
  = hint: a host is a name such as api.example.com, or *.example.com

error: `search` is not a path
 --> routes.yaml:5:25
  |
5 |   - { service: a, path: search }
  |                         ^^^^^^
  = hint: a path begins with /

error: `/a/../b` is not a path
 --> routes.yaml:6:25
  |
6 |   - { service: a, path: /a/../b }
  |                         ^^^^^^^
  = hint: requests are matched after `//`, `.` and `..` are resolved

error: `/a?b` is not a path
 --> routes.yaml:7:25
  |
7 |   - { service: a, path: /a?b }
  |                         ^^^^
  = hint: a path has no query and no fragment; for the query there is `query`

error: a path is one of `/prefix`, `{exact: …}` and `{regex: …}`
 --> routes.yaml:8:25
  |
8 |   - { service: a, path: { exact: /a, regex: /b } }
  |                         ^^^^^^^^^^^^^^^^^^^^^^^^

error: `/(` is not a regular expression
 --> routes.yaml:9:34
  |
9 |   - { service: a, path: { regex: '/(' } }
  |                                  ^^^^
  = hint: unclosed group

error: unknown key `prefix`
  --> routes.yaml:10:27
   |
10 |   - { service: a, path: { prefix: /a } }
   |                           ^^^^^^
   = hint: valid here are `exact`, `regex`

error: `get` is not a method
  --> routes.yaml:11:29
   |
11 |   - { service: a, methods: [get, 'G T'], hosts: [] }
   |                             ^^^
   = hint: methods are case-sensitive: write GET

error: `G T` is not a method
  --> routes.yaml:11:34
   |
11 |   - { service: a, methods: [get, 'G T'], hosts: [] }
   |                                  ^^^^^
   = hint: a method is a word such as GET

error: this route takes no host
  --> routes.yaml:11:49
   |
11 |   - { service: a, methods: [get, 'G T'], hosts: [] }
   |                                                 ^^
   = hint: for every host leave `hosts` out

error: `x y` is not the name of a header
  --> routes.yaml:12:30
   |
12 |   - { service: a, headers: { 'x y': 1, x: { regex: '[' }, z: {}, X: 2 } }
   |                              ^^^^^
   = hint: a header's name has letters, digits and -, as in x-user-id

error: `[` is not a regular expression
  --> routes.yaml:12:52
   |
12 |   - { service: a, headers: { 'x y': 1, x: { regex: '[' }, z: {}, X: 2 } }
   |                                                    ^^^
   = hint: unclosed character class

error: a value is one of a text, `{regex: …}` and `{present: …}`
  --> routes.yaml:12:62
   |
12 |   - { service: a, headers: { 'x y': 1, x: { regex: '[' }, z: {}, X: 2 } }
   |                                                              ^^

routes.yaml: 17 errors
");
}

#[test]
fn a_path_that_nothing_can_match_is_an_error() {
    insta::assert_snapshot!(check("
services: { a: 'http://::1:9' }
routes:
  - { service: a, path: /a%2Fb }
  - { service: a, path: { exact: '/a;b' } }
  - { service: a, path: /a/%2e%2E/b }
  - { service: a, path: /100% }
  - { service: a, path: '/a b' }
"), @r"
error: `http://::1:9` is not an upstream's URL
 --> routes.yaml:2:16
  |
2 | services: { a: 'http://::1:9' }
  |                ^^^^^^^^^^^^^^
  = hint: an IPv6 address stands in brackets, as in http://[::1]:8080

error: `/a%2Fb` is not a path
 --> routes.yaml:4:25
  |
4 |   - { service: a, path: /a%2Fb }
  |                         ^^^^^^
  = hint: no request matches an escaped slash or a backslash: servers disagree on whether it parts segments

error: `/a;b` is not a path
 --> routes.yaml:5:34
  |
5 |   - { service: a, path: { exact: '/a;b' } }
  |                                  ^^^^^^
  = hint: requests are matched without what begins with `;` in a segment

error: `/a/%2e%2E/b` is not a path
 --> routes.yaml:6:25
  |
6 |   - { service: a, path: /a/%2e%2E/b }
  |                         ^^^^^^^^^^^
  = hint: requests are matched after `//`, `.` and `..` are resolved

error: `/100%` is not a path
 --> routes.yaml:7:25
  |
7 |   - { service: a, path: /100% }
  |                         ^^^^^
  = hint: the path has an invalid percent-encoding; such requests are refused

error: `/a b` is not a path
 --> routes.yaml:8:25
  |
8 |   - { service: a, path: '/a b' }
  |                         ^^^^^^
  = hint: a path has no spaces (write %20), backslashes and control characters

routes.yaml: 6 errors
");
}

#[test]
fn what_is_compared_is_compared_decoded() {
    insta::assert_snapshot!(check("
services: { a: http://a }
identity: { user_id: [{ query: 'u%5Bid%5D', trust: anyone }] }
routes:
  - { service: a, path: /café }
  - { service: a, path: /caf%C3%A9/ }
  - { service: a, path: { regex: '/x%20y/%2F' } }
  - { service: a, path: { regex: '/100%25/%2F' }, query: { 'a%5B%5D': x, 'b[]': 'x%20y' } }
"), @r"
warning: names of query parameters are compared decoded, and have no `%5B` then
 --> routes.yaml:3:32
  |
3 | identity: { user_id: [{ query: 'u%5Bid%5D', trust: anyone }] }
  |                                ^^^^^^^^^^^
  = hint: write the character that it stands for

warning: this route never matches
 --> routes.yaml:6:5
  |
6 |   - { service: a, path: /caf%C3%A9/ }
  |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: the one in line 5 takes the same requests

warning: paths are compared decoded, and have no `%20` then
 --> routes.yaml:7:34
  |
7 |   - { service: a, path: { regex: '/x%20y/%2F' } }
  |                                  ^^^^^^^^^^^^
  = hint: write the character that it stands for

warning: names of query parameters are compared decoded, and have no `%5B` then
 --> routes.yaml:8:60
  |
8 |   - { service: a, path: { regex: '/100%25/%2F' }, query: { 'a%5B%5D': x, 'b[]': 'x%20y' } }
  |                                                            ^^^^^^^^^
  = hint: write the character that it stands for

routes.yaml: 4 warnings
");
    let config = config(
        "
services: { a: http://a }
routes:
  - { service: a, path: /caf%C3%A9/, rewrite: { prefix: '/é<>' } }
",
    );
    let route = &config.routes[0];
    assert!(matches!(&route.matches.path, PathPattern::Prefix(path) if &**path == "/café"));
    let sent = "/%C3%A9%3C%3E";
    assert!(
        matches!(&route.action, Action::Forward(forward) if forward.rewrite_prefix.as_deref() == Some(sent))
    );
}

#[test]
fn what_is_wrong_with_an_action() {
    insta::assert_snapshot!(check("
services: { search: http://a }
routes:
  - { path: /1 }
  - { path: /2, service: serch }
  - { path: /3, service: search, respond: {} }
  - { path: /4, redirect: { to: elsewhere, status: 304 } }
  - { path: /5, redirect: {}, timeout: 5s }
  - { path: /6, respond: { status: 204, body: x } }
  - { path: /7, respond: { status: 700 } }
  - { path: { regex: /8 }, service: search, rewrite: { prefix: x } }
  - { path: /9, redirect: { to: //evil.example } }
"), @r"
error: this route leads nowhere
 --> routes.yaml:4:5
  |
4 |   - { path: /1 }
  |     ^^^^^^^^^^^^
  = hint: give it a `service`, a `redirect` or a `respond`

error: there is no service `serch`
 --> routes.yaml:5:26
  |
5 |   - { path: /2, service: serch }
  |                          ^^^^^
  = hint: did you mean `search`?

error: this route has a `service` already
 --> routes.yaml:6:34
  |
6 |   - { path: /3, service: search, respond: {} }
  |                                  ^^^^^^^
  = hint: one of `service`, `redirect` and `respond`

error: `elsewhere` is not a place to go
 --> routes.yaml:7:33
  |
7 |   - { path: /4, redirect: { to: elsewhere, status: 304 } }
  |                                 ^^^^^^^^^
  = hint: a path, as in /search, or a URL, as in https://example.com/search

error: `304` is not the status of a redirect
 --> routes.yaml:7:52
  |
7 |   - { path: /4, redirect: { to: elsewhere, status: 304 } }
  |                                                    ^^^
  = hint: 301, 302, 303, 307 or 308

error: `to` is missing
 --> routes.yaml:8:27
  |
8 |   - { path: /5, redirect: {}, timeout: 5s }
  |                           ^^
  = hint: A path, which replaces the matched prefix, or a whole URL.

error: `timeout` goes with `service`, not with `redirect`
 --> routes.yaml:8:31
  |
8 |   - { path: /5, redirect: {}, timeout: 5s }
  |                               ^^^^^^^

error: responses with this status have no body
 --> routes.yaml:9:47
  |
9 |   - { path: /6, respond: { status: 204, body: x } }
  |                                               ^

error: `700` is not a number that can stand here
  --> routes.yaml:10:36
   |
10 |   - { path: /7, respond: { status: 700 } }
   |                                    ^^^
   = hint: a whole number from 200 to 599

error: `rewrite` replaces a prefix, and this path is an expression
  --> routes.yaml:11:45
   |
11 |   - { path: { regex: /8 }, service: search, rewrite: { prefix: x } }
   |                                             ^^^^^^^
   = hint: use a prefix or {exact: …}

error: `x` is not a path
  --> routes.yaml:11:64
   |
11 |   - { path: { regex: /8 }, service: search, rewrite: { prefix: x } }
   |                                                                ^
   = hint: a path begins with /

error: `//evil.example` is not a place to go
  --> routes.yaml:12:33
   |
12 |   - { path: /9, redirect: { to: //evil.example } }
   |                                 ^^^^^^^^^^^^^^
   = hint: a path, as in /search, or a URL, as in https://example.com/search

routes.yaml: 12 errors
");
}

#[test]
fn some_headers_are_not_edited() {
    insta::assert_snapshot!(check("
services: { a: http://a }
routes:
  - service: a
    request_headers: { set: { connection: close, x-ok: \"a\\nb\" }, add: { host: x }, remove: [Transfer-Encoding, x-serin-deployment] }
    response_headers: { set: { host: x, content-length: 5 } }
"), @r#"
error: `connection` is about one connection and cannot be edited
 --> routes.yaml:5:31
  |
5 |     request_headers: { set: { connection: close, x-ok: "a\nb" }, add: { host: x }, remove: [Transfer-Encoding,…
  |                               ^^^^^^^^^^

error: `a�b` is not the value of a header
 --> routes.yaml:5:56
  |
5 | …ders: { set: { connection: close, x-ok: "a\nb" }, add: { host: x }, remove: [Transfer-Encoding, x-serin-deploy…
  |                                          ^^^^^^
  = hint: a header's value has visible ASCII characters only

error: `host` can only be set, and only for requests
 --> routes.yaml:5:73
  |
5 | …nnection: close, x-ok: "a\nb" }, add: { host: x }, remove: [Transfer-Encoding, x-serin-deployment] }
  |                                          ^^^^

error: `transfer-encoding` is about one connection and cannot be edited
 --> routes.yaml:5:93
  |
5 | …k: "a\nb" }, add: { host: x }, remove: [Transfer-Encoding, x-serin-deployment] }
  |                                          ^^^^^^^^^^^^^^^^^

error: `x-serin-deployment` is one of Serin's own headers and cannot be edited
 --> routes.yaml:5:112
  |
5 | … host: x }, remove: [Transfer-Encoding, x-serin-deployment] }
  |                                          ^^^^^^^^^^^^^^^^^^

error: `host` can only be set, and only for requests
 --> routes.yaml:6:32
  |
6 |     response_headers: { set: { host: x, content-length: 5 } }
  |                                ^^^^

error: `content-length` is about one connection and cannot be edited
 --> routes.yaml:6:41
  |
6 |     response_headers: { set: { host: x, content-length: 5 } }
  |                                         ^^^^^^^^^^^^^^

routes.yaml: 7 errors
"#);
}

#[test]
fn what_is_odd_about_a_route_is_a_warning() {
    insta::assert_snapshot!(check("
services: { a: { stable: http://a, timeouts: { connect: 3s } }, b: http://b }
routes:
  - { path: /a, hosts: [x.example, y.example], methods: [GET, POST], service: a }
  - { path: /a/, hosts: [Y.example], methods: [POST], service: b }
  - { path: /a, hosts: [y.example, z.example], methods: [POST], service: b }
  - { path: /a, service: a, timeout: 2s }
  - { path: /a, service: b, headers: { a: 1, b: 2 } }
  - { path: /a, service: a, headers: { B: 2, a: 1 } }
"), @r"
warning: this route never matches
 --> routes.yaml:5:5
  |
5 |   - { path: /a/, hosts: [Y.example], methods: [POST], service: b }
  |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: the one in line 4 takes the same requests

warning: this route gives up before its service stops trying to connect
 --> routes.yaml:7:38
  |
7 |   - { path: /a, service: a, timeout: 2s }
  |                                      ^^
  = hint: the service's `timeouts.connect` is 3000ms

warning: this route never matches
 --> routes.yaml:9:5
  |
9 |   - { path: /a, service: a, headers: { B: 2, a: 1 } }
  |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: the one in line 8 takes the same requests

routes.yaml: 3 warnings
");
}

#[test]
fn a_route_with_an_unreadable_value_still_has_the_rest_checked() {
    insta::assert_snapshot!(check_with("segments: { s: { userId: [1, [2]], email: 1 } }"), @r"
    error: expected a text, found a list
     --> routes.yaml:3:30
      |
    3 | segments: { s: { userId: [1, [2]], email: 1 } }
      |                              ^^^

    error: there is no field `email`
     --> routes.yaml:3:36
      |
    3 | segments: { s: { userId: [1, [2]], email: 1 } }
      |                                    ^^^^^
      = hint: flags may look at `userId`, `sessionId`, `remoteAddress`, `now`; more under `identity.properties`

    routes.yaml: 2 errors
    ");
}

#[test]
fn routes_that_stand_in_one_line_are_two() {
    let text = "services: { a: http://a }\nroutes: [{ service: a }, { service: a }]\n";
    insta::assert_snapshot!(check(text), @r"
    warning: this route never matches
     --> routes.yaml:2:26
      |
    2 | routes: [{ service: a }, { service: a }]
      |                          ^^^^^^^^^^^^^^
      = hint: the one in line 2 takes the same requests

    routes.yaml: 1 warning
    ");
}

#[test]
fn a_timeout_is_a_duration_or_none_or_not_stated() {
    for (timeout, expected) in [
        ("", RouteTimeout::Unset),
        ("timeout: none", RouteTimeout::Waived),
        ("timeout: 5s", RouteTimeout::After(Duration::from_secs(5))),
    ] {
        let config = config(&format!(
            "services: {{ a: http://a }}\nroutes: [{{ service: a, {timeout} }}]\n"
        ));
        let Action::Forward(forward) = &config.routes[0].action else {
            panic!("{timeout}");
        };
        assert_eq!(forward.timeout, expected, "{timeout}");
    }
    let refused = check("services: { a: http://a }\nroutes: [{ service: a, timeout: never }]\n");
    assert!(refused.contains("error"), "{refused}");
}
