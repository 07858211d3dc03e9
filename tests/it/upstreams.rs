//! Where users may be led: never to the gateway's own listeners or metadata addresses, and by a flag server only where
//! `canary_urls` allows, at whatever a name leads to now.

mod moving;
mod spellings;

use std::net::Ipv4Addr;

use serde_json::json;

use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::{
    Dns, FaultProxy, Gateway, Lookup, Origin, Protocol, Setup, eventually, fill, get, post,
    run_serin,
};

const CONFIG: &str = "
services:
  search: { stable: @stable }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// What a request would ask of the admin API if it got there.
const ASKED: [&str; 2] = ["/api/v1/status", "/metrics"];
const KILL: &str = "/api/v1/services/search/canaries/search.v2/kill";

/// Local flags that lead one user each to one of these URLs.
fn flags(urls: &[String]) -> String {
    let flag = |(number, url): (usize, &String)| {
        format!(
            "  search.to{number}: {{ url: '{url}', rings: [{{ name: one, when: {{ userId: [u{number}] }} }}] }}\n"
        )
    };
    let flags: String = urls.iter().enumerate().map(flag).collect();
    format!("flags:\n{flags}")
}

async fn await_refusals(gateway: &Gateway, wanted: usize) -> String {
    eventually("the refusals in the status", || async {
        let warnings = gateway.status().await["warnings"].clone();
        let list = warnings.as_array().cloned().unwrap_or_default();
        let refusals = list
            .iter()
            .filter(|one| one.to_string().contains("is not connected to"));
        (refusals.count() >= wanted).then(|| warnings.to_string())
    })
    .await
}

#[tokio::test]
async fn its_own_listeners_are_no_upstream_whoever_names_them_and_however() {
    let stable = Origin::start("stable").await;
    let server = FlagServer::start().await;
    let config = fill(CONFIG, [&stable]) + &server.config("");
    let dns = Dns::start().await;
    let loopback = Lookup::address(Ipv4Addr::LOCALHOST);
    dns.set("own.test", loopback);
    let gateway = Setup::new(config.clone()).dns(&dns).start().await;
    let ports = [gateway.admin_address().port(), gateway.address().port()];
    let forms = |port: u16| {
        let hosts = [
            "127.0.0.1",
            "localhost",
            "own.test",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
        ];
        hosts.map(|host| format!("http://{host}:{port}"))
    };
    let urls: Vec<String> = ports.into_iter().flat_map(forms).collect();
    // The file may name everything else; it may not name these.
    gateway.rewrite_config(&(config.clone() + &flags(&urls)));
    let warnings = await_refusals(&gateway, urls.len()).await;
    assert!(
        warnings.contains("a listener of this gateway's own"),
        "{warnings}"
    );
    for user in 0..urls.len() {
        for path in ASKED {
            let call = get(path).user(&format!("u{user}")).host("localhost");
            let answer = gateway.send(call).await;
            answer.assert_from("stable");
            let decision = answer.header("x-serin-decision").expect("a decision");
            // `localhost` may be an IPv6 address, too, where nobody listens.
            let causes = [r#"cause="unhealthy""#, r#"cause="connect""#];
            let is_refused = causes.iter().any(|cause| decision.contains(cause));
            assert!(is_refused, "{decision}");
        }
    }
    gateway.rewrite_config(&config);
    no_payload_leads_there(&gateway, &server, &urls).await;
    // Stable neither: then there is no answer but the gateway's own.
    let admin = format!("http://{}", gateway.admin_address());
    gateway.rewrite_config(&config.replace(&stable.url(), &admin));
    eventually("no upstream", || async {
        let call = get("/api/v1/status").host("localhost");
        (gateway.send(call).await.status == 503).then_some(())
    })
    .await;
}

/// A flag server's flag may name them no more than the file may.
async fn no_payload_leads_there(gateway: &Gateway, server: &FlagServer, urls: &[String]) {
    for url in urls {
        let generation = gateway.generation().await;
        server.put([feature("search.v2", url, true)]);
        gateway.await_generation(generation + 1).await;
        eventually("its refusal", || async {
            let warnings = gateway.status().await["warnings"].to_string();
            warnings.contains("search.v2").then_some(())
        })
        .await;
        gateway
            .send(get("/").user("u1").host("localhost"))
            .await
            .assert_from("stable");
        gateway
            .send(post(KILL, "").user("u1").host("localhost"))
            .await
            .assert_from("stable");
    }
    let service = gateway.admin("/api/v1/services/search").await.json();
    assert_eq!(service["kills"], json!([]), "{service:#}");
}

#[tokio::test]
async fn a_payloads_name_gets_users_only_while_it_leads_where_it_may() {
    let stable = Origin::start("stable").await;
    let ip = Ipv4Addr::new(127, 0, 0, 2).into();
    let canary = Origin::start_on("canary", Protocol::Http1, ip, 0).await;
    let server = FlagServer::start().await;
    server.put([feature(
        "search.v2",
        &format!("http://moving.test:{}", canary.port()),
        true,
    )]);
    let dns = Dns::start().await;
    dns.set("moving.test", Lookup::address(ip));
    let config = fill(CONFIG, [&stable]) + &server.config("");
    let gateway = Setup::new(config.clone()).dns(&dns).start().await;
    let await_from = async |origin: &str| {
        eventually(&format!("answers from {origin}"), || async {
            let answer = gateway.get_as("u1", "/").await;
            answer.assert_from_any(&["stable", "canary"]);
            (answer.origin() == origin).then_some(())
        })
        .await;
    };
    // By default any name that leads to a private or loopback address.
    await_from("canary").await;
    for public in ["192.0.2.1", "8.8.8.8", "169.254.169.254", "100.100.100.200"] {
        dns.set(
            "moving.test",
            Lookup::address(public.parse::<Ipv4Addr>().expect("an address")),
        );
        await_from("stable").await;
        let warnings = await_refusals(&gateway, 1).await;
        assert!(warnings.contains(public), "{warnings}");
        dns.set("moving.test", Lookup::address(ip));
        await_from("canary").await;
    }
    // What is allowed may change while the address stays.
    let narrow = "canary_urls: { allow: [127.0.0.3, '*.test'] }\n";
    gateway.rewrite_config(&(config.clone() + narrow));
    await_from("stable").await;
    dns.set("moving.test", Lookup::address(Ipv4Addr::LOCALHOST));
    dns.await_asked("moving.test", 4).await;
    await_from("stable").await;
    let wide = "canary_urls: { allow: [127.0.0.2, '*.test'] }\n";
    dns.set("moving.test", Lookup::address(ip));
    gateway.rewrite_config(&(config + wide));
    await_from("canary").await;
}

#[tokio::test]
async fn what_the_file_itself_names_is_trusted_like_stable() {
    let stable = Origin::start("stable").await;
    let canary = Origin::start("canary").await;
    let dns = Dns::start().await;
    dns.set("search-v2", Lookup::address(canary.address().ip()));
    let url = format!("http://search-v2:{}", canary.port());
    let narrow = "canary_urls: { allow: [192.0.2.0/24] }\n";
    let config = fill(CONFIG, [&stable]) + narrow + &flags(&[url]);
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("routes.yaml");
    std::fs::write(&file, &config).expect("a file");
    let checked = run_serin([std::ffi::OsStr::new("check"), file.as_os_str()]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned()
        + &String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && !said.contains("canary_urls"),
        "{said}"
    );
    let gateway = Setup::new(config).dns(&dns).start().await;
    eventually("the canary", || async {
        (gateway.get_as("u0", "/").await.origin() == "canary").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_comes_back_round_about_is_a_loop() {
    let stable = Origin::start("stable").await;
    let config = fill(CONFIG, [&stable]);
    let gateway = Gateway::start(config.clone()).await;
    // Addresses of another program, that lead here.
    let round = FaultProxy::start(gateway.address()).await;
    let admin = FaultProxy::start(gateway.admin_address()).await;
    let url = |proxy: &FaultProxy| format!("http://{}", proxy.address());
    gateway.rewrite_config(&(config.clone() + &flags(&[url(&round), url(&admin)])));
    gateway.await_generation(2).await;
    // Canaries: stable takes their place at once, and nobody's admin API is asked.
    gateway.get_as("u0", "/canary").await.assert_from("stable");
    assert_eq!(round.passed("/canary").len(), 1);
    for path in ASKED {
        let call = get(path).user("u1").host("localhost");
        gateway.send(call).await.assert_from("stable");
    }
    let kill = gateway
        .send(post(KILL, "").user("u1").host("localhost"))
        .await;
    assert_eq!(kill.status, 508, "{kill:?}");
    let service = gateway.admin("/api/v1/services/search").await.json();
    assert_eq!(service["kills"], json!([]));
    // Stable: the request goes round once.
    gateway.rewrite_config(&config.replace(&stable.url(), &url(&round)));
    gateway.await_generation(3).await;
    let answer = gateway.send(get("/loop")).await;
    assert_eq!(answer.status, 508, "{answer:?}");
    assert_eq!(round.passed("/loop").len(), 1);
    let forged = get("/forged").header("via", "1.1 serin, 2 edge");
    assert_eq!(
        gateway.send(forged).await.status,
        508,
        "still by its own entry"
    );
    assert_eq!(round.passed("/forged").len(), 1);
}

#[tokio::test]
async fn two_gateways_in_a_chain_are_no_loop() {
    let origin = Origin::start("stable").await;
    let inner = Gateway::start(fill(CONFIG, [&origin])).await;
    let outer =
        fill(CONFIG, [&origin]).replace(&origin.url(), &format!("http://{}", inner.address()));
    let outer = Gateway::start(outer).await;
    outer.send(get("/")).await.assert_from("stable");
    let via = origin.last().all("via").join(", ");
    let names: Vec<&str> = via
        .split(", ")
        .filter_map(|entry| entry.split(' ').nth(1))
        .collect();
    assert_eq!(names.len(), 2, "{via}");
    assert!(names.iter().all(|name| name.starts_with("serin-")), "{via}");
    assert_ne!(names[0], names[1]);
}
