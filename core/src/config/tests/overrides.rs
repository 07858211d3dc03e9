//! `identity.override`.

use super::{Given, NOW, check_with, config, with};
use crate::config::{OnUnset, compile, render};
use crate::overrides;

#[test]
fn a_key_is_enough_for_overrides() {
    let key = "0123456789abcdef0123456789abcdef";
    let short = config(&with(&format!(
        "identity: {{ override: {{ key: {key} }} }}\n"
    )));
    let rules = short.identity.overrides.expect("rules");
    assert_eq!(Some(&rules.key), overrides::key(key.as_bytes()).as_ref());
    assert_eq!(
        (rules.header.as_str(), &*rules.cookie),
        ("x-serin-override", "serin_override")
    );
    let secret = format!("{rules:?}");
    assert!(!secret.contains(key), "{secret}");
    let long = config(&with(&format!(
        "identity: {{ override: {{ key: {key}, header: X-QA, cookie: qa }} }}\n"
    )));
    let rules = long.identity.overrides.expect("rules");
    assert_eq!((rules.header.as_str(), &*rules.cookie), ("x-qa", "qa"));
    assert_ne!(long.digest, short.digest, "they decide");
    assert_eq!(config(&with("")).identity.overrides, None);
}

#[test]
fn a_key_that_can_be_guessed_is_refused_and_so_are_names_that_are_taken() {
    insta::assert_snapshot!(check_with("
identity:
  anonymous: sticky
  override: { key: swordfish, header: x-serin-decision, cookie: serin_id }
"), @r"
error: this key has fewer than 32 characters and can be guessed
 --> routes.yaml:6:20
  |
6 |   override: { key: swordfish, header: x-serin-decision, cookie: serin_id }
  |                    ^^^^^^^^^
  = hint: `openssl rand -hex 32` makes one; put it into a variable

error: `x-serin-decision` is not a header field for overrides
 --> routes.yaml:6:39
  |
6 |   override: { key: swordfish, header: x-serin-decision, cookie: serin_id }
  |                                       ^^^^^^^^^^^^^^^^
  = hint: its name begins with x- and is no other field's, as in x-qa

error: `serin_id` is the cookie of `anonymous: sticky`
 --> routes.yaml:6:65
  |
6 |   override: { key: swordfish, header: x-serin-decision, cookie: serin_id }
  |                                                                 ^^^^^^^^
  = hint: give overrides another one

routes.yaml: 3 errors
");
    insta::assert_snapshot!(check_with("
identity: { override: { header: authorization, cookie: 'a b', keys: x } }
"), @r"
error: `key` is missing
 --> routes.yaml:4:23
  |
4 | identity: { override: { header: authorization, cookie: 'a b', keys: x } }
  |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: The secret that they are signed with, of 32 characters or more, the same for all gateways: write ${SERIN_OVERRIDE_KEY}.

error: `authorization` is not a header field for overrides
 --> routes.yaml:4:33
  |
4 | identity: { override: { header: authorization, cookie: 'a b', keys: x } }
  |                                 ^^^^^^^^^^^^^
  = hint: its name begins with x- and is no other field's, as in x-qa

error: `a b` is not the name of a cookie
 --> routes.yaml:4:56
  |
4 | identity: { override: { header: authorization, cookie: 'a b', keys: x } }
  |                                                        ^^^^^
  = hint: a cookie's name has letters, digits, - and _

error: unknown key `keys`
 --> routes.yaml:4:63
  |
4 | identity: { override: { header: authorization, cookie: 'a b', keys: x } }
  |                                                               ^^^^
  = hint: did you mean `key`?

routes.yaml: 4 errors
");
}

#[test]
fn a_key_that_says_nothing_is_refused() {
    let environment = Given([("EMPTY", ""), ("SHORT", "swordfish")].into());
    for key in [
        "",
        "''",
        "~",
        "${EMPTY}",
        "'${EMPTY}'",
        "${SHORT}",
        "${UNSET}",
    ] {
        for section in [
            format!("override: {{ key: {key} }}"),
            format!("channels: {{ key: {key}, names: [preview] }}"),
        ] {
            let text = with(&format!("identity: {{ {section} }}\n"));
            let found = compile(&text, &environment, OnUnset::Refuse, NOW);
            let told = found.expect_err(&text);
            let told = render::text("routes.yaml", &text, &told, false);
            assert_eq!(told.matches("error: ").count(), 1, "{told}");
        }
    }
    // Where only the rest is to be checked, a variable that is not set may be anything.
    let text = with(
        "
client_api: { path: /.serin }
identity: { override: { key: '${UNSET}' }, channels: { key: '${UNSET}', names: [preview] } }
flags: { a.v2: { url: 'http://b', rings: [{ name: volunteers, when: { channel: preview } }] } }
",
    );
    assert!(compile(&text, &environment, OnUnset::StandIn, NOW).is_ok());
}
