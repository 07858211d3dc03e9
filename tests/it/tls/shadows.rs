//! Shadows that are spoken to over TLS.

use std::fs;

use super::upstreams::Front;
use crate::harness::authority::Authority;
use crate::harness::{Gateway, Origin, get};

fn config(stable: &Front, shadow: &Front, ca: &str) -> String {
    format!(
        "
services:
  search:
    stable: {{ url: 'https://localhost:{}', tls: {{ ca: {ca} }} }}
    mirror: {{ to: search.shadow }}
flags: {{ search.shadow: {{ url: 'https://localhost:{}' }} }}
routes: [{{ path: /, service: search }}]
",
        stable.port(),
        shadow.port()
    )
}

#[tokio::test]
async fn a_shadow_over_tls_is_who_its_authority_says() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("own", &["localhost"]);
    other.issue("foreign", &["localhost"]);
    let (stable, shadow) = (Origin::start("stable").await, Origin::start("shadow").await);
    let before_stable = Front::start(&stable, &authority, "own", false).await;
    for (from, file, result) in [
        (&authority, "own", "answered"),
        (&other, "foreign", "failed"),
    ] {
        let front = Front::start(&shadow, from, file, false).await;
        let config = config(&before_stable, &front, &authority.path("ca.crt"));
        let gateway = Gateway::start(config).await;
        gateway.send(get("/")).await.assert_from("stable");
        gateway
            .await_metric("serin_mirror_total", &[("result", result)], 1.0)
            .await;
    }
    assert_eq!(shadow.count(), 1);
    assert_eq!(shadow.last().host, stable.last().host);
}

#[tokio::test]
async fn no_copy_goes_over_a_connection_that_other_authorities_vouched_for() {
    let (one, two) = (Authority::new(), Authority::new());
    one.issue("shadow", &["localhost"]);
    two.issue("stable", &["localhost"]);
    let [of_one, of_two] = [&one, &two].map(|authority| {
        let path = authority.path("ca.crt");
        fs::read_to_string(path).expect("an authority")
    });
    let bundle = two.path("bundle.crt");
    fs::write(&bundle, of_one + &of_two).expect("a file");
    let (stable, shadow) = (Origin::start("stable").await, Origin::start("shadow").await);
    let before_stable = Front::start(&stable, &two, "stable", false).await;
    let before_shadow = Front::start(&shadow, &one, "shadow", false).await;
    let config = config(&before_stable, &before_shadow, &bundle);
    let gateway = Gateway::start(config).await;
    let results = async |result: &str, count: u32| {
        let labels = [("result", result)];
        let name = "serin_mirror_total";
        gateway.await_metric(name, &labels, count.into()).await;
    };
    for count in 1..=2 {
        gateway.send(get("/")).await.assert_from("stable");
        results("answered", count).await;
    }
    assert_eq!(shadow.connections(), 1, "it rests");
    fs::write(&bundle, of_two).expect("a file");
    gateway
        .await_log("other certificates are in use for upstreams")
        .await;
    for count in 1..=2 {
        gateway.send(get("/")).await.assert_from("stable");
        results("failed", count).await;
    }
    assert_eq!(shadow.count(), 2);
}
