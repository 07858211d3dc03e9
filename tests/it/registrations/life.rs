//! The whole life of a canary. After each step all that tell of it agree: the response and its header, `explain`, the client
//! API, the access log, metrics and events.

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{RANKER, await_state, put, registered, shown};
use crate::harness::client::{Call, Connection};
use crate::harness::{Gateway, Origin, Raw, Reply, eventually, get, post};

const CONFIG: &str = "
services: { search: { stable: @stable } }
segments: { team: { userId: [ann] }, pilots: { userId: [bob] } }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
client_api: { path: /.serin, tokens: ['*:development.app'], rate_limit: { requests: 100000 } }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: ./state }
";

const FLAG: &str = "/api/v1/flags/search.ranker";
const CANARY: &str = "search.ranker";

/// A gateway before its deployments, with its stream of events.
struct Life {
    gateway: Gateway,
    events: Raw,
    stable: Origin,
    canary: Origin,
    next: Origin,
    /// How often it was looked at.
    looked: usize,
}

/// What a user's request is expected to come to.
struct Expected {
    origin: &'static str,
    assigned: &'static str,
    reason: &'static str,
}

/// The user is on the canary, which runs at this origin.
fn on(origin: &'static str) -> Expected {
    Expected {
        origin,
        assigned: CANARY,
        reason: "ring",
    }
}

/// The user is on stable, for this reason.
fn off(reason: &'static str) -> Expected {
    Expected {
        origin: "stable",
        assigned: "stable",
        reason,
    }
}

impl Life {
    async fn start() -> Self {
        let stable = Origin::start("stable").await;
        let (canary, next) = (Origin::start("canary").await, Origin::start("next").await);
        let gateway = Gateway::start(CONFIG.replace("@stable", &stable.url())).await;
        let mut events = Raw::open(gateway.admin_address()).await;
        events
            .write(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        events.read_until(b"event: connected").await;
        Self {
            gateway,
            events,
            stable,
            canary,
            next,
            looked: 0,
        }
    }

    /// Waits until every request that a deployment has answered is counted: that may be just after its answer.
    async fn all_are_counted(&self) {
        let origins = [&self.stable, &self.canary, &self.next];
        let requests = origins.into_iter().flat_map(Origin::requests);
        let proxied = requests.filter(|request| request.target != "/healthz");
        let count = u32::try_from(proxied.count()).expect("not so many");
        for name in ["serin_requests_total", "serin_decisions_total"] {
            self.gateway
                .await_metric(name, &[("service", "search")], f64::from(count))
                .await;
        }
    }

    /// Waits for an event with this text.
    async fn told(&mut self, text: &str) {
        self.events.read_until(text.as_bytes()).await;
    }

    /// Sends a user's request, and fails unless all that tell of it say what is expected.
    async fn assert_seen(&mut self, user: &str, expected: Expected) {
        let Expected {
            origin,
            assigned,
            reason,
        } = expected;
        let path = format!("/look-{}", self.looked);
        self.looked += 1;
        self.all_are_counted().await;
        let gateway = &self.gateway;
        let labels = [("service", "search"), ("reason", reason)];
        let decided = gateway
            .metrics()
            .await
            .sum("serin_decisions_total", &labels);
        let requests = [("assigned", assigned), ("code", "200")];
        let counted = gateway
            .metrics()
            .await
            .sum("serin_requests_total", &requests);

        let answer = gateway.get_as(user, &path).await;
        answer.assert_from(origin);
        let header = super::decision(&answer);
        assert!(
            header.contains(&format!("\"{assigned}\""))
                && header.contains(&format!("reason=\"{reason}\"")),
            "{user} {path}: {header}"
        );
        let line = gateway.await_access_log_of(&path).await;
        let asked = json!({ "user_id": user, "path": path, "host": "api.example.com" });
        let explain = post("/api/v1/explain", asked.to_string());
        let explained = gateway.admin_send(explain).await.json()["decision"].clone();
        let own = gateway.get_as(user, "/.serin/decisions").await.json()["decisions"][0].clone();
        for (teller, said) in [
            ("log", &line),
            ("explain", &explained),
            ("client API", &own),
        ] {
            assert_eq!(
                said["assigned"], assigned,
                "{user} {path}: {teller}: {said}"
            );
            assert_eq!(said["reason"], reason, "{user} {path}: {teller}: {said}");
            assert_eq!(
                said["flag"], explained["flag"],
                "{user} {path}: {teller}: {said}"
            );
        }
        let served = if assigned == CANARY { CANARY } else { "stable" };
        assert_eq!(line["served"], served, "{line}");
        assert_eq!(explained["now"]["served"], served, "{explained}");
        gateway
            .await_metric("serin_decisions_total", &labels, decided + 1.0)
            .await;
        gateway
            .await_metric("serin_requests_total", &requests, counted + 1.0)
            .await;
    }

    /// Fails unless metrics and the API say that the canary is in this state.
    async fn assert_state(&self, state: &str) {
        let labels = [
            ("service", "search"),
            ("deployment", CANARY),
            ("state", state),
        ];
        let gateway = &self.gateway;
        gateway
            .await_metric("serin_canary_state", &labels, 1.0)
            .await;
        let leases = if state == "over" { 0.0 } else { 1.0 };
        gateway
            .await_metric("serin_leases", &[("service", "search")], leases)
            .await;
        assert_eq!(shown(gateway, RANKER).await["state"], state);
    }

    /// Opens or closes a ring.
    async fn ring(&mut self, ring: &str, change: &Value) {
        let call = Call::new(Method::PATCH, &format!("{FLAG}/rings/{ring}"));
        let answer = self.gateway.admin_send(call.body(change.to_string())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.told("event: flag").await;
        self.told(&format!("\"ring\":\"{ring}\"")).await;
    }

    /// Which of 60 users are on the canary.
    async fn users_on(&self) -> Vec<usize> {
        let mut on = Vec::new();
        for user in 0..60 {
            let answer = self.gateway.get_as(&format!("user-{user}"), "/").await;
            if answer.origin() != "stable" {
                on.push(user);
            }
        }
        on
    }

    async fn registers(&mut self, url: &str, ttl: &str) -> Value {
        let body = json!({
            "url": url, "ttl": ttl, "branch": "feature/ranker", "health": { "path": "/healthz" },
            "rings": [{ "name": "team", "segment": "team" }],
        });
        registered(&self.gateway, RANKER, &body).await
    }

    /// Registered and checked; ready, for the ring that the registration brings.
    async fn begins(&mut self) {
        self.canary.answer(|_| Reply::status(503));
        let url = self.canary.url();
        let answer = self.registers(&url, "30m").await;
        assert_eq!(answer["state"], "checking");
        self.told("\"state\":\"registered\"").await;
        self.assert_state("checking").await;
        self.assert_seen("ann", off("not_ready")).await;
        self.assert_seen("bob", off("default")).await;
        self.canary.answer(|_| Reply::status(200));
        self.told("\"state\":\"ready\"").await;
        self.assert_state("ready").await;
        self.assert_seen("ann", on("canary")).await;
        self.assert_seen("bob", off("default")).await;
    }

    /// Opened ring by ring by a flag that Serin keeps, ramped, and one ring switched off again.
    async fn is_opened(&mut self) {
        let flag = json!({ "rings": [
            { "name": "team", "segment": "team" }, { "name": "pilots", "segment": "pilots", "enabled": false },
            { "name": "all", "rollout": "0%" },
        ] });
        let answer = self.gateway.admin_send(put(FLAG, &flag)).await;
        assert!([200, 201].contains(&answer.status), "{answer:?}");
        self.told("\"action\":\"put\"").await;
        assert_eq!(
            shown(&self.gateway, RANKER).await["flag"]["source"],
            "serin"
        );
        self.assert_seen("ann", on("canary")).await;
        self.assert_seen("bob", off("default")).await;
        self.ring("pilots", &json!({ "enabled": true })).await;
        self.assert_seen("bob", on("canary")).await;
        self.assert_seen("eve", off("default")).await;
        assert_eq!(self.users_on().await, Vec::<usize>::new());

        self.ring("all", &json!({ "rollout": "30%" })).await;
        let third = self.users_on().await;
        self.ring("all", &json!({ "rollout": "60%" })).await;
        let most = self.users_on().await;
        assert!(!third.is_empty() && third.len() < most.len() && most.len() < 60);
        assert!(
            third.iter().all(|user| most.contains(user)),
            "{third:?} {most:?}"
        );
        self.ring("all", &json!({ "rollout": "100%" })).await;
        self.assert_seen("eve", on("canary")).await;
        self.ring("all", &json!({ "enabled": false })).await;
        self.assert_seen("eve", off("default")).await;
        self.assert_seen("ann", on("canary")).await;
        self.assert_seen("bob", on("canary")).await;
    }

    async fn is_killed_and_restored(&mut self) {
        let kill = post(&format!("{RANKER}/kill"), r#"{"reason":"wrong prices"}"#);
        assert_eq!(self.gateway.admin_send(kill).await.status, 200);
        self.told("\"state\":\"killed\"").await;
        let killed = [("service", "search"), ("flag", CANARY)];
        self.gateway
            .await_metric("serin_canary_killed", &killed, 1.0)
            .await;
        self.assert_seen("ann", off("killed")).await;
        self.assert_seen("eve", off("default")).await;
        assert!(self.gateway.explain("ann").contains("wrong prices"));
        assert_eq!(shown(&self.gateway, RANKER).await["killed"], true);
        let restore = post(&format!("{RANKER}/restore"), "");
        assert_eq!(self.gateway.admin_send(restore).await.status, 200);
        self.told("\"state\":\"restored\"").await;
        self.gateway
            .await_metric("serin_canary_killed", &killed, 0.0)
            .await;
        self.assert_seen("ann", on("canary")).await;
    }

    /// Another URL for the name, while traffic flows.
    async fn moves(&mut self) {
        let url = self.next.url();
        let (end, over) = watch::channel(false);
        let traffic = tokio::spawn(traffic(self.gateway.address(), over));
        self.registers(&url, "30m").await;
        self.told("\"state\":\"moving\"").await;
        self.told("\"state\":\"moved\"").await;
        eventually("traffic at the new URL", || async {
            (self.next.count() > 20).then_some(())
        })
        .await;
        end.send_replace(true);
        traffic.await.expect("no request has failed");
        self.assert_seen("ann", on("next")).await;
        let canary = shown(&self.gateway, RANKER).await;
        assert_eq!(canary["url"], url);
        self.assert_state("ready").await;
    }

    /// The pipeline dies: nobody renews any more.
    async fn ends(&mut self) {
        let url = self.next.url();
        self.registers(&url, "1s").await;
        self.told("\"state\":\"lease_over\"").await;
        self.assert_state("over").await;
        self.assert_seen("ann", off("lease_over")).await;
        self.assert_seen("eve", off("default")).await;
        let canary = await_state(&self.gateway, RANKER, "over").await;
        let happened = super::happened(&canary);
        let expected = [
            "registered",
            "ready",
            "killed",
            "restored",
            "moving",
            "moved",
            // The shorter TTL.
            "changed",
            "lease_over",
        ];
        assert_eq!(happened, expected);
    }

    /// The product people delete the flag as well.
    async fn is_gone(&mut self) {
        let gone = self
            .gateway
            .admin_send(Call::new(Method::DELETE, RANKER))
            .await;
        assert_eq!(gone.status, 404, "{gone:?}");
        let gone = self
            .gateway
            .admin_send(Call::new(Method::DELETE, FLAG))
            .await;
        assert_eq!(gone.status, 200, "{gone:?}");
        self.told("\"action\":\"deleted\"").await;
        self.assert_seen("bob", off("default")).await;
    }
}

/// Requests of the canary's users, one after the other; none may fail or come to stable.
async fn traffic(gateway: std::net::SocketAddr, over: watch::Receiver<bool>) {
    let mut connection = Connection::open(gateway).await;
    while !*over.borrow() {
        for user in ["ann", "bob"] {
            let answer = connection.send(get("/traffic").user(user)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_ne!(answer.origin(), "stable", "{answer:?}");
        }
    }
}

#[tokio::test]
async fn everything_that_tells_of_a_canary_says_the_same_all_its_life() {
    let mut life = Life::start().await;
    life.assert_seen("ann", off("default")).await;
    life.begins().await;
    life.is_opened().await;
    life.is_killed_and_restored().await;
    life.moves().await;
    life.ends().await;
    life.is_gone().await;
}
