//! Lanes: what a gateway decided holds at the gateways behind it, through applications that only pass baggage on.

use std::net::SocketAddr;

use crate::harness::client::send;
use crate::harness::{Gateway, Origin, Script, fill, get, run_serin};

/// A gateway at the edge: `ann` is on the canary.
const EDGE: &str = "
services: { web: @web }
routes: [{ path: /, service: web, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
flags: { web.v2: { url: @canary, rings: [{ name: ann, when: { userId: [ann] } }] } }
";

/// A gateway inside, which knows nobody: its own decision is always stable.
const INSIDE: &str = "
services: { web: @stable, search: @search }
routes: [{ path: /search, service: search, expose: true }, { path: /, service: web, expose: true }]
flags:
  web.v2: { url: @canary, rings: [] }
  web.ab: { variants: [{ name: b, weight: 50%, url: @canary }, { name: c, weight: 50%, url: @search }], rings: [] }
logging: { access: all }
";

const TRUSTING: &str =
    "server: { threads: 2, trusted_proxies: [127.0.0.0/8], shutdown_delay: 1ms }\n";

/// What is behind the gateway inside.
struct Inside {
    stable: Origin,
    canary: Origin,
    search: Origin,
    gateway: Gateway,
}

impl Inside {
    async fn start(more: &str) -> Self {
        let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
        let search = Origin::start("search").await;
        let config = fill(INSIDE, [&stable, &canary, &search]);
        Self {
            gateway: Gateway::start(config + more).await,
            stable,
            canary,
            search,
        }
    }

    /// Who answers a request with this baggage, and the decision that the answer shows.
    async fn ask(&self, path: &str, baggage: &str) -> (String, String) {
        let call = get(path).header("baggage", baggage);
        let answer = self.gateway.send(call).await;
        let decision = answer.header("x-serin-decision").expect("a decision");
        (answer.origin().to_owned(), decision.to_owned())
    }

    async fn await_lanes(&self, result: &str, count: f64) {
        let labels = [("service", "web"), ("result", result)];
        self.gateway
            .await_metric("serin_lanes_total", &labels, count)
            .await;
    }
}

#[tokio::test]
async fn the_second_gateway_of_a_chain_follows_the_first() {
    let inside = Inside::start(TRUSTING).await;
    let edge = EDGE
        .replace("@web", "@inside")
        .replace("@canary", "@inside");
    let url = format!("http://{}", inside.gateway.address());
    let edge = Gateway::start(edge.replace("@inside", &url)).await;
    edge.get_as("ann", "/first").await.assert_from("canary");
    edge.get_as("bob", "/second").await.assert_from("stable");
    inside.await_lanes("followed", 2.0).await;
    let followed = inside.gateway.await_access_log_of("/first").await;
    let told = [
        &followed["reason"],
        &followed["flag"],
        &followed["assigned"],
    ];
    assert_eq!(told, ["lane", "web.v2", "web.v2"], "{followed}");
    assert_eq!(followed["served"], "web.v2");
    let labels = [("flag", "web.v2"), ("reason", "lane")];
    inside
        .gateway
        .await_metric("serin_decisions_total", &labels, 1.0)
        .await;
    // What goes on from there says where the request went, once.
    let baggage = inside.canary.last().header("baggage");
    assert_eq!(baggage.as_deref(), Some("serin.web=web.v2"));
}

#[tokio::test]
async fn a_lane_goes_through_an_application_that_only_passes_baggage_on() {
    let inside = Inside::start(TRUSTING).await;
    let [web, canary] = [
        Passing::start(inside.gateway.address()).await,
        Passing::start(inside.gateway.address()).await,
    ];
    let edge = EDGE
        .replace("@web", &web.0.url())
        .replace("@canary", &canary.0.url());
    let edge = Gateway::start(edge).await;
    edge.get_as("ann", "/a").await.assert_from("canary");
    let seen = inside.canary.last();
    assert_eq!(
        seen.header("x-passed-on").as_deref(),
        Some("serin.web=web.v2")
    );
    edge.get_as("bob", "/a").await.assert_from("stable");
    inside.await_lanes("followed", 2.0).await;
    // A service of which the baggage says nothing is decided here, and adds its own member.
    edge.get_as("ann", "/search").await.assert_from("search");
    let baggage = inside.search.last().header("baggage");
    assert_eq!(
        baggage.as_deref(),
        Some("serin.web=web.v2,serin.search=stable")
    );
}

#[tokio::test]
async fn a_canary_of_an_experiment_is_followed_under_its_variant() {
    let inside = Inside::start(TRUSTING).await;
    let (origin, decision) = inside.ask("/v", "a=b,serin.web=web.ab:b;p=1").await;
    assert_eq!(origin, "canary", "{decision}");
    assert!(
        decision.contains(r#"web="web.ab:b""#) && decision.contains(r#"reason="lane""#),
        "{decision}"
    );
    let logged = inside.gateway.await_access_log_of("/v").await;
    assert_eq!(
        [&logged["flag"], &logged["variant"]],
        ["web.ab", "b"],
        "{logged}"
    );
}

#[tokio::test]
async fn what_cannot_be_followed_is_decided_here_and_counted() {
    let inside = Inside::start(TRUSTING).await;
    let own = |(origin, decision): (String, String)| {
        assert_eq!(origin, "stable", "{decision}");
        assert!(decision.contains(r#"reason="default""#), "{decision}");
    };
    own(inside.ask("/", "serin.web=web.v3").await);
    own(inside.ask("/", "serin.web=").await);
    inside.await_lanes("unknown", 2.0).await;
    let kill = ["canary", "kill", "web", "web.v2"];
    let killed = inside.gateway.ask(&kill);
    assert!(killed.status.success(), "{killed:?}");
    own(inside.ask("/", "serin.web=web.v2").await);
    inside.await_lanes("withdrawn", 1.0).await;
    inside.await_lanes("followed", 0.0).await;
    // A lane that is followed is rescued as any other request is.
    let (origin, decision) = inside.ask("/", "serin.web=web.ab:b").await;
    assert_eq!(origin, "canary", "{decision}");
    inside.canary.answer(|_| crate::harness::Reply::status(500));
    let (origin, decision) = inside.ask("/", "serin.web=web.ab:b").await;
    assert_eq!(origin, "stable", "{decision}");
    assert!(decision.contains(r#"cause="status""#), "{decision}");
}

#[tokio::test]
async fn nobody_but_a_trusted_proxy_chooses_a_lane_and_none_where_lanes_are_ignored() {
    let open = Inside::start("").await;
    let ignoring = format!("{TRUSTING}attribution: {{ lanes: ignore }}\n");
    let ignoring = Inside::start(&ignoring).await;
    for inside in [&open, &ignoring] {
        let (origin, decision) = inside.ask("/", "serin.web=web.v2").await;
        assert_eq!(origin, "stable", "{decision}");
        assert!(decision.contains(r#"reason="default""#), "{decision}");
        inside.await_lanes("ignored", 1.0).await;
        let baggage = inside.stable.last().header("baggage");
        assert_eq!(baggage.as_deref(), Some("serin.web=stable"));
    }
}

#[tokio::test]
async fn explain_says_where_a_lane_leads() {
    let inside = Inside::start(TRUSTING).await;
    let admin = format!("http://{}", inside.gateway.admin_address());
    let explain = |baggage: &str, more: &[&str]| {
        let header = format!("baggage={baggage}");
        let command = [
            "explain",
            "--admin",
            &admin,
            "--host",
            "api.example.com",
            "--header",
            &header,
        ];
        let output = run_serin(command.iter().chain(more));
        String::from_utf8(output.stdout).expect("text")
    };
    let followed = explain("serin.web=web.v2", &[]);
    assert!(
        followed.contains("web -> web.v2\nreason: lane (the gateway before this one decided"),
        "{followed}"
    );
    let unknown = explain("serin.web=web.v3", &[]);
    assert!(
        unknown.contains("lane \"web.v3\": unknown, so it is decided here"),
        "{unknown}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&explain("serin.web=web.ab:b", &["--format", "json"])).expect("JSON");
    let decision = &json["decision"];
    assert_eq!(
        decision["lane"],
        serde_json::json!({ "deployment": "web.ab:b", "result": "followed" })
    );
    assert_eq!(
        [&decision["reason"], &decision["flag"], &decision["variant"]],
        ["lane", "web.ab", "b"]
    );
}

/// An application that answers what the gateway inside answers it, and passes on nothing but the baggage.
struct Passing(Script);

impl Passing {
    async fn start(inside: SocketAddr) -> Self {
        let play = move |mut visit: crate::harness::script::Visit| async move {
            let field = |name: &str| {
                let mut lines = visit.head.lines().filter_map(|line| line.split_once(": "));
                let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map_or("", |(_, value)| value).to_owned()
            };
            let path = visit.head.split(' ').nth(1).expect("a target").to_owned();
            let baggage = field("baggage");
            let call = get(&path).header("x-passed-on", &baggage);
            let answer = send(inside, call.header("baggage", &baggage)).await;
            let head = format!(
                "HTTP/1.1 {} OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\
                 x-origin: {}\r\n\r\n",
                answer.status,
                answer.body.len(),
                answer.header("x-origin").unwrap_or_default(),
            );
            visit.say(head).await;
            visit.say(&answer.body).await;
        };
        Self(Script::start(play).await)
    }
}
