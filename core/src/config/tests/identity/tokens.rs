//! `jwt`, `claim` and `auth`.

use crate::config::tests::{Given, check, check_with, config, with};
use crate::config::{OnUnset, compile};
use crate::identity::token::{Algorithm, KeySource, TokenPlace};
use crate::identity::{Auth, Place};

#[test]
fn tokens_are_compiled_with_their_defaults() {
    let config = config(&with(
        "
identity:
  user_id:
    - jwt: { jwks_url: 'https://idp/jwks.json', issuer: 'https://idp', audience: api }
    - { cookie: uid, trust: anyone }
    - jwt: { secret: 0123456789abcdef0123456789abcdef, claim: app.user, from: { cookie: session } }
    - jwt: { jwks_file: k.json, issuer: i, audience: [a, b], algorithms: [PS256], from: { header: X-Token } }
  properties: { plan: { claim: app.plan }, email: { claim: email } }
  test_users: ['qa-*', u1]
",
    ));
    let rules = &config.identity;
    let places: Vec<&Place> = rules.user_id.iter().map(|source| &source.place).collect();
    assert_eq!(*places[0], Place::Token(0));
    assert_eq!([places[2], places[3]], [&Place::Token(1), &Place::Token(2)]);
    assert_eq!(rules.properties[1].source.place, Place::Claim(1));
    assert_eq!(*rules.tokens.claims, ["app.plan".into(), "email".into()]);
    let [first, second, third] = rules.tokens.sources.as_slice() else {
        panic!("three sources");
    };
    assert_eq!(first.keys, KeySource::Url("https://idp/jwks.json".into()));
    assert_eq!(first.place, TokenPlace::Header(http::header::AUTHORIZATION));
    assert_eq!(
        first.algorithms,
        [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
    );
    assert_eq!((&*first.claim, &*first.name()), ("sub", "https://idp"));
    assert_eq!(second.algorithms, [Algorithm::Hs256]);
    assert_eq!((&*second.claim, &*second.name()), ("app.user", "secret"));
    assert!(!format!("{second:?}").contains("0123456789"), "{second:?}");
    assert_eq!(second.place, TokenPlace::Cookie("session".into()));
    assert_eq!(*third.audiences, ["a".into(), "b".into()]);
    assert!(rules.is_test_user("qa-7") && rules.is_test_user("u1") && !rules.is_test_user("u10"));
}

#[test]
fn what_is_wrong_with_tokens() {
    insta::assert_snapshot!(check_with("
identity:
  user_id:
    - jwt: {}
    - jwt: { jwks_url: a, jwks_file: b }
    - jwt: { jwks_url: 'ftp://idp', issuer: i, audience: a }
    - jwt: { secret: short }
    - jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: [RS256] }
    - jwt: { jwks_file: k, issuer: i, audience: a, algorithms: [RS256, HS256, none] }
    - jwt: { jwks_file: k, issuer: i, audience: a, algorithms: [], from: { header: a, cookie: b } }
    - { jwt: { jwks_file: k, issuer: i, audience: a }, trust: anyone }
  properties: { p: { claim: c, header: x } }
"), @r"
error: this does not say which keys verify the tokens
 --> routes.yaml:6:12
  |
6 |     - jwt: {}
  |            ^^
  = hint: one of `jwks_url`, `jwks_file` and `secret`

error: keys are from one place
 --> routes.yaml:7:27
  |
7 |     - jwt: { jwks_url: a, jwks_file: b }
  |                           ^^^^^^^^^
  = hint: only one of `jwks_url`, `jwks_file` and `secret`

error: `ftp://idp` is not the URL of a key set
 --> routes.yaml:8:24
  |
8 |     - jwt: { jwks_url: 'ftp://idp', issuer: i, audience: a }
  |                        ^^^^^^^^^^^
  = hint: as in https://idp.example.com/jwks.json, without a user and a query

error: this secret has fewer than 32 characters and can be guessed
 --> routes.yaml:9:22
  |
9 |     - jwt: { secret: short }
  |                      ^^^^^
  = hint: `openssl rand -base64 48` makes a good one

error: tokens by a secret are signed by HS256
  --> routes.yaml:10:69
   |
10 |     - jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: [RS256] }
   |                                                                     ^^^^^
   = hint: leave `algorithms` out

error: HS256 goes with a `secret` only
  --> routes.yaml:11:72
   |
11 |     - jwt: { jwks_file: k, issuer: i, audience: a, algorithms: [RS256, HS256, none] }
   |                                                                        ^^^^^
   = hint: leave it out: keys of a key set are public

error: `none` is not known here
  --> routes.yaml:11:79
   |
11 |     - jwt: { jwks_file: k, issuer: i, audience: a, algorithms: [RS256, HS256, none] }
   |                                                                               ^^^^
   = hint: valid here are `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`, `HS256`

error: an empty list would allow none at all
  --> routes.yaml:12:64
   |
12 |     - jwt: { jwks_file: k, issuer: i, audience: a, algorithms: [], from: { header: a, cookie: b } }
   |                                                                ^^
   = hint: leave the key out, or list what is allowed

error: a token is read from one place
  --> routes.yaml:12:74
   |
12 |     - jwt: { jwks_file: k, issuer: i, audience: a, algorithms: [], from: { header: a, cookie: b } }
   |                                                                          ^^^^^^^^^^^^^^^^^^^^^^^^
   = hint: as in `{ header: authorization }` or `{ cookie: session }`

error: `trust` does not go with `jwt`
  --> routes.yaml:13:56
   |
13 |     - { jwt: { jwks_file: k, issuer: i, audience: a }, trust: anyone }
   |                                                        ^^^^^
   = hint: a source is read from one place; a verified token is believed from anyone

error: `header` does not go with `claim`
  --> routes.yaml:14:32
   |
14 |   properties: { p: { claim: c, header: x } }
   |                                ^^^^^^
   = hint: a source is read from one place; a verified token is believed from anyone

routes.yaml: 11 errors
");
}

#[test]
fn what_is_odd_about_tokens_is_a_warning() {
    insta::assert_snapshot!(check_with("
identity:
  user_id:
    - jwt: { jwks_url: 'http://idp.example.com/keys' }
    - jwt: { jwks_url: 'http://127.0.0.1:1/keys', issuer: i, audience: a, from: { header: x-request-id } }
"), @r"
warning: tokens of any issuer are believed that these keys verify
 --> routes.yaml:6:12
  |
6 |     - jwt: { jwks_url: 'http://idp.example.com/keys' }
  |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: name it: `issuer: https://idp.example.com`

warning: tokens that name whom they are meant for (`aud`) are not believed
 --> routes.yaml:6:12
  |
6 |     - jwt: { jwks_url: 'http://idp.example.com/keys' }
  |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: name yourself: `audience: api`

warning: whoever is on the way to these keys can change them
 --> routes.yaml:6:24
  |
6 |     - jwt: { jwks_url: 'http://idp.example.com/keys' }
  |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: https:// keeps them as they are

warning: `x-request-id` is another one with every request
 --> routes.yaml:7:91
  |
7 |     - jwt: { jwks_url: 'http://127.0.0.1:1/keys', issuer: i, audience: a, from: { header: x-request-id } }
  |                                                                                           ^^^^^^^^^^^^
  = hint: name what is the same with every request of a user

routes.yaml: 4 warnings
");
}

#[test]
fn claims_and_routes_need_a_token() {
    insta::assert_snapshot!(check_with("
identity: { properties: { plan: { claim: app.plan } } }
"), @r"
error: there is no token that could have this claim
 --> routes.yaml:4:42
  |
4 | identity: { properties: { plan: { claim: app.plan } } }
  |                                          ^^^^^^^^
  = hint: say under `identity.user_id` which tokens are believed, as in `- jwt: { jwks_url: … }`

routes.yaml: 1 error
");
    insta::assert_snapshot!(check("
services: { a: http://127.0.0.1:1 }
routes: [{ path: /a, service: a, auth: required }, { service: a, auth: sometimes }]
"), @r"
error: `sometimes` is not known here
 --> routes.yaml:3:72
  |
3 | routes: [{ path: /a, service: a, auth: required }, { service: a, auth: sometimes }]
  |                                                                        ^^^^^^^^^
  = hint: valid here are `optional`, `required`, `none`

routes.yaml: 1 error
");
    insta::assert_snapshot!(check("
services: { a: http://127.0.0.1:1 }
routes: [{ path: /a, service: a, auth: required }, { service: a, auth: none }]
"), @r"
error: no token could be verified: every request would be refused
 --> routes.yaml:3:40
  |
3 | routes: [{ path: /a, service: a, auth: required }, { service: a, auth: none }]
  |                                        ^^^^^^^^
  = hint: say under `identity.user_id` which tokens are believed, as in `- jwt: { jwks_url: … }`

routes.yaml: 1 error
");
}

#[test]
fn routes_say_what_they_ask_of_tokens() {
    let text = "
services: { a: http://127.0.0.1:1 }
identity: { user_id: [{ jwt: { secret: '${SECRET}' } }] }
routes: [{ path: /r, service: a, auth: required }, { path: /n, service: a, auth: none }, { service: a }]
";
    let config = compile(
        text,
        &Given::default(),
        OnUnset::StandIn,
        crate::config::tests::NOW,
    );
    let config = config.expect("a valid file, but for the secret");
    let auth: Vec<Auth> = config.routes.iter().map(|route| route.auth).collect();
    assert_eq!(auth, [Auth::Required, Auth::None, Auth::Optional]);
}
