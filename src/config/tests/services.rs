//! `services`, and whose canary a flag is.

use super::{check, config};
use crate::cluster::Balance;

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
    assert_eq!(
        (c.upstream.retries, c.upstream.rescue_on_connect),
        (3, false)
    );
    assert_eq!(
        (d.upstream.retries, d.upstream.rescue_on_connect),
        (0, true)
    );
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
    warning: `serach.new` is a canary of no service: nobody is sent there
     --> routes.yaml:6:10
      |
    6 | flags: { serach.new: { url: http://127.0.0.1:2, rings: [{}] } }
      |          ^^^^^^^^^^
      = hint: name it in a service's `canaries`; without that key they are "<service>.*"

    routes.yaml: 1 warning
    "#);
}
