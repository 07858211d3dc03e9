//! `identity`.

mod tokens;

use super::{check_with, config, with};
use crate::identity::{Anonymous, Place, SameSite, SecureCookie, Trust};

#[test]
fn identity_is_compiled_in_order() {
    let config = config(&with(
        "
identity:
  user_id: [{ header: X-User-Id, trust: proxies }, { cookie: uid, trust: anyone }, { query: u, trust: anyone }]
  anonymous: sticky
  anonymous_cookie: { name: id, max_age: 30d, secure: always, same_site: strict }
  properties: { b: { header: x-b }, a: { query: a, trust: proxies } }
server: { trusted_proxies: [10.1.2.3/8, '::1'] }
",
    ));
    let rules = &config.identity;
    assert!(matches!(&rules.user_id[0].place, Place::Header(name) if name == "x-user-id"));
    assert_eq!(rules.user_id[0].trust, Trust::Proxies);
    assert_eq!(rules.user_id[1].place, Place::Cookie("uid".into()));
    assert_eq!(rules.user_id[2].place, Place::Query("u".into()));
    assert_eq!(rules.anonymous, Anonymous::Sticky);
    assert_eq!(
        (rules.cookie.secure, rules.cookie.same_site),
        (SecureCookie::Always, SameSite::Strict)
    );
    assert_eq!(rules.cookie.max_age.as_secs(), 30 * 86_400);
    let names: Vec<&str> = rules
        .properties
        .iter()
        .map(|property| &*property.name)
        .collect();
    assert_eq!(names, ["b", "a"]);
    assert!(rules.trusts("10.9.9.9".parse().expect("an address")));
}

#[test]
fn what_is_odd_about_identity_is_a_warning() {
    insta::assert_snapshot!(check_with("
identity:
  user_id: [{ header: x-user-id }, { cookie: uid, trust: proxies }]
  anonymous_cookie: { name: id, same_site: none, secure: never }
server: { trusted_proxies: [] }
"), @r"
warning: any client can say who it is here
 --> routes.yaml:5:13
  |
5 |   user_id: [{ header: x-user-id }, { cookie: uid, trust: proxies }]
  |             ^^^^^^^^^^^^^^^^^^^^^
  = hint: state it: `trust: anyone`, or `trust: proxies` for what only your proxies may say

warning: nobody is believed here: `server.trusted_proxies` is empty
 --> routes.yaml:5:58
  |
5 |   user_id: [{ header: x-user-id }, { cookie: uid, trust: proxies }]
  |                                                          ^^^^^^^
  = hint: name your proxies' networks there

warning: the cookie is never set
 --> routes.yaml:6:3
  |
6 |   anonymous_cookie: { name: id, same_site: none, secure: never }
  |   ^^^^^^^^^^^^^^^^
  = hint: it goes with `anonymous: sticky`

warning: browsers refuse `same_site: none` without Secure
 --> routes.yaml:6:58
  |
6 |   anonymous_cookie: { name: id, same_site: none, secure: never }
  |                                                          ^^^^^

routes.yaml: 4 warnings
");
}

#[test]
fn headers_that_mean_something_else_are_refused_or_warned_of() {
    insta::assert_snapshot!(check_with("
identity:
  user_id:
    - { header: Cookie, trust: proxies }
    - { header: x-forwarded-user, trust: proxies }
    - { header: X-Forwarded-User, trust: anyone }
    - { header: x-request-id, trust: proxies }
    - { header: Connection, trust: anyone }
  properties:
    site: { header: host }
    token: { header: authorization }
    length: { header: content-length }
    hop: { header: via }
    agent: { header: user-agent }
server: { trusted_proxies: [10.0.0.0/8] }
"), @r"
error: `connection` is about a connection or a body, never about a user
  --> routes.yaml:10:17
   |
10 |     - { header: Connection, trust: anyone }
   |                 ^^^^^^^^^^

error: `content-length` is about a connection or a body, never about a user
  --> routes.yaml:14:23
   |
14 |     length: { header: content-length }
   |                       ^^^^^^^^^^^^^^

warning: `cookie` is all cookies at once
 --> routes.yaml:6:17
  |
6 |     - { header: Cookie, trust: proxies }
  |                 ^^^^^^
  = hint: for one of them write `cookie: its-name`

warning: `x-forwarded-user` is for proxies to set, but any client can set it here
 --> routes.yaml:8:17
  |
8 |     - { header: X-Forwarded-User, trust: anyone }
  |                 ^^^^^^^^^^^^^^^^
  = hint: read it with `trust: proxies`; flags see the client's address as `remoteAddress`

warning: `x-request-id` is another one with every request
 --> routes.yaml:9:17
  |
9 |     - { header: x-request-id, trust: proxies }
  |                 ^^^^^^^^^^^^
  = hint: name what is the same with every request of a user

warning: `host` is the site that is asked for
  --> routes.yaml:12:21
   |
12 |     site: { header: host }
   |                     ^^^^
   = hint: routes match it with `hosts`

warning: `authorization` is a secret that changes, and is not checked here
  --> routes.yaml:13:22
   |
13 |     token: { header: authorization }
   |                      ^^^^^^^^^^^^^
   = hint: tokens are checked by `jwt` under `identity.user_id`, and their claims are properties by `claim`

warning: `via` is what everybody on the way adds to
  --> routes.yaml:15:20
   |
15 |     hop: { header: via }
   |                    ^^^
   = hint: name what is the same with every request of a user

routes.yaml: 2 errors, 6 warnings
");
}

#[test]
fn what_is_wrong_with_identity() {
    insta::assert_snapshot!(check_with("
identity:
  user_id: [{ trust: anyone }, { header: a, cookie: b, trust: anyone }, { header: 'a b', trust: nobody }, { cookie: 'a;b', trust: anyone }]
  anonymous_cookie: { max_age: 1y, secure: true }
  properties: { userId: { header: x }, b: {}, c: { header: x-serin-decision } }
"), @r"
error: this source does not say where to read
 --> routes.yaml:5:13
  |
5 |   user_id: [{ trust: anyone }, { header: a, cookie: b, trust: anyone }, { header: 'a b', trust: nobody }, { co…
  |             ^^^^^^^^^^^^^^^^^
  = hint: one of `header`, `cookie` and `query`

error: a source is read from one place
 --> routes.yaml:5:45
  |
5 | …er_id: [{ trust: anyone }, { header: a, cookie: b, trust: anyone }, { header: 'a b', trust: nobody }, { cookie…
  |                                          ^^^^^^
  = hint: only one of `header`, `cookie` and `query`

error: `a b` is not the name of a header
 --> routes.yaml:5:83
  |
5 | …, cookie: b, trust: anyone }, { header: 'a b', trust: nobody }, { cookie: 'a;b', trust: anyone }]
  |                                          ^^^^^
  = hint: a header's name has letters, digits and -, as in x-user-id

error: `nobody` is not known here
 --> routes.yaml:5:97
  |
5 | …rust: anyone }, { header: 'a b', trust: nobody }, { cookie: 'a;b', trust: anyone }]
  |                                          ^^^^^^
  = hint: valid here are `anyone`, `proxies`

error: `a;b` is not the name of a cookie
 --> routes.yaml:5:117
  |
5 | …ader: 'a b', trust: nobody }, { cookie: 'a;b', trust: anyone }]
  |                                          ^^^^^
  = hint: a cookie's name has letters, digits, - and _

error: `1y` is not a time limit
 --> routes.yaml:6:32
  |
6 |   anonymous_cookie: { max_age: 1y, secure: true }
  |                                ^^
  = hint: a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d

error: `true` is not known here
 --> routes.yaml:6:44
  |
6 |   anonymous_cookie: { max_age: 1y, secure: true }
  |                                            ^^^^
  = hint: valid here are `auto`, `always`, `never`

error: `userId` means something else in conditions
 --> routes.yaml:7:17
  |
7 |   properties: { userId: { header: x }, b: {}, c: { header: x-serin-decision } }
  |                 ^^^^^^
  = hint: give the property another name

error: this source does not say where to read
 --> routes.yaml:7:43
  |
7 |   properties: { userId: { header: x }, b: {}, c: { header: x-serin-decision } }
  |                                           ^^
  = hint: one of `header`, `cookie` and `query`

error: `x-serin-` headers are Serin's own and never come from clients
 --> routes.yaml:7:60
  |
7 |   properties: { userId: { header: x }, b: {}, c: { header: x-serin-decision } }
  |                                                            ^^^^^^^^^^^^^^^^

routes.yaml: 10 errors
");
}
