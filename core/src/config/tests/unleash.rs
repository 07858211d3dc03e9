//! `unleash`, and what `server` says of its outages.

use std::collections::HashMap;
use std::time::Duration;

use super::{Given, NOW, check_with, config, with};
use crate::config::flag_server::{StalenessPolicy, Streaming};
use crate::config::unleash::{OnDeregister, UnleashPlace};
use crate::config::{OnUnset, compile};

#[test]
fn one_server_needs_a_url_and_a_token() {
    let config = config(&with(
        "unleash: { url: 'http://unleash.default.svc:4242/api/', token: '*:production.abc' }",
    ));
    let [server] = config.unleash.as_slice() else {
        panic!("{:?}", config.unleash);
    };
    assert_eq!((&*server.name, &*server.app_name), ("unleash", "serin"));
    assert_eq!(server.url.as_str(), "http://unleash.default.svc:4242/api");
    assert_eq!(server.token.expose(), "*:production.abc");
    assert_eq!(
        (server.poll, server.streaming),
        (Duration::from_secs(15), Streaming::Auto)
    );
    assert_eq!(config.outages, StalenessPolicy::default());
    assert!(!format!("{config:?}").contains("production"), "{config:?}");
}

#[test]
fn several_servers_keep_their_order() {
    let both = config(&with(
        "
server: { ready_without_flags: 30s, snapshot_max_age: 1d, removal_guard: 0s }
unleash:
  - { name: eu, url: https://eu.example.com/api, token: t, app_name: edge, poll: 250ms, streaming: never }
  - { name: us, url: http://us, token: t, streaming: always }
",
    ));
    let names: Vec<&str> = both.unleash.iter().map(|server| &*server.name).collect();
    assert_eq!(names, ["eu", "us"]);
    let eu = &both.unleash[0];
    assert!(eu.url.is_https() && &*eu.app_name == "edge" && eu.streaming == Streaming::Never);
    assert_eq!(eu.poll, Duration::from_millis(250));
    assert_eq!(both.unleash[1].streaming, Streaming::Always);
    let outages = StalenessPolicy {
        ready_without_flags: Some(Duration::from_secs(30)),
        snapshot_max_age: Duration::from_secs(24 * 3600),
        removal_guard: Duration::ZERO,
    };
    assert_eq!(both.outages, outages);
    let never = config(&with("server: { ready_without_flags: never }"));
    assert_eq!(never.outages.ready_without_flags, None);
    assert!(config(&with("unleash: []")).unleash.is_empty());
}

#[test]
fn canaries_are_recorded_on_the_first_server_with_an_admin_token() {
    let config = config(&with(
        "
unleash:
  - { name: edge, url: http://edge, token: t }
  - { name: eu, url: http://eu, token: t, admin_token: eu-secret }
  - { name: us, url: http://us, token: t, admin_token: us-secret }
registry: { unleash: { project: canaries, on_deregister: stale } }
",
    ));
    let [edge, eu, us] = config.unleash.as_slice() else {
        panic!("{:?}", config.unleash);
    };
    assert_eq!(edge.admin, None);
    let admin = eu.admin.as_ref().unwrap();
    assert!(admin.is_recorder && admin.token.expose() == "eu-secret");
    let place = UnleashPlace {
        project: "canaries".into(),
        environment: "production".into(),
        on_deregister: OnDeregister::Stale,
    };
    assert_eq!(admin.place, place);
    assert!(us.admin.as_ref().is_some_and(|us| !us.is_recorder));
    assert!(!format!("{config:?}").contains("secret"), "{config:?}");
}

#[test]
fn recording_needs_a_token_that_may_write_and_names_that_urls_can_hold() {
    let text = with(
        "
unleash: { url: http://u, token: t }
registry: { unleash: { environment: pro/duction, on_deregister: delete } }
",
    );
    let found = super::read(&text).unwrap_err();
    let said = format!("{found:?}");
    for words in [
        "canaries cannot be recorded in Unleash without a token that may write there",
        "`pro/duction` is not a name of an environment in Unleash",
        "delete",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn the_digest_knows_the_order_of_sources_and_nothing_else_of_them() {
    let digest = |more: &str| config(&with(more)).digest;
    let one = digest("unleash: { url: 'http://a', token: a }");
    assert_eq!(
        one,
        digest("unleash: [{ url: 'http://b', token: b, poll: 1s }]")
    );
    assert_ne!(
        one,
        digest("unleash: { name: eu, url: 'http://a', token: a }")
    );
    assert_ne!(one, digest(""));
    let [eu, us] =
        ["eu", "us"].map(|name| format!("{{ name: {name}, url: 'http://a', token: a }}"));
    assert_ne!(
        digest(&format!("unleash: [{eu}, {us}]")),
        digest(&format!("unleash: [{us}, {eu}]"))
    );
}

#[test]
fn flags_that_a_server_may_have_need_not_be_here() {
    let file = |more: &str| {
        format!(
            "services: {{ a: {{ stable: 'http://127.0.0.1:9', canaries: [a.new] }} }}\nroutes: [{{ service: a }}]\n{more}"
        )
    };
    config(&file("unleash: { url: 'http://a', token: a }"));
    let without = super::check(&file(""));
    assert!(without.contains("there is no flag `a.new`"), "{without}");
    let none = super::check(&file("unleash: []"));
    assert!(none.contains("there is no flag `a.new`"), "{none}");
}

#[test]
fn what_is_wrong_with_servers_is_told_without_their_tokens() {
    insta::assert_snapshot!(check_with("
server: { ready_without_flags: soon, snapshot_max_age: 0s, removal_guard: long }
unleash:
  - { url: unleash, token: t }
  - { name: a/b, url: ftp://u, token: t, poll: 1ms, streaming: maybe }
  - { name: file, url: 'http://me:secret@u', token: t }
  - { url: 'http://u?x=1', token: t, app_name: two words }
  - { name: twice, url: http://u, token: t }
  - { name: twice, url: http://u, token: t }
  - { token: t, tokn: t }
"), @r"
error: `soon` is not a duration or `never`
 --> routes.yaml:4:32
  |
4 | server: { ready_without_flags: soon, snapshot_max_age: 0s, removal_guard: long }
  |                                ^^^^
  = hint: `never`, or a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d

error: `0s` is not a time limit
 --> routes.yaml:4:56
  |
4 | server: { ready_without_flags: soon, snapshot_max_age: 0s, removal_guard: long }
  |                                                        ^^
  = hint: a time limit is longer than 0

error: `long` is not a duration
 --> routes.yaml:4:75
  |
4 | server: { ready_without_flags: soon, snapshot_max_age: 0s, removal_guard: long }
  |                                                                           ^^^^
  = hint: a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d

error: `unleash` is not a flag server's URL
 --> routes.yaml:6:12
  |
6 |   - { url: unleash, token: t }
  |            ^^^^^^^
  = hint: it begins with http:// or https://

error: `a/b` is not a name for a source
 --> routes.yaml:7:13
  |
7 |   - { name: a/b, url: ftp://u, token: t, poll: 1ms, streaming: maybe }
  |             ^^^
  = hint: ASCII letters, digits and any of ._-, beginning with a letter or digit

error: `ftp://u` is not a flag server's URL
 --> routes.yaml:7:23
  |
7 |   - { name: a/b, url: ftp://u, token: t, poll: 1ms, streaming: maybe }
  |                       ^^^^^^^
  = hint: it begins with http:// or https://

error: `1ms` is not an interval
 --> routes.yaml:7:48
  |
7 |   - { name: a/b, url: ftp://u, token: t, poll: 1ms, streaming: maybe }
  |                                                ^^^
  = hint: at least 100ms

error: `maybe` is not known here
 --> routes.yaml:7:64
  |
7 |   - { name: a/b, url: ftp://u, token: t, poll: 1ms, streaming: maybe }
  |                                                                ^^^^^
  = hint: valid here are `auto`, `always`, `never`

error: `file` is not a name for a source
 --> routes.yaml:8:13
  |
8 |   - { name: file, url: 'http://me:secret@u', token: t }
  |             ^^^^
  = hint: another source is always called so

error: `http://me:secret@u` is not a flag server's URL
 --> routes.yaml:8:24
  |
8 |   - { name: file, url: 'http://me:secret@u', token: t }
  |                        ^^^^^^^^^^^^^^^^^^^^
  = hint: a secret belongs in `token`

error: `http://u?x=1` is not a flag server's URL
 --> routes.yaml:9:12
  |
9 |   - { url: 'http://u?x=1', token: t, app_name: two words }
  |            ^^^^^^^^^^^^^^
  = hint: it ends with its path

error: `two words` is not a name for an application
 --> routes.yaml:9:48
  |
9 |   - { url: 'http://u?x=1', token: t, app_name: two words }
  |                                                ^^^^^^^^^
  = hint: ASCII letters, digits and any of ._-, beginning with a letter or digit

error: another source is called `twice`
  --> routes.yaml:11:13
   |
11 |   - { name: twice, url: http://u, token: t }
   |             ^^^^^
   = hint: give each of several a `name` of its own

error: `url` is missing
  --> routes.yaml:12:5
   |
12 |   - { token: t, tokn: t }
   |     ^^^^^^^^^^^^^^^^^^^^^
   = hint: Where its API is, as in http://unleash.default.svc:4242/api.

error: unknown key `tokn`
  --> routes.yaml:12:17
   |
12 |   - { token: t, tokn: t }
   |                 ^^^^
   = hint: did you mean `token`?

routes.yaml: 15 errors
");
    let secret = HashMap::from([("T", "not a token")]);
    let text = with("unleash: { url: 'http://u', token: '${T}' }");
    let found = compile(&text, &Given(secret), OnUnset::Refuse, NOW).expect_err("refused");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "this is not a token");
    let unset = compile(&text, &Given::default(), OnUnset::StandIn, NOW).expect("only warned");
    assert_eq!(unset.warnings.len(), 1);
}
