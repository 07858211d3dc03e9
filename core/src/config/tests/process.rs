//! `listeners`, `admin`, `server`, `logging` and `canary_urls`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{check_with, config, with};
use crate::config::admin::AdminConfig;
use crate::config::listener::ListenerConfig;
use crate::config::tls::{ClientAuth, TlsVersion};
use crate::config::{AccessPolicy, Level, LogFormat, Traffic, UserIdPolicy};
use crate::flag::Share;
use crate::host::HostPattern;
use crate::request::limits::RequestLimits;
use crate::request::pace::BodyRate;

#[test]
fn the_process_is_compiled() {
    let config = config(&with(
        "
listeners: [127.0.0.1:0, 127.0.0.1:0, { address: '[::1]:8080' }]
admin: { address: 127.0.0.1:0 }
server: { threads: 4, state_dir: /var/lib/serin, shutdown_delay: 0s, shutdown_grace: 1m }
logging: { level: warn, format: text, access: all, user_id: plain }
",
    ));
    let process = &config.process;
    assert_eq!(process.listeners.len(), 3);
    assert_eq!((process.threads, process.shutdown_grace.as_secs()), (4, 60));
    assert!(process.shutdown_delay.is_zero());
    let logging = &config.logging;
    assert_eq!(
        (logging.level, logging.format),
        (Level::Warn, LogFormat::Text)
    );
    assert_eq!(
        (logging.access, &logging.user_id),
        (AccessPolicy::All, &UserIdPolicy::Plain)
    );
    assert!(logging.expose_request_id);
    let quiet = super::config(&with("logging: { expose_request_id: false }")).logging;
    assert!(!quiet.expose_request_id);
    assert_eq!(quiet.user_id, UserIdPolicy::HashUnderOwnKey);
    let sampled = super::config(&with("logging: { sample: 0.5% }"))
        .logging
        .access;
    assert_eq!(Some(sampled), Share::new(50).map(AccessPolicy::Sampled));
}

#[test]
fn what_clients_may_take_is_compiled() {
    let default = config(&with("server: {}")).traffic;
    assert_eq!(default, Traffic::default());
    let traffic = config(&with(
        "
server:
  limits: { header_bytes: 2KiB, headers: 10, body_bytes: 10MiB, connections: 7, connections_per_client: 5,
    streams_per_client: 6, streams_per_connection: 4, requests_per_connection: 3 }
  timeouts: { header_read: 1s, idle: 2s, body_read: 3s, body_rate: 2KiB/s over 5s, write: 250ms }
",
    ))
    .traffic;
    let expected = Traffic {
        request: RequestLimits {
            header_bytes: 2048,
            headers: 10,
            body_bytes: Some(10 << 20),
        },
        connections: Some(7),
        connections_per_client: Some(5),
        streams_per_client: 6,
        streams_per_connection: 4,
        requests_per_connection: 3,
        header_read: Duration::from_secs(1),
        idle: Duration::from_secs(2),
        body_read: Duration::from_secs(3),
        body_rate: Some(BodyRate {
            bytes: 2048,
            over: Duration::from_secs(5),
        }),
        write: Duration::from_millis(250),
    };
    assert_eq!(traffic, expected);
    let none = config(&with("server: { limits: { body_bytes: none } }"));
    assert_eq!(none.traffic, default);
    assert_eq!(none.digest, config(&with("server: {}")).digest);
}

#[test]
fn how_fast_a_body_has_to_come() {
    let rate = |text: &str| {
        let server = format!("server: {{ timeouts: {{ body_rate: {text} }} }}");
        config(&with(&server)).traffic.body_rate
    };
    let over = Duration::from_secs(10);
    assert_eq!(rate("none"), None);
    assert_eq!(rate("512B/s"), Some(BodyRate { bytes: 512, over }));
    for wrong in ["1KiB", "0B/s", "1KiB/s over 0s", "1KiB/s over", "fast"] {
        let told = check_with(&format!("server: {{ timeouts: {{ body_rate: {wrong} }} }}"));
        assert!(told.contains(&format!("`{wrong}` is not a rate")), "{told}");
    }
}

#[test]
fn what_is_wrong_with_what_clients_may_take() {
    insta::assert_snapshot!(check_with("
server:
  limits: { header_bytes: 2MiB, headers: 1000, body_bytes: no, connections: 0, header_byte: 1KiB }
  timeouts: { idle: 0s, write: 5 }
"), @r"
error: `2MiB` is not a size that can stand here
 --> routes.yaml:5:27
  |
5 |   limits: { header_bytes: 2MiB, headers: 1000, body_bytes: no, connections: 0, header_byte: 1KiB }
  |                           ^^^^
  = hint: from 1KiB to 1MiB

error: `1000` is not a number that can stand here
 --> routes.yaml:5:42
  |
5 |   limits: { header_bytes: 2MiB, headers: 1000, body_bytes: no, connections: 0, header_byte: 1KiB }
  |                                          ^^^^
  = hint: a whole number from 1 to 256

error: `no` is not a size that can stand here
 --> routes.yaml:5:60
  |
5 |   limits: { header_bytes: 2MiB, headers: 1000, body_bytes: no, connections: 0, header_byte: 1KiB }
  |                                                            ^^
  = hint: a size is a whole number and a unit, as in 64KiB, 10MiB or 1GiB

error: `0` is not a number that can stand here
 --> routes.yaml:5:77
  |
5 |   limits: { header_bytes: 2MiB, headers: 1000, body_bytes: no, connections: 0, header_byte: 1KiB }
  |                                                                             ^
  = hint: a whole number from 1 to 10000000

error: unknown key `header_byte`
 --> routes.yaml:5:80
  |
5 |   limits: { header_bytes: 2MiB, headers: 1000, body_bytes: no, connections: 0, header_byte: 1KiB }
  |                                                                                ^^^^^^^^^^^
  = hint: did you mean `header_bytes`?

error: `0s` is not a time limit
 --> routes.yaml:6:21
  |
6 |   timeouts: { idle: 0s, write: 5 }
  |                     ^^
  = hint: a time limit is longer than 0

error: `5` is not a time limit
 --> routes.yaml:6:32
  |
6 |   timeouts: { idle: 0s, write: 5 }
  |                                ^
  = hint: a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d

routes.yaml: 7 errors
");
}

#[test]
fn what_is_wrong_with_the_process() {
    insta::assert_snapshot!(check_with("
listeners: [8080, localhost:80, 127.0.0.1:1, { address: 127.0.0.1:1 }, {}]
admin: 0.0.0.0:9900
server: { threads: 5000, state_dir: '', trusted_proxies: [0.0.0.0/0, proxy] }
canary_urls: { allow: [10.0.0.0/99, 1.2.3, 'http://x', 169.254.0.0/16, '*'] }
"), @r"
error: `8080` is not an address to listen on
 --> routes.yaml:4:13
  |
4 | listeners: [8080, localhost:80, 127.0.0.1:1, { address: 127.0.0.1:1 }, {}]
  |             ^^^^
  = hint: for every address write 0.0.0.0:8080

error: `localhost:80` is not an address to listen on
 --> routes.yaml:4:19
  |
4 | listeners: [8080, localhost:80, 127.0.0.1:1, { address: 127.0.0.1:1 }, {}]
  |                   ^^^^^^^^^^^^
  = hint: an IP address and a port, as in 127.0.0.1:8080 or [::]:8080

error: this address is listened on already
 --> routes.yaml:4:57
  |
4 | listeners: [8080, localhost:80, 127.0.0.1:1, { address: 127.0.0.1:1 }, {}]
  |                                                         ^^^^^^^^^^^

error: `address` is missing
 --> routes.yaml:4:72
  |
4 | listeners: [8080, localhost:80, 127.0.0.1:1, { address: 127.0.0.1:1 }, {}]
  |                                                                        ^^
  = hint: Address and port, as in 0.0.0.0:8080.

error: `5000` is not a number that can stand here
 --> routes.yaml:6:20
  |
6 | server: { threads: 5000, state_dir: '', trusted_proxies: [0.0.0.0/0, proxy] }
  |                    ^^^^
  = hint: a whole number from 0 to 1024

error: a name is not empty
 --> routes.yaml:6:37
  |
6 | server: { threads: 5000, state_dir: '', trusted_proxies: [0.0.0.0/0, proxy] }
  |                                     ^^

error: `proxy` is not a network
 --> routes.yaml:6:70
  |
6 | server: { threads: 5000, state_dir: '', trusted_proxies: [0.0.0.0/0, proxy] }
  |                                                                      ^^^^^
  = hint: a network is written as in 10.0.0.0/8 or fd00::/8, an address as 192.0.2.7

error: `10.0.0.0/99` is not a network or a host name
 --> routes.yaml:7:24
  |
7 | canary_urls: { allow: [10.0.0.0/99, 1.2.3, 'http://x', 169.254.0.0/16, '*'] }
  |                        ^^^^^^^^^^^
  = hint: as in 10.0.0.0/8, api.example.com or *.svc.cluster.local

error: `1.2.3` is not a network or a host name
 --> routes.yaml:7:37
  |
7 | canary_urls: { allow: [10.0.0.0/99, 1.2.3, 'http://x', 169.254.0.0/16, '*'] }
  |                                     ^^^^^
  = hint: as in 10.0.0.0/8, api.example.com or *.svc.cluster.local

error: `http://x` is not a network or a host name
 --> routes.yaml:7:44
  |
7 | canary_urls: { allow: [10.0.0.0/99, 1.2.3, 'http://x', 169.254.0.0/16, '*'] }
  |                                            ^^^^^^^^^^
  = hint: as in 10.0.0.0/8, api.example.com or *.svc.cluster.local

error: `*` is not a network or a host name
 --> routes.yaml:7:72
  |
7 | canary_urls: { allow: [10.0.0.0/99, 1.2.3, 'http://x', 169.254.0.0/16, '*'] }
  |                                                                        ^^^
  = hint: as in 10.0.0.0/8, api.example.com or *.svc.cluster.local

warning: every client counts as a trusted proxy
 --> routes.yaml:6:59
  |
6 | server: { threads: 5000, state_dir: '', trusted_proxies: [0.0.0.0/0, proxy] }
  |                                                           ^^^^^^^^^
  = hint: name the networks that your proxies are in

warning: link-local, metadata and multicast addresses never are allowed
 --> routes.yaml:7:56
  |
7 | canary_urls: { allow: [10.0.0.0/99, 1.2.3, 'http://x', 169.254.0.0/16, '*'] }
  |                                                        ^^^^^^^^^^^^^^

routes.yaml: 11 errors, 2 warnings
");
    insta::assert_snapshot!(check_with("listeners: []\nadmin: 127.0.0.1:1\ncanary_urls: {}"), @r#"
    error: there is no listener
     --> routes.yaml:3:12
      |
    3 | listeners: []
      |            ^^
      = hint: without the key there is one, 0.0.0.0:8080

    routes.yaml: 1 error
    "#);
}

#[test]
fn what_is_wrong_with_the_ports_and_schemes_of_canaries() {
    insta::assert_snapshot!(check_with(
        "canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }"
    ), @r"
    error: `0` is not a port or a range of ports
     --> routes.yaml:3:24
      |
    3 | canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }
      |                        ^
      = hint: a number from 1 to 65535, or two as in 1024-65535

    error: `80-` is not a port or a range of ports
     --> routes.yaml:3:27
      |
    3 | canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }
      |                           ^^^
      = hint: a number from 1 to 65535, or two as in 1024-65535

    error: `90-80` is not a port or a range of ports
     --> routes.yaml:3:32
      |
    3 | canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }
      |                                ^^^^^
      = hint: a number from 1 to 65535, or two as in 1024-65535

    error: `+1` is not a port or a range of ports
     --> routes.yaml:3:39
      |
    3 | canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }
      |                                       ^^^^
      = hint: a number from 1 to 65535, or two as in 1024-65535

    error: `1-70000` is not a port or a range of ports
     --> routes.yaml:3:45
      |
    3 | canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }
      |                                             ^^^^^^^
      = hint: a number from 1 to 65535, or two as in 1024-65535

    error: `web` is not a port or a range of ports
     --> routes.yaml:3:54
      |
    3 | canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }
      |                                                      ^^^
      = hint: a number from 1 to 65535, or two as in 1024-65535

    error: `htps` is not known here
     --> routes.yaml:3:76
      |
    3 | canary_urls: { ports: [0, 80-, 90-80, '+1', 1-70000, web], schemes: [http, htps] }
      |                                                                            ^^^^
      = hint: did you mean `https`?

    routes.yaml: 7 errors
    ");
    insta::assert_snapshot!(check_with("canary_urls: { ports: [], schemes: [] }"), @r"
    error: an empty list would allow none at all
     --> routes.yaml:3:23
      |
    3 | canary_urls: { ports: [], schemes: [] }
      |                       ^^
      = hint: leave the key out, or list what is allowed

    error: an empty list would allow none at all
     --> routes.yaml:3:36
      |
    3 | canary_urls: { ports: [], schemes: [] }
      |                                    ^^
      = hint: leave the key out, or list what is allowed

    routes.yaml: 2 errors
    ");
}

#[test]
fn ports_and_schemes_of_canaries_are_compiled() {
    let policy = config(&with(
        "canary_urls: { ports: [443, 8000-8100], schemes: [h2c] }",
    ))
    .canary_urls;
    let whole = config(&with("server: {}")).canary_urls;
    for (url, stated, default) in [
        ("h2c://127.0.0.1:443", true, true),
        ("h2c://127.0.0.1:8100", true, true),
        ("h2c://127.0.0.1:8101", false, true),
        ("http://127.0.0.1:443", false, true),
        // What a URL leaves out is its scheme's.
        ("h2c://127.0.0.1", false, true),
        ("http://127.0.0.1:22", false, false),
        ("http://127.0.0.1:1023", false, false),
        ("http://127.0.0.1:1024", false, true),
        ("http://127.0.0.1:65535", false, true),
        ("http://name.test:6379", false, true),
        ("http://name.test:79", false, false),
        ("srv+http://name.test", false, true),
    ] {
        let url = url.parse().unwrap();
        let found = (policy.check(&url).is_ok(), whole.check(&url).is_ok());
        assert_eq!(found, (stated, default), "{url}");
    }
}

#[test]
fn the_admin_listeners_are_compiled() {
    let admin = |text: &str| config(&with(text)).process.admin;
    let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
    assert_eq!(
        admin("admin: 0.0.0.0:9900"),
        AdminConfig::at(address("0.0.0.0:9900"))
    );
    let whole = "admin: { address: ['127.0.0.1:9900', '[::1]:9900'], probes: '0.0.0.0:9901', hosts: [a.b, '*.c'] }";
    let expected = AdminConfig {
        addresses: vec![address("127.0.0.1:9900"), address("[::1]:9900")],
        probes: vec![address("0.0.0.0:9901")],
        hosts: vec![
            HostPattern::Exact("a.b".into()),
            HostPattern::Wildcard("c".into()),
        ],
        tls: None,
        tokens: Arc::default(),
    };
    assert_eq!(admin(whole), expected);
    let probes = admin("admin: { probes: ['0.0.0.0:9901', '[::1]:0'] }");
    assert_eq!(probes.addresses, [address("127.0.0.1:9900")]);
    assert_eq!(probes.probes.len(), 2);
}

#[test]
fn what_is_wrong_with_the_admin_listeners() {
    insta::assert_snapshot!(check_with("
listeners: [0.0.0.0:80]
admin: { address: [127.0.0.1:80, 10.0.0.5:9900], probes: ['[::]:9900', nowhere], hosts: ['*', http://a], token: x }
"), @r"
error: this address is listened on already
 --> routes.yaml:5:20
  |
5 | admin: { address: [127.0.0.1:80, 10.0.0.5:9900], probes: ['[::]:9900', nowhere], hosts: ['*', http://a], token…
  |                    ^^^^^^^^^^^^

error: this address is listened on already
 --> routes.yaml:5:59
  |
5 | …[127.0.0.1:80, 10.0.0.5:9900], probes: ['[::]:9900', nowhere], hosts: ['*', http://a], token: x }
  |                                          ^^^^^^^^^^^

error: `nowhere` is not an address to listen on
 --> routes.yaml:5:72
  |
5 | …, 10.0.0.5:9900], probes: ['[::]:9900', nowhere], hosts: ['*', http://a], token: x }
  |                                          ^^^^^^^
  = hint: an IP address and a port, as in 127.0.0.1:8080 or [::]:8080

error: `*` is not a host
 --> routes.yaml:5:90
  |
5 | …probes: ['[::]:9900', nowhere], hosts: ['*', http://a], token: x }
  |                                          ^^^
  = hint: for every host leave `hosts` out

error: `http://a` is not a host
 --> routes.yaml:5:95
  |
5 | …s: ['[::]:9900', nowhere], hosts: ['*', http://a], token: x }
  |                                          ^^^^^^^^
  = hint: a host is written without scheme and port

error: unknown key `token`
 --> routes.yaml:5:106
  |
5 | …900', nowhere], hosts: ['*', http://a], token: x }
  |                                          ^^^^^
  = hint: did you mean `tokens`?

routes.yaml: 6 errors
");
    insta::assert_snapshot!(check_with("admin: { address: 10.0.0.5:9900 }"), @r"
warning: nobody can use the API: without `admin.tokens`, at an address that is not loopback only /livez, /readyz and /metrics answer
 --> routes.yaml:3:19
  |
3 | admin: { address: 10.0.0.5:9900 }
  |                   ^^^^^^^^^^^^^
  = hint: add `tokens`, or 127.0.0.1:9900 for callers on this machine

routes.yaml: 1 warning
");
    insta::assert_snapshot!(check_with("admin: { address: [], tls: {} }"), @r"
error: there is no address
 --> routes.yaml:3:19
  |
3 | admin: { address: [], tls: {} }
  |                   ^^
  = hint: an IP address and a port, as in 127.0.0.1:9900

error: `certificates` is missing
 --> routes.yaml:3:28
  |
3 | admin: { address: [], tls: {} }
  |                            ^^
  = hint: Certificates with their keys, chosen by the name that a client asks for; the first is for clients that ask for none of them.

routes.yaml: 2 errors
");
}

#[test]
fn what_is_odd_about_logging_is_a_warning() {
    insta::assert_snapshot!(check_with("logging: { user_id: hash, access: all, sample: 5% }"), @r#"
    warning: `sample` means nothing without `access: sampled`
     --> routes.yaml:3:48
      |
    3 | logging: { user_id: hash, access: all, sample: 5% }
      |                                                ^^

    routes.yaml: 1 warning
    "#);
    insta::assert_snapshot!(check_with("logging: { user_id: omit, hash_key: short }"), @r"
    warning: `hash_key` means nothing without `user_id: hash`
     --> routes.yaml:3:37
      |
    3 | logging: { user_id: omit, hash_key: short }
      |                                     ^^^^^

    routes.yaml: 1 warning
    ");
    insta::assert_snapshot!(check_with("logging: { hash_key: short }"), @r"
    warning: this key has fewer than 16 characters and can be guessed
     --> routes.yaml:3:22
      |
    3 | logging: { hash_key: short }
      |                      ^^^^^

    routes.yaml: 1 warning
    ");
}

#[test]
fn listeners_say_how_they_are_spoken_to() {
    let config = config(&with(
        "
server: { trusted_proxies: [10.0.0.0/8] }
listeners:
  - 127.0.0.1:0
  - address: 127.0.0.1:8443
    tls:
      certificates: [{ cert: a.crt, key: a.key }]
      client_ca: ca.crt
      client_auth: optional
      min_version: 1.3
      ticket_key: a-secret-of-32-characters-at-least
    proxy_protocol: true
    http2: false
",
    ));
    let listeners = &config.process.listeners;
    assert_eq!(listeners[0], ListenerConfig::at(([127, 0, 0, 1], 0).into()));
    let listener = &listeners[1];
    assert_eq!((listener.proxy_protocol, listener.http2), (true, false));
    let tls = listener.tls.as_ref().unwrap();
    assert_eq!(
        (tls.client_auth, tls.min_version),
        (ClientAuth::Optional, TlsVersion::Tls13)
    );
    let files: Vec<&str> = tls.all().map(|file| &*file.key).collect();
    assert_eq!(
        files,
        [
            "listeners.1.tls.certificates.0.cert",
            "listeners.1.tls.certificates.0.key",
            "listeners.1.tls.client_ca",
        ]
    );
    assert!(!format!("{tls:?}").contains("a-secret"), "{tls:?}");
}

#[test]
fn what_a_listener_lacks_is_told() {
    insta::assert_snapshot!(check_with("listeners:
  - { address: 127.0.0.1:1, proxy_protocol: true }
  - { address: 127.0.0.1:2, tls: { certificates: [] } }
  - { address: 127.0.0.1:3, tls: { certificates: [{ cert: a.crt, key: a.key }], client_auth: optional } }
  - { address: 127.0.0.1:4, tls: { certificates: [{ cert: a.crt, key: a.key }], ticket_key: short, min_version: 1.1 } }
"));
}
