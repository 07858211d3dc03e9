//! Which keys requests are decided by: the table says it, and digest and snapshots go by it.

use super::{read, with};
use crate::config::Config;
use crate::config::keys::ROOT;
use crate::config::keys::shape::Scope;
use crate::config::keys::shape::Shape;

/// Every key that says of itself that it does not decide, by its section, and a value that is not its default.
const BESIDE: [(&str, &str, Scope); 20] = [
    (
        "attribution.receipts",
        "attribution: { receipts: { key: a-key-of-thirty-two-characters-x, cookie: r } }",
        Scope::Process,
    ),
    ("listeners", "listeners: [127.0.0.1:7]", Scope::Process),
    ("admin", "admin: 127.0.0.1:7", Scope::Process),
    ("server.threads", "server: { threads: 2 }", Scope::Process),
    (
        "server.state_dir",
        "server: { state_dir: ./other }",
        Scope::Process,
    ),
    (
        "server.shutdown_delay",
        "server: { shutdown_delay: 1s }",
        Scope::Process,
    ),
    (
        "server.shutdown_grace",
        "server: { shutdown_grace: 1s }",
        Scope::Process,
    ),
    (
        "server.ready_without_flags",
        "server: { ready_without_flags: 1s }",
        Scope::Process,
    ),
    (
        "server.snapshot_max_age",
        "server: { snapshot_max_age: 1s }",
        Scope::Process,
    ),
    (
        "server.removal_guard",
        "server: { removal_guard: 1s }",
        Scope::Process,
    ),
    (
        "server.limits",
        "server: { limits: { headers: 7 } }",
        Scope::Carried,
    ),
    (
        "server.timeouts",
        "server: { timeouts: { idle: 7s } }",
        Scope::Carried,
    ),
    ("logging", "logging: { level: debug }", Scope::Carried),
    (
        "tracing",
        "tracing: { otlp: 'http://otel:4318' }",
        Scope::Carried,
    ),
    ("registry", "registry: {}", Scope::Process),
    (
        "unleash",
        "unleash: { url: 'http://b', token: b }",
        Scope::Source,
    ),
    ("redis", "redis: { url: 'redis://b' }", Scope::Process),
    (
        "attribution.exposures",
        "attribution: { exposures: { users: plain } }",
        Scope::Process,
    ),
    (
        "attribution.sinks",
        "attribution: { sinks: [] }",
        Scope::Process,
    ),
    (
        "attribution.spool",
        "attribution: { spool: { max_age: 1h } }",
        Scope::Process,
    ),
];

/// Every other key at the top, and those of sections that decide in part.
const DECIDING: [(&str, &str); 7] = [
    ("attribution.lanes", "attribution: { lanes: ignore }"),
    ("flags", "flags: { a.f: { url: 'http://b', rings: [{}] } }"),
    ("segments", "segments: { s: { userId: u } }"),
    ("identity", "identity: { anonymous: sticky }"),
    ("canary_urls", "canary_urls: { allow: [10.0.0.0/8] }"),
    ("client_api", "client_api: { path: /api }"),
    (
        "server.trusted_proxies",
        "server: { trusted_proxies: [10.0.0.0/8] }",
    ),
];

fn compiled(more: &str) -> Config {
    read(&with(more)).unwrap_or_else(|found| panic!("{more}: {found:?}"))
}

/// The keys of the table that say how they are to be taken, with what they say.
fn stated() -> Vec<(String, Scope)> {
    let mut stated = Vec::new();
    for key in ROOT.map.iter().flat_map(|keys| keys.known) {
        let own = key.shape().and_then(|shape: Shape| shape.map);
        match (key.statement().scope, own) {
            (Scope::ByKey, Some(own)) => {
                let supported = own.known.iter().filter(|part| part.shape().is_some());
                stated.extend(supported.map(|part| {
                    let name = format!("{}.{}", key.name(), part.name());
                    (name, part.statement().scope)
                }));
            }
            (scope, _) if key.shape().is_some() => stated.push((key.name().to_owned(), scope)),
            _ => {}
        }
    }
    stated
}

#[test]
fn every_key_says_whether_it_decides() {
    let mut expected: Vec<(String, Scope)> = BESIDE
        .iter()
        .map(|(name, _, scope)| ((*name).to_owned(), *scope))
        .collect();
    let deciding = DECIDING.iter().map(|(name, _)| *name);
    let deciding = deciding.chain(["services", "routes"]);
    expected.extend(deciding.map(|name| (name.to_owned(), Scope::Decides)));
    let mut stated = stated();
    stated.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(stated, expected);
}

#[test]
fn what_does_not_decide_is_not_in_the_digest() {
    let nothing = compiled("");
    for (name, more, scope) in BESIDE {
        let config = compiled(more);
        let same = (
            config.digest == nothing.digest,
            config.carries_the_same(&nothing),
        );
        let expected = match scope {
            Scope::Process => (true, true),
            Scope::Carried => (true, false),
            // A source is in the digest by its name.
            Scope::Source => (false, true),
            Scope::Decides | Scope::ByKey => panic!("{name} decides"),
        };
        assert_eq!(same, expected, "{name}");
    }
    let elsewhere = compiled("unleash: { url: 'http://c', token: c, poll: 1s }");
    let here = compiled("unleash: { url: 'http://b', token: b }");
    assert_eq!(elsewhere.digest, here.digest);
}

#[test]
fn what_decides_is_in_the_digest() {
    let nothing = compiled("");
    for (name, more) in DECIDING {
        let config = compiled(more);
        assert_ne!(config.digest, nothing.digest, "{name}");
        assert!(config.carries_the_same(&nothing), "{name}");
    }
    for changed in [
        with("").replace("9001", "9002"),
        with("").replace("service: a", "service: a, expose: true"),
    ] {
        let config = read(&changed).expect("a configuration");
        assert_ne!(config.digest, nothing.digest, "{changed}");
    }
}
