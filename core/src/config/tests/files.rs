//! The files of the repository, the digest, and what is put in for `${…}`.

use std::collections::HashMap;

use super::{Given, NOW, check, check_with, config, with};
use crate::cluster::policy::UpstreamPolicy;
use crate::config::admin::AdminConfig;
use crate::config::listener::ListenerConfig;
use crate::config::{Config, OnUnset, UserIdPolicy, compile, render};

fn given(
    text: &str,
    on_unset: OnUnset,
    environment: &[(&'static str, &'static str)],
) -> Result<Config, String> {
    let environment = Given(environment.iter().copied().collect::<HashMap<_, _>>());
    compile(text, &environment, on_unset, NOW)
        .map_err(|found| render::text("routes.yaml", text, &found, false))
}

#[test]
fn the_files_of_the_repository_pass_without_warnings() {
    config(include_str!("../../../../routes.yaml"));
    config(include_str!("../../../../deploy/reference.yaml"));
}

#[test]
fn only_services_and_routes_are_needed() {
    let config = config("services: { a: http://127.0.0.1:9001 }\nroutes: [{ service: a }]\n");
    let process = &config.process;
    assert_eq!(
        process.listeners,
        [ListenerConfig::at(
            "0.0.0.0:8080".parse().expect("an address")
        )]
    );
    assert_eq!(
        process.admin,
        AdminConfig::at("127.0.0.1:9900".parse().expect("an address"))
    );
    assert_eq!(
        (process.threads, process.state_dir.to_str()),
        (0, Some("./state"))
    );
    assert_eq!(process.shutdown_delay.as_secs(), 5);
    assert_eq!(process.shutdown_grace.as_secs(), 30);
    assert_eq!(config.logging.user_id, UserIdPolicy::HashUnderOwnKey);
    let service = &config.services[0];
    assert_eq!(service.canaries[0].as_str(), "a.*");
    assert_eq!(service.upstream, UpstreamPolicy::default());
    assert_eq!(service.upstream.connect_timeout.as_millis(), 1000);
    assert_eq!(service.upstream.response_timeout.as_secs(), 15);
    assert_eq!(service.upstream.idle_timeout.as_secs(), 60);
}

#[test]
fn the_digest_is_of_what_is_said_not_of_how() {
    let digest = |text: &str| config(text).digest;
    let one = digest(
        "services:\n  a: http://127.0.0.1:1\n  b: http://127.0.0.1:2\nroutes:\n  - { path: /a, service: a }\n",
    );
    let same = "# a comment\r\nx-anchors: &x /a\r\nroutes: [{service: \"a\", path: *x}]\r\nservices: {b: 'http://127.0.0.1:2', a: http://127.0.0.1:1}\r\nadmin: 127.0.0.1:1\r\nserver: {threads: 2}\r\nlogging: {level: debug}\r\nlisteners: [127.0.0.1:7]\r\n";
    assert_eq!(digest(same), one);
    for other in [
        same.replace(":2'", ":3'"),
        same.replace("threads: 2", "trusted_proxies: [10.0.0.0/8]"),
        same.replace("service: \"a\"", "service: b"),
    ] {
        assert_ne!(digest(&other), one, "{other}");
    }
}

/// Gateways of different versions stand side by side and are compared by their digests: only what such a file says may
/// change its digest.
#[test]
fn the_digests_of_the_files_of_the_repository_are_what_they_ever_were() {
    for (text, digest) in [
        (
            include_str!("../../../../routes.yaml"),
            "5062fa3efe69cc530f3c5b3c9915f091e7845ed57848e0fc658a1f199a6b32a1",
        ),
        (
            include_str!("../../../../deploy/reference.yaml"),
            "afef9a35dcec80f2dbd1c622293cbadd69cb6a6682ab905ef94b1d534efc7f5c",
        ),
    ] {
        assert_eq!(config(text).digest.to_string(), digest);
    }
}

#[test]
fn lists_keep_their_order_in_the_digest() {
    let digest =
        |list: &str| config(&with(&format!("segments: {{ s: {{ userId: {list} }} }}"))).digest;
    assert_ne!(digest("[a, b]"), digest("[b, a]"));
    assert_ne!(digest("[ab]"), digest("[a, b]"));
}

#[test]
fn values_are_put_in_after_yaml_is_parsed() {
    let text = "services: { a: 'http://${HOST}:${PORT:-9001}' }\nroutes: [{ service: a, path: '/$${x}', request_headers: { set: { x-key: '${file:/run/key}' } } }]";
    let environment = [("HOST", "127.0.0.1"), ("/run/key", "a: {b}")];
    let config = given(text, OnUnset::Refuse, &environment).expect("a configuration");
    assert_eq!(
        config.services[0].stable,
        "http://127.0.0.1:9001".parse().ok()
    );
    assert_eq!(&*config.routes[0].name, "/${x}");
    let edits = format!("{:?}", config.routes[0].action);
    assert!(edits.contains("a: {b}"), "{edits}");
}

#[test]
fn an_empty_variable_takes_the_default_as_in_a_shell() {
    let text = with("admin: '${ADMIN:-127.0.0.1:7}'");
    let config = given(&text, OnUnset::Refuse, &[("ADMIN", "")]).expect("a configuration");
    assert_eq!(config.process.admin.addresses[0].port(), 7);
}

#[test]
fn booleans_and_numbers_can_be_put_in() {
    let text = with("server: { threads: '${THREADS}' }");
    let config = given(&text, OnUnset::Refuse, &[("THREADS", "3")]).expect("a configuration");
    assert_eq!(config.process.threads, 3);
}

#[test]
fn what_goes_with_a_placeholder_is_not_judged() {
    let text = "
services: { a: { stable: http://a, timeouts: { connect: '${T}' } } }
routes:
  - { path: '${P}', service: a, timeout: 20s }
  - { path: '${Q}', service: a }
flags:
  a.f: { rings: [{}], variants: [{ name: '${V}', weight: 50%, url: http://example.com }, { name: '${W}', weight: '${X}' }] }
canary_urls: { allow: ['${NET}'] }
identity: { anonymous: '${A}', anonymous_cookie: {} }
logging: { user_id: '${U}' }
";
    let config = given(text, OnUnset::StandIn, &[]).expect("a configuration");
    let unset = |d: &&crate::config::diagnostic::Diagnostic| d.message.contains("is not set");
    assert_eq!(
        config
            .warnings
            .iter()
            .filter(|d| !unset(d))
            .collect::<Vec<_>>(),
        Vec::<&_>::new()
    );
}

const UNSET: &str = "services:
  a: { stable: '${STABLE}', canaries: ['${FLAG}'], timeouts: { connect: '${T}' }, balance: '${B}' }
flags:
  a.b: { url: '${CANARY}', stickiness: '${S}', expires: '${E}', enabled: '${ON}', rings: [{ rollout: '${R}', segment: '${SEGMENT}', when: { userId: { semver_gte: '${V}' } } }] }
  a.c: { variants: [{ name: x, weight: '${W}' }, { name: y, weight: 10% }], rings: [{}] }
routes:
  - { service: '${SERVICE}', hosts: ['${H}'], path: '${P}', methods: ['${M}'], timeout: '${T}', expose: '${ON}' }
  - { redirect: { to: '${TO}', status: '${STATUS}' }, response_headers: { set: { x: '${X}' } } }
identity: { user_id: [{ header: '${NAME}', trust: '${TRUST}' }] }
listeners: ['${L}', '${L}']
admin: '${ADMIN}'
server: { threads: '${THREADS}', trusted_proxies: ['${NET}'] }
logging: { access: '${A}', sample: '${R}', hash_key: '${file:/no}' }
canary_urls: { allow: ['${NET}'] }
";

#[test]
fn check_puts_placeholders_in_that_cause_no_further_problems() {
    let config = given(UNSET, OnUnset::StandIn, &[]).expect("a configuration");
    for warning in config.warnings.iter() {
        let unset =
            warning.message.contains("is not set") || warning.message.contains("cannot be read");
        assert!(unset, "{warning:?}");
    }
    assert_eq!(config.warnings.len(), 32);
}

#[test]
fn run_refuses_what_is_unset() {
    let text = with("admin: ${ADMIN}\nlogging: { hash_key: '${file:/run/key}' }");
    insta::assert_snapshot!(given(&text, OnUnset::Refuse, &[]).expect_err("refused"), @r"
    error: the variable `ADMIN` is not set
     --> routes.yaml:3:8
      |
    3 | admin: ${ADMIN}
      |        ^^^^^^^^
      = hint: set it, or write `${ADMIN:-a default}`

    error: `/run/key` cannot be read: no such file
     --> routes.yaml:4:22
      |
    4 | logging: { hash_key: '${file:/run/key}' }
      |                      ^^^^^^^^^^^^^^^^^^

    routes.yaml: 2 errors
    ");
}

#[test]
fn malformed_insertions_are_errors() {
    insta::assert_snapshot!(check_with("admin: '${1X}'\nserver: { state_dir: 'a${B', threads: '${}' }"), @r"
    error: `1X` is not the name of a variable
     --> routes.yaml:3:8
      |
    3 | admin: '${1X}'
      |        ^^^^^^^
      = hint: `$${` stands for `${` itself

    error: `${` has no `}`
     --> routes.yaml:4:22
      |
    4 | server: { state_dir: 'a${B', threads: '${}' }
      |                      ^^^^^^
      = hint: `$${` stands for `${` itself

    error: `` is not the name of a variable
     --> routes.yaml:4:39
      |
    4 | server: { state_dir: 'a${B', threads: '${}' }
      |                                       ^^^^^
      = hint: `$${` stands for `${` itself

    routes.yaml: 3 errors
    ");
}

/// Wrong in every way in which a value can be wrong, so that every message that quotes a value is written.
#[test]
fn what_is_put_in_never_appears() {
    let secret = "s3cr3t value/..";
    let names = [
        "STABLE", "FLAG", "T", "B", "CANARY", "S", "E", "ON", "R", "SEGMENT", "V", "W", "SERVICE",
        "H", "P", "M", "TO", "STATUS", "X", "NAME", "TRUST", "L", "ADMIN", "THREADS", "NET", "A",
        "/no",
    ];
    let environment: Vec<(&'static str, &'static str)> =
        names.iter().map(|name| (*name, secret)).collect();
    let said = given(UNSET, OnUnset::Refuse, &environment).expect_err("refused");
    assert!(!said.contains("s3cr3t"), "{said}");
    assert!(
        said.contains("what stands for `${STABLE}` is not an upstream's URL"),
        "{said}"
    );
    let found = compile(
        UNSET,
        &Given(environment.into_iter().collect()),
        OnUnset::Refuse,
        NOW,
    )
    .expect_err("refused");
    assert!(found.len() > 20, "{said}");
    assert!(!format!("{found:?}").contains("s3cr3t"));
    assert!(!render::json("f", &found).to_string().contains("s3cr3t"));
}

#[test]
fn secrets_are_not_in_debug_output() {
    let text = with("logging: { user_id: hash, hash_key: '${KEY}' }");
    let config = given(
        &text,
        OnUnset::Refuse,
        &[("KEY", "0123456789abcdef-s3cr3t")],
    )
    .expect("a configuration");
    assert!(matches!(&config.logging.user_id, UserIdPolicy::Hash(key) if key.ends_with(b"s3cr3t")));
    assert!(!format!("{config:?}").contains("s3cr3t"));
}

#[test]
fn anchors_aliases_and_merge_keys() {
    let text = "
x-slow: &slow { connect: 3s, response: 60s }
services:
  a: { stable: http://127.0.0.1:1, timeouts: { <<: *slow, response: 5s } }
  b: { stable: http://127.0.0.1:2, timeouts: *slow }
  c: { stable: http://127.0.0.1:3, timeouts: { <<: [{ connect: 9s }, *slow] } }
routes: [{ service: a }]
";
    let config = config(text);
    let timeouts = config.services.iter().map(|service| {
        let upstream = &service.upstream;
        (
            upstream.connect_timeout.as_secs(),
            upstream.response_timeout.as_secs(),
        )
    });
    assert_eq!(timeouts.collect::<Vec<_>>(), [(3, 5), (3, 60), (9, 60)]);
}

#[test]
fn an_error_in_an_anchor_is_told_once() {
    insta::assert_snapshot!(check("x-t: &t { connect: soon }\nservices: { a: { stable: http://a, timeouts: *t }, b: { stable: http://b, timeouts: *t } }\nroutes: [{ service: a }]"), @r"
    error: `soon` is not a time limit
     --> routes.yaml:1:20
      |
    1 | x-t: &t { connect: soon }
      |                    ^^^^
      = hint: a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d

    routes.yaml: 1 error
    ");
}
