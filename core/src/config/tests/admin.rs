use super::{Given, NOW, check_with, config, with};
use crate::config::admin::Role;
use crate::config::token::Token;
use crate::config::{OnUnset, compile};

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn tokens_say_who_may_do_what() {
    let admin = config(&with(&format!(
        "admin:
  tokens:
    - {{ name: ci, role: registrar, services: [a], token: a-token-of-the-pipeline }}
    - {{ name: oncall, role: operator, token_sha256: {HASH} }}
"
    )))
    .process
    .admin;
    let [ci, oncall] = &*admin.tokens else {
        panic!("{:?}", admin.tokens);
    };
    assert_eq!((&*ci.name, ci.role), ("ci", Role::Registrar));
    assert_eq!(ci.services.as_deref(), Some(&["a".into()][..]));
    assert!(ci.token.is(&Token::of("a-token-of-the-pipeline")));
    assert_eq!((&*oncall.name, oncall.role), ("oncall", Role::Operator));
    assert_eq!(oncall.services, None);
    assert!(oncall.token.is(&Token::of("abc")));
}

#[test]
fn a_reload_of_other_tokens_decides_nothing_anew() {
    let with = |token: &str| {
        let text = format!("admin: {{ tokens: [{{ name: ci, role: viewer, token: {token} }}] }}");
        config(&with(&text)).digest
    };
    assert_eq!(
        with("a-token-of-the-pipeline"),
        with("another-token-of-the-pipeline")
    );
}

#[test]
fn what_is_wrong_with_tokens_is_told_without_them() {
    insta::assert_snapshot!(check_with(&format!(
        "admin:
  tokens:
    - {{ name: a, role: registrar, services: [serach], token: a-token-of-the-pipeline }}
    - {{ name: a, role: boss, services: [], token: short }}
    - {{ name: b, role: viewer }}
    - {{ name: c, role: viewer, token: a-token-of-the-pipeline, token_sha256: {HASH} }}
    - {{ name: d, role: viewer, token_sha256: secret }}
    - {{ role: viewer, token: 'with a space in it here' }}
    - {{ name: e, role: admin, token: a-token-of-the-pipeline }}
"
    )));
}

#[test]
fn tokens_open_the_api_to_other_machines_in_the_clear() {
    insta::assert_snapshot!(check_with(
        "admin: { address: 0.0.0.0:9900, tokens: [{ name: ci, role: viewer, token: a-token-of-the-pipeline }] }"
    ));
}

#[test]
fn variables_that_are_not_set_may_stand_for_different_tokens() {
    let text = with(
        "
admin:
  tokens:
    - { name: a, role: viewer, token: '${A}' }
    - { name: b, role: viewer, token: '${B}' }
    - { name: c, role: viewer, token_sha256: '${C}' }
    - { name: d, role: viewer, token_sha256: '${D}' }
",
    );
    let compiled = compile(&text, &Given::default(), OnUnset::StandIn, NOW);
    let config = compiled.unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(config.process.admin.tokens.len(), 4);
}

#[test]
fn tls_names_files_and_tokens_are_no_longer_in_the_clear() {
    let tls = config(&with(
        "admin:
  address: 0.0.0.0:9900
  tls: { certificates: [{ cert: a.crt, key: a.key }, { cert: b.crt, key: b.key }], client_ca: ca.crt }
  tokens: [{ name: ci, role: viewer, token: a-token-of-the-pipeline }]
",
    ));
    assert!(tls.warnings.is_empty(), "{:?}", tls.warnings);
    let tls = tls.process.admin.tls.unwrap();
    let all = tls
        .all()
        .map(|file| (file.path.to_str().unwrap(), &*file.key));
    let expected = [
        ("a.crt", "admin.tls.certificates.0.cert"),
        ("a.key", "admin.tls.certificates.0.key"),
        ("b.crt", "admin.tls.certificates.1.cert"),
        ("b.key", "admin.tls.certificates.1.key"),
        ("ca.crt", "admin.tls.client_ca"),
    ];
    assert_eq!(all.collect::<Vec<_>>(), expected);
}

#[test]
fn what_tls_lacks_is_told() {
    insta::assert_snapshot!(check_with("admin: { tls: { certificates: [] } }"), @r"
error: there is no certificate
 --> routes.yaml:3:31
  |
3 | admin: { tls: { certificates: [] } }
  |                               ^^
  = hint: as in `[{ cert: tls.crt, key: tls.key }]`

routes.yaml: 1 error
");
    for (text, missing) in [
        ("admin: { tls: { client_ca: ca.crt } }", "certificates"),
        ("admin: { tls: { certificates: [{ cert: a.crt }] } }", "key"),
        ("admin: { tls: { certificates: [{ key: a.key }] } }", "cert"),
    ] {
        let told = check_with(text);
        assert!(
            told.contains(&format!("error: `{missing}` is missing")),
            "{told}"
        );
    }
}
