//! One fault after the other under steady load, first at the canary and then at stable: nobody is to notice, nothing
//! is to be done twice, and whoever keeps figures is to have the same ones.

mod ledger;
mod load;
mod origin;

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::harness::metrics::Metrics;
use crate::harness::{Dns, Gateway, Lookup, Setup};
use ledger::{Books, Phase};
use load::Load;
use origin::Origin;

/// All that is meant to keep users from noticing is on, and times are short. Retries may be as many as there are
/// requests: a budget is for failures that retries make worse, which is not what is looked at here.
const CONFIG: &str = "
services:
  search:
    stable: srv+http://_http._tcp.stable.test
    health: { path: /healthz, interval: 250ms, timeout: 500ms, unhealthy_after: 2, healthy_after: 1 }
    outlier: { consecutive_failures: 3, eject_for: 300ms }
    timeouts: { connect: 500ms, response: 2s }
    retries: { attempts: 1, on: [connect, reset, timeout, 5xx], budget: 100% }
    rescue: { after: 400ms, quarantine_after: 3, quarantine_for: 2s }
    max_in_flight: 8
flags:
  search.ranker: { url: 'srv+http://_http._tcp.canary.test', rings: [{ name: half, rollout: 50% }, { name: sure, when: { userId: [u7] } }] }
canary_urls: { allow: ['*.test', 127.0.0.0/8] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

const CANARY: &str = "search.ranker";

/// How long anything may take on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a fact; fails, naming it, when the test's patience is over.
#[track_caller]
fn patiently(what: &str, mut fact: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !fact().await {
            assert!(begun.elapsed() < PATIENCE, "{caller}: in vain: {what}");
            tick.tick().await;
        }
    }
}

/// The deployment that an origin is an endpoint of.
fn deployment_of(origin: &str) -> &'static str {
    match origin.starts_with("canary") {
        true => CANARY,
        false => "stable",
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Killed,
    Stopped,
    /// As `origin.py` calls it.
    Acts(&'static str),
    Refusing,
    Flapping,
    /// Its name is gone; it itself is not.
    Nameless,
}

/// Each in turn, at each place in turn.
const FAULTS: [Fault; 10] = [
    Fault::Killed,
    Fault::Stopped,
    Fault::Acts("500"),
    Fault::Acts("503"),
    Fault::Acts("cut"),
    Fault::Acts("reset"),
    Fault::Acts("slow"),
    Fault::Refusing,
    Fault::Flapping,
    Fault::Nameless,
];

/// One user's requests fail, nobody else's do.
const SPOILT: Fault = Fault::Acts("spoil-u7");

/// Where: indices of `Stage::origins`.
const PLACES: [(&str, &[usize]); 3] = [
    ("a canary endpoint", &[0]),
    ("the whole canary", &[0, 1]),
    ("a stable endpoint", &[2]),
];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::Acts(act) => act,
            Self::Refusing => "refusing",
            Self::Flapping => "flapping",
            Self::Nameless => "no name",
        }
    }

    /// Whether a request may get lost on its way to an origin, so that nobody knows whether it was executed.
    fn loses_requests(self) -> bool {
        matches!(self, Self::Killed | Self::Refusing | Self::Flapping)
    }

    /// Whether the gateway is to think ill of the endpoints that have it.
    fn is_noticed(self) -> bool {
        matches!(
            self,
            Self::Killed
                | Self::Stopped
                | Self::Refusing
                | Self::Acts("500" | "503" | "cut" | "reset")
        )
    }
}

/// Four origins, their names, and the gateway before them.
struct Stage {
    origins: [Origin; 4],
    dns: Dns,
    gateway: Gateway,
}

impl Stage {
    async fn set() -> Self {
        let origins = [
            Origin::start("canary-1", 0).await,
            Origin::start("canary-2", 1).await,
            Origin::start("stable-1", 2).await,
            Origin::start("stable-2", 3).await,
        ];
        let dns = Dns::start().await;
        for origin in &origins {
            name(&dns, origin, true);
        }
        for (service, pair) in [("canary", &origins[..2]), ("stable", &origins[2..])] {
            let record = |origin: &Origin| {
                let target = format!("{}.test.", origin.name);
                (0, 1, origin.address.port(), target)
            };
            let records = pair.iter().map(record).collect();
            dns.set(
                &format!("_http._tcp.{service}.test"),
                Lookup::Services(records),
            );
        }
        let gateway = Setup::new(CONFIG).dns(&dns).start().await;
        let mut stage = Self {
            origins,
            dns,
            gateway,
        };
        stage.await_health(&[0, 1, 2, 3], &["healthy"]).await;
        stage
    }

    /// Waits until the gateway thinks so of these endpoints.
    async fn await_health(&mut self, at: &[usize], wanted: &[&str]) {
        let what = format!("{at:?} being {wanted:?}");
        patiently(&what, async || {
            let service = self.gateway.admin("/api/v1/services/search").await.json();
            let deployments = service["deployments"].as_array().expect("deployments");
            let endpoints = deployments
                .iter()
                .filter_map(|each| each["endpoints"].as_array());
            let endpoints: Vec<_> = endpoints.flatten().collect();
            at.iter().all(|index| {
                let address = self.origins[*index].address.to_string();
                let health = endpoints
                    .iter()
                    .find(|endpoint| endpoint["address"] == address)
                    .and_then(|endpoint| endpoint["health"].as_str());
                health.is_some_and(|health| wanted.contains(&health))
            })
        })
        .await;
    }

    /// Waits until one of these counts has grown.
    async fn await_growth(&self, counts: &[(&str, (&str, &str))], before: &Metrics) {
        let what = format!("more of {counts:?}");
        patiently(&what, async || {
            let now = self.gateway.metrics().await;
            let mut counts = counts.iter();
            counts.any(|(name, label)| now.sum(name, &[*label]) > before.sum(name, &[*label]))
        })
        .await;
    }

    async fn inflict(&mut self, fault: Fault, at: &[usize]) {
        for index in at {
            let origin = &mut self.origins[*index];
            match fault {
                Fault::None => {}
                Fault::Killed => origin.kill(),
                Fault::Stopped => origin.stop(),
                Fault::Acts(act) => origin.tell(&format!("be {act}")).await,
                Fault::Refusing | Fault::Flapping => origin.tell("refuse").await,
                Fault::Nameless => name(&self.dns, origin, false),
            }
        }
    }

    async fn heal(&mut self, fault: Fault, at: &[usize]) {
        for index in at {
            let origin = &mut self.origins[*index];
            match fault {
                Fault::None => {}
                Fault::Killed => origin.restart().await,
                Fault::Stopped => origin.go_on(),
                Fault::Acts(_) => origin.tell("be well").await,
                Fault::Refusing | Fault::Flapping => origin.tell("accept").await,
                Fault::Nameless => name(&self.dns, origin, true),
            }
        }
    }

    /// Lasts until the fault has had its effect.
    async fn endure(&mut self, fault: Fault, at: &[usize], load: &Load) {
        let before = self.gateway.metrics().await;
        let acted = |index: &usize| self.origins[*index].acted(fault.name());
        let acted_before: Vec<usize> = at.iter().map(acted).collect();
        load.go_on_for(100).await;
        if fault.is_noticed() {
            self.await_health(at, &["unhealthy", "ejected", "trial"])
                .await;
        }
        match fault {
            Fault::Flapping => {
                for _ in 0..4 {
                    self.heal(fault, at).await;
                    load.go_on_for(40).await;
                    self.inflict(fault, at).await;
                    load.go_on_for(40).await;
                }
            }
            Fault::Nameless => {
                for index in at {
                    let host = format!("{}.test", self.origins[*index].name);
                    self.dns.await_asked(&host, 2).await;
                }
            }
            Fault::Stopped => {
                // A POST that hangs at stable is nobody's to send again.
                let counts = [
                    (ledger::RESCUES, ("cause", "timeout")),
                    (ledger::RETRIES, ("cause", "timeout")),
                    (ledger::REQUESTS, ("code", "504")),
                ];
                self.await_growth(&counts, &before).await;
            }
            SPOILT => {
                let counts = [(ledger::RESCUES, ("cause", "quarantined"))];
                self.await_growth(&counts, &before).await;
            }
            Fault::Acts(act) => {
                patiently("every one of them acting so", async || {
                    let acted = |(index, before): (&usize, &usize)| {
                        self.origins[*index].acted(act) > *before
                    };
                    at.iter().zip(&acted_before).all(acted)
                })
                .await;
            }
            _ => {}
        }
        load.go_on_for(100).await;
    }

    /// One fault at one place, from all well to all well, under load.
    async fn play(&mut self, fault: Fault, place: &'static str, at: &[usize], books: &mut Books) {
        let load = Load::start(self.gateway.address(), books.next_id());
        load.go_on_for(50).await;
        self.inflict(fault, at).await;
        self.endure(fault, at, &load).await;
        self.heal(fault, at).await;
        // A slow start takes ten seconds; the next fault need not wait for its end.
        self.await_health(&[0, 1, 2, 3], &["healthy", "warming"])
            .await;
        load.go_on_for(50).await;
        let sent = load.stop().await;
        let all = books.next_id() + sent.len();
        patiently("the access log's lines", async || {
            self.gateway.access_log_lines() >= all
        })
        .await;
        let metrics = self.gateway.metrics().await;
        let lines = self.gateway.access_log_since(books.next_id());
        books.add(Phase::new(fault, place, sent, metrics), lines);
    }

    /// Ends everything; what the origins did is known then.
    async fn strike(mut self, books: &mut Books) {
        assert_eq!(self.gateway.terminate().await.code(), Some(0));
        for origin in &mut self.origins {
            let deployment = origin.deployment();
            let runs = origin.finish().await;
            books.add_runs(origin.name, deployment, runs);
        }
    }
}

/// Makes an origin's name known, or not.
fn name(dns: &Dns, origin: &Origin, known: bool) {
    let host = format!("{}.test", origin.name);
    let lookup = match origin.address.ip() {
        IpAddr::V4(ip) if known => Lookup::address(ip),
        _ => Lookup::Missing,
    };
    dns.set(&host, lookup);
}

#[tokio::test]
async fn no_fault_costs_anybody_anything() {
    let mut stage = Stage::set().await;
    let mut books = Books::new(stage.gateway.metrics().await);
    stage.play(Fault::None, "-", &[], &mut books).await;
    for fault in FAULTS {
        for (place, at) in PLACES {
            stage.play(fault, place, at, &mut books).await;
        }
    }
    let (place, at) = PLACES[1];
    stage.play(SPOILT, place, at, &mut books).await;
    stage.strike(&mut books).await;
    // Past the capture of what tests say: it is for whoever runs them.
    let _ = std::io::stderr().write_all(books.table().as_bytes());
    books.check();
}
