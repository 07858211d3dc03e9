//! `services`, and whose canary a flag is.

use std::time::Duration;

use super::{check, config};
use crate::capacity::LoadPolicy;
use crate::cluster::Balance;
use crate::cluster::policy::{HealthPolicy, OnLeave, OutlierPolicy, Probe, UpstreamPolicy};
use crate::cluster::recovery::RescuePolicy;

#[test]
fn a_service_is_a_url_or_says_more() {
    let config = config(
        "
services:
  a: http://127.0.0.1:1
  b: { stable: { url: h2c://b.example:2 }, balance: round_robin, preserve_host: false }
  c:
    stable: http://[::1]:3
    canaries: [c-*, d.*]
    timeouts: { connect: 250ms, response: 1m, idle: 1h }
    retries: { attempts: 3, on: [connect] }
    rescue: { on: [] }
  d: { stable: http://127.0.0.1:4, retries: { attempts: 3, on: [] } }
routes: [{ service: c }]
",
    );
    let [a, b, c, d] = config.services.as_slice() else {
        panic!("{:?}", config.services);
    };
    assert_eq!(
        (&*a.name, a.stable.as_ref()),
        ("a", "http://127.0.0.1:1".parse().ok().as_ref())
    );
    assert_eq!(b.stable, "h2c://b.example:2".parse().ok());
    assert_eq!(
        (b.upstream.balance, b.upstream.preserve_host),
        (Balance::RoundRobin, false)
    );
    let globs: Vec<&str> = c.canaries.iter().map(|glob| glob.as_str()).collect();
    assert_eq!(globs, ["c-*", "d.*"]);
    assert_eq!(c.upstream.connect_timeout.as_millis(), 250);
    assert_eq!(c.upstream.retries.attempts, 3);
    assert!(c.upstream.rescue.on.is_empty());
    assert_eq!(d.upstream.retries.attempts, 0);
    assert_eq!(d.upstream.rescue, RescuePolicy::default());
}

#[test]
fn what_becomes_of_streams_whose_users_leave_their_canary() {
    let streams = |stated: &str| {
        let text = "services: { a: { stable: http://127.0.0.1:1@ } }\nroutes: [{ service: a }]\n";
        let config = config(&text.replace('@', stated));
        let policy = config.services[0].upstream.streams;
        (policy.on_leave, policy.within.as_secs())
    };
    assert_eq!(streams(""), (OnLeave::Keep, 30));
    assert_eq!(
        streams(", streams: { on_leave: close }"),
        (OnLeave::Close, 30)
    );
    let stated = ", streams: { on_leave: close, within: 2m }";
    assert_eq!(streams(stated), (OnLeave::Close, 120));
    let wrong = "services: { a: { stable: http://127.0.0.1:1, streams: { on_leave: closed, within: 10ms } } }
routes: [{ service: a }]
";
    let told = check(wrong);
    for part in ["`closed`", "`close`", "`10ms`", "1s"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn how_much_a_service_may_be_given() {
    let config = config(
        "
services:
  a: http://127.0.0.1:1
  b:
    stable: http://127.0.0.1:2
    max_connections: 10
    max_requests: 20
    queue: { length: 0, wait: 250ms }
routes: [{ service: a }]
",
    );
    let [a, b] = config.services.as_slice() else {
        panic!("{:?}", config.services);
    };
    assert_eq!(a.upstream.load, LoadPolicy::default());
    let load = LoadPolicy {
        max_connections: Some(10),
        max_requests: Some(20),
        queue: 0,
        wait: Duration::from_millis(250),
    };
    assert_eq!(b.upstream.load, load);
    insta::assert_snapshot!(check("
services:
  a: { stable: http://127.0.0.1:1, max_requests: 0, max_connection: 7, queue: { length: many, wait: 0s } }
routes: [{ service: a }]
"), @r"
error: `0` is not a number that can stand here
 --> routes.yaml:3:50
  |
3 |   a: { stable: http://127.0.0.1:1, max_requests: 0, max_connection: 7, queue: { length: many, wait: 0s } }
  |                                                  ^
  = hint: a whole number from 1 to 10000000

error: unknown key `max_connection`
 --> routes.yaml:3:53
  |
3 |   a: { stable: http://127.0.0.1:1, max_requests: 0, max_connection: 7, queue: { length: many, wait: 0s } }
  |                                                     ^^^^^^^^^^^^^^
  = hint: did you mean `max_connections`?

error: `many` is not a number that can stand here
 --> routes.yaml:3:89
  |
3 |   a: { stable: http://127.0.0.1:1, max_requests: 0, max_connection: 7, queue: { length: many, wait: 0s } }
  |                                                                                         ^^^^
  = hint: a whole number from 0 to 100000

error: `0s` is not a time limit
 --> routes.yaml:3:101
  |
3 |   a: { stable: http://127.0.0.1:1, max_requests: 0, max_connection: 7, queue: { length: many, wait: 0s } }
  |                                                                                                     ^^
  = hint: a time limit is longer than 0

routes.yaml: 4 errors
");
}

#[test]
fn urls_have_a_scheme_and_no_path() {
    insta::assert_snapshot!(check("
services:
  a: 127.0.0.1:9001
  b: { stable: http://b.example/api }
  c: { stable: { url: http://u:p@c } }
  d: { stable: 'http://d:99999', timeouts: { connect: 0s } }
  e: {}
  f/g: http://f
routes: [{ service: a }]
"), @r#"
error: `127.0.0.1:9001` is not an upstream's URL
 --> routes.yaml:3:6
  |
3 |   a: 127.0.0.1:9001
  |      ^^^^^^^^^^^^^^
  = hint: an upstream is a URL such as http://name:8080

error: `http://b.example/api` is not an upstream's URL
 --> routes.yaml:4:16
  |
4 |   b: { stable: http://b.example/api }
  |                ^^^^^^^^^^^^^^^^^^^^
  = hint: an upstream URL has no path; use a route's rewrite

error: `http://u:p@c` is not an upstream's URL
 --> routes.yaml:5:23
  |
5 |   c: { stable: { url: http://u:p@c } }
  |                       ^^^^^^^^^^^^
  = hint: an upstream URL has no user name and no password

error: `http://d:99999` is not an upstream's URL
 --> routes.yaml:6:16
  |
6 |   d: { stable: 'http://d:99999', timeouts: { connect: 0s } }
  |                ^^^^^^^^^^^^^^^^
  = hint: "99999" is not a port (1 to 65535)

error: `0s` is not a time limit
 --> routes.yaml:6:55
  |
6 |   d: { stable: 'http://d:99999', timeouts: { connect: 0s } }
  |                                                       ^^
  = hint: a time limit is longer than 0

error: `stable` is missing
 --> routes.yaml:7:6
  |
7 |   e: {}
  |      ^^
  = hint: The stable deployment: its URL.

error: `f/g` cannot be the name of a service
 --> routes.yaml:8:3
  |
8 |   f/g: http://f
  |   ^^^
  = hint: ASCII letters, digits and any of ._-, beginning with a letter or digit

routes.yaml: 7 errors
"#);
}

#[test]
fn stable_may_be_left_out_only_where_a_flag_server_could_record_it() {
    let text = "services: { search: {} }\nroutes: [{ service: search }]\n";
    let server = "unleash: { url: 'http://127.0.0.1:4242/api', token: t }\n";
    let config = config(&format!("{text}{server}"));
    assert_eq!(config.services[0].stable, None);
    let globs: Vec<&str> = config.services[0]
        .canaries
        .iter()
        .map(|glob| glob.as_str())
        .collect();
    assert_eq!(globs, ["search.*"]);
    assert!(check(text).contains("`stable` is missing"));
    assert!(check(&format!("{text}unleash: []\n")).contains("`stable` is missing"));
}

#[test]
fn canaries_without_a_star_name_flags() {
    insta::assert_snapshot!(check("
services: { search: { stable: http://a, canaries: [search.ranker, search.rankr, other.*] } }
routes: [{ service: search }]
flags: { search.ranker: { url: http://127.0.0.1:2, rings: [{}] } }
"), @r"
error: there is no flag `search.rankr`
 --> routes.yaml:2:67
  |
2 | services: { search: { stable: http://a, canaries: [search.ranker, search.rankr, other.*] } }
  |                                                                   ^^^^^^^^^^^^
  = hint: did you mean `search.ranker`?

routes.yaml: 1 error
");
}

const TWO: &str = "
services:
  search: { stable: http://a, canaries: [\"search.*\"] }
  search-ui: { stable: http://b, canaries: [\"PATTERN\"] }
routes: [{ service: search }]
flags: { search.ui.new: { url: http://127.0.0.1:2, rings: [{}] } }
";

#[test]
fn a_flag_is_the_canary_of_one_service() {
    insta::assert_snapshot!(check(&TWO.replace("PATTERN", "search.*")), @r"
    error: `search.ui.new` is a canary of `search` and of `search-ui`
     --> routes.yaml:6:10
      |
    6 | flags: { search.ui.new: { url: http://127.0.0.1:2, rings: [{}] } }
      |          ^^^^^^^^^^^^^
      = hint: name it in the `canaries` of one of them

    routes.yaml: 1 error
    ");
    config(&TWO.replace("PATTERN", "search.ui.*"));
    config(&TWO.replace("PATTERN", "*"));
    config(&TWO.replace("PATTERN", "search.ui.new"));
}

#[test]
fn a_flag_of_no_service_is_pointed_out() {
    insta::assert_snapshot!(check(&TWO.replace("search.ui.new", "serach.new").replace("PATTERN", "search-ui.*")), @r#"
    warning: no route leads to `search-ui`
     --> routes.yaml:4:3
      |
    4 |   search-ui: { stable: http://b, canaries: ["search-ui.*"] }
      |   ^^^^^^^^^
      = hint: give it a route, or remove it

    warning: `serach.new` is a canary of no service: nobody is sent there
     --> routes.yaml:6:10
      |
    6 | flags: { serach.new: { url: http://127.0.0.1:2, rings: [{}] } }
      |          ^^^^^^^^^^
      = hint: name it in a service's `canaries`; without that key they are "<service>.*"

    routes.yaml: 2 warnings
    "#);
}

#[test]
fn health_and_outliers_are_as_the_contract_has_them() {
    let config = config(
        "
services:
  a: http://127.0.0.1:1
  b:
    stable: srv+http://_http._tcp.b.example
    balance: hash_user
    health: { path: '/healthz?deep=1', status: 204, interval: 1s, timeout: 250ms, unhealthy_after: 1, healthy_after: 4 }
    outlier: { consecutive_failures: 0, error_ratio: 0.5%, window: 1m, min_requests: 1, eject_for: 5s, max_ejected: 10% }
  c: { stable: http://c, health: {} }
  d: { stable: http://d, health: { type: http } }
  e: { stable: h2c://e, health: { type: grpc } }
routes: [{ service: a }]
",
    );
    let [a, b, c, d, e] = config.services.as_slice() else {
        panic!("{:?}", config.services);
    };
    assert_eq!(a.upstream, UpstreamPolicy::default());
    let seconds = Duration::from_secs;
    let outlier = OutlierPolicy {
        consecutive_failures: 5,
        error_ratio: "50%".parse().expect("a share"),
        window: seconds(10),
        min_requests: 20,
        eject_for: seconds(30),
        max_ejected: "50%".parse().expect("a share"),
    };
    assert_eq!(a.upstream.outlier, outlier);
    assert_eq!(b.stable, "srv+http://_http._tcp.b.example".parse().ok());
    assert_eq!(b.upstream.balance, Balance::HashUser);
    let health = |probe| HealthPolicy {
        probe,
        interval: seconds(5),
        timeout: seconds(2),
        unhealthy_after: 3,
        healthy_after: 2,
        tls: None,
    };
    let http = |path: &str, status| Probe::Http {
        path: path.into(),
        status,
    };
    let own = HealthPolicy {
        interval: seconds(1),
        timeout: Duration::from_millis(250),
        unhealthy_after: 1,
        healthy_after: 4,
        tls: None,
        ..health(http("/healthz?deep=1", Some(204)))
    };
    assert_eq!(b.upstream.health, Some(own));
    let outlier = OutlierPolicy {
        consecutive_failures: 0,
        error_ratio: "0.5%".parse().expect("a share"),
        window: seconds(60),
        min_requests: 1,
        eject_for: seconds(5),
        max_ejected: "10%".parse().expect("a share"),
    };
    assert_eq!(b.upstream.outlier, outlier);
    assert_eq!(c.upstream.health, Some(health(Probe::Tcp)));
    assert_eq!(d.upstream.health, Some(health(http("/", None))));
    assert_eq!(e.upstream.health, Some(health(Probe::Grpc)));
}

#[test]
fn what_health_cannot_be_is_said() {
    insta::assert_snapshot!(check("
services:
  a: { stable: http://a, health: { path: healthz, interval: 0s, status: 100 } }
  b: { stable: http://b, health: { type: tcp, path: / } }
  c: { stable: http://c, outlier: { error_ratio: 50, min_requests: 0 } }
  d: { stable: 'srv+http://d:80' }
routes: [{ service: a }]
"), @r"
error: `healthz` is not the path of a check
 --> routes.yaml:3:42
  |
3 |   a: { stable: http://a, health: { path: healthz, interval: 0s, status: 100 } }
  |                                          ^^^^^^^
  = hint: a path as in /healthz

error: `0s` is not a time limit
 --> routes.yaml:3:61
  |
3 |   a: { stable: http://a, health: { path: healthz, interval: 0s, status: 100 } }
  |                                                             ^^
  = hint: a time limit is longer than 0

error: `100` is not a number that can stand here
 --> routes.yaml:3:73
  |
3 |   a: { stable: http://a, health: { path: healthz, interval: 0s, status: 100 } }
  |                                                                         ^^^
  = hint: a whole number from 200 to 599

error: `path` means nothing in a check of type tcp
 --> routes.yaml:4:47
  |
4 |   b: { stable: http://b, health: { type: tcp, path: / } }
  |                                               ^^^^

error: `50` is not a percentage
 --> routes.yaml:5:50
  |
5 |   c: { stable: http://c, outlier: { error_ratio: 50, min_requests: 0 } }
  |                                                  ^^
  = hint: a percentage is a number followed by %, as in 5% or 0.25%

error: `0` is not a number that can stand here
 --> routes.yaml:5:68
  |
5 |   c: { stable: http://c, outlier: { error_ratio: 50, min_requests: 0 } }
  |                                                                    ^
  = hint: a whole number from 1 to 1000000

error: `srv+http://d:80` is not an upstream's URL
 --> routes.yaml:6:16
  |
6 |   d: { stable: 'srv+http://d:80' }
  |                ^^^^^^^^^^^^^^^^^
  = hint: srv+http:// is followed by the name of SRV records, which have the ports

routes.yaml: 7 errors
");
}

#[test]
fn upstreams_are_spoken_to_over_tls() {
    let config = config(
        "
services:
  search:
    stable:
      url: https://search.internal
      tls: { ca: ca.crt, sni: search, client_cert: c.crt, client_key: c.key }
    health: {}
  plain: http://127.0.0.1:1
routes: [{ service: search }]
",
    );
    let [search, plain] = &config.services[..] else {
        panic!("two services");
    };
    let tls = search.upstream.tls.as_ref().unwrap();
    assert_eq!(tls.ca.as_deref(), Some("ca.crt".as_ref()));
    assert_eq!(tls.client, Some(("c.crt".into(), "c.key".into())));
    assert_eq!((tls.sni.as_deref(), tls.verify), (Some("search"), true));
    assert_eq!(
        search.upstream.health.as_ref().unwrap().tls,
        Some(tls.clone())
    );
    let files: Vec<&str> = search.tls_files.iter().map(|file| &*file.key).collect();
    let under = |key| format!("services.search.stable.tls.{key}");
    assert_eq!(files, ["ca", "client_cert", "client_key"].map(under));
    assert!(plain.upstream.tls.is_none() && plain.tls_files.is_empty());
}

#[test]
fn what_is_odd_about_an_upstreams_tls_is_told() {
    insta::assert_snapshot!(check(
        "
services:
  a: { stable: { url: http://a:1, tls: { ca: ca.crt } } }
  b: { stable: { url: https://b, tls: { verify: false } } }
  c: { stable: { url: https://c, tls: { client_key: c.key } } }
routes: [{ service: a }]
"
    ));
}
