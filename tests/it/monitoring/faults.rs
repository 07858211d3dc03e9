//! All that can go wrong, at once.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::harness::authority::Authority;
use crate::harness::client::HOST;
use crate::harness::flag_server::{Fault, FlagServer, feature};
use crate::harness::prometheus::Prometheus;
use crate::harness::redis::Redis;
use crate::harness::script::Visit;
use crate::harness::{
    Call, Connection, Gateway, Origin, Posted, Raw, Reply, Script, Setup, SinkReply, SinkServer,
    eventually, fill, get, pause,
};

/// Twelve connections are all that it takes.
const CONFIG: &str = "
services:
  search:
    stable: @stable
    canaries: ['search.*']
    health: { path: /healthz, interval: 500ms }
    rescue: { on: [connect, reset, timeout] }
  gone: { stable: @gone, health: { path: /healthz, interval: 500ms } }
  narrow: { stable: @narrow, max_requests: 1, queue: { length: 0 }, timeouts: { response: 2m } }
flags:
  search.broken: { url: @broken, rings: [{ name: one, when: { userId: [broken] } }] }
  search.dead: { url: @dead, rings: [{ name: one, when: { userId: [dead] } }] }
  search.slow: { url: '%slow%', expires: 2020-01-01, rings: [{ name: one, when: { userId: [slow] } }] }
routes:
  - { path: /gone, service: gone }
  - { path: /narrow, service: narrow }
  - { path: /, service: search }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server:
  threads: 2
  shutdown_delay: 1ms
  shutdown_grace: 1s
  state_dir: '%state%'
  limits: { connections: 12, connections_per_client: 12 }
redis: { url: '%redis%' }
";

/// Whom traffic is for, and where it goes.
const TRAFFIC: [(&str, &str); 6] = [
    ("somebody", "/"),
    ("broken", "/"),
    ("dead", "/"),
    ("slow", "/"),
    ("somebody", "/gone"),
    ("somebody", "/narrow"),
];

/// Gateways in trouble, and what troubles them.
pub(super) struct Faults<'a> {
    prometheus: &'a Prometheus,
    parts: Parts,
    /// Whose upstreams, flag server and Redis fail.
    sick: Gateway,
    /// Whose standard output nobody reads.
    deaf: Gateway,
    /// Whose certificate is nearly over.
    secure: Gateway,
    /// Which is started again and again.
    restarted: RefCell<Gateway>,
    restarts: Cell<u32>,
    /// Whose sinks are gone or refuse everything, and whose disk is full.
    recording: Gateway,
    /// How many users it has seen.
    users: Cell<usize>,
    /// Where one was that has been stopped.
    stopped: SocketAddr,
    traffic: Option<JoinHandle<()>>,
    waits: Option<Raw>,
    rest: Vec<Connection>,
}

/// The servers around the gateways.
struct Parts {
    stable: Origin,
    gone: Origin,
    narrow: Origin,
    broken: Origin,
    dead: Origin,
    slow: Script,
    flags: FlagServer,
    redis: Redis,
    state: TempDir,
    spool: TempDir,
    sink: SinkServer,
    authority: Authority,
}

impl Parts {
    async fn start() -> Self {
        let mut parts = Self {
            stable: Origin::start("stable").await,
            gone: Origin::start("gone").await,
            narrow: Origin::start("narrow").await,
            broken: Origin::start("broken").await,
            dead: Origin::start("dead").await,
            slow: Script::start(answer_slowly).await,
            flags: FlagServer::start().await,
            redis: Redis::start().await,
            state: TempDir::new().expect("a folder"),
            spool: TempDir::new().expect("a folder"),
            sink: SinkServer::start().await,
            authority: Authority::new(),
        };
        parts.sink.answer(refuse);
        parts.gone.stop().await;
        parts.dead.stop().await;
        parts.broken.answer(|request| {
            let is_check = request.target == "/healthz";
            Reply::status(if is_check { 200 } else { 500 })
        });
        let flag = feature("search.other", &parts.stable.url(), false);
        parts.flags.put([flag]);
        parts.authority.issue_for("ends", &["serin.internal"], 7);
        parts
    }

    fn sick(&self) -> String {
        let origins = [
            &self.stable,
            &self.gone,
            &self.narrow,
            &self.broken,
            &self.dead,
        ];
        fill(CONFIG, origins)
            .replace("%slow%", &self.slow.url())
            .replace("%redis%", &self.redis.url())
            .replace("%state%", &self.state.path().display().to_string())
            + &self.flags.config("")
    }

    /// A gateway that nothing is wrong with, and more of its file.
    fn well(&self, more: &str) -> String {
        let service = format!("services: {{ search: '{}' }}\n", self.stable.url());
        service + "routes: [{ path: /, service: search }]\n" + more
    }

    fn recording(&self) -> String {
        let (stable, gone, sink) = (self.stable.url(), self.gone.url(), self.sink.url());
        let state = self.spool.path().display();
        self.well(&format!(
            "flags: {{ search.ranker: {{ url: '{stable}', rings: [{{ name: early, rollout: 50% }}] }} }}\n\
             identity: {{ user_id: [{{ header: x-user-id, trust: anyone }}] }}\n\
             server: {{ threads: 1, shutdown_delay: 1ms, shutdown_grace: 1s, state_dir: '{state}' }}\n\
             attribution:\n  exposures: {{ users: plain, control: all }}\n  sinks:\n    \
             - {{ name: gone, webhook: {{ url: '{gone}' }} }}\n    \
             - {{ name: picky, mixpanel: {{ project_id: 1, url: '{sink}', service_account: {{ user: me, secret: s }} }} }}\n"
        ))
    }

    fn secure(&self) -> String {
        let path = |file| self.authority.path(file);
        let (cert, key) = (path("ends.crt"), path("ends.key"));
        self.well(&format!(
            "admin:\n  address: 127.0.0.1:0\n  probes: 127.0.0.1:0\n  \
             tls: {{ certificates: [{{ cert: '{cert}', key: '{key}' }}] }}\n"
        ))
    }
}

impl Drop for Faults<'_> {
    fn drop(&mut self) {
        if let Some(traffic) = &self.traffic {
            traffic.abort();
        }
        self.parts.narrow.release();
    }
}

impl<'a> Faults<'a> {
    /// Starts everything well, has it scraped, and breaks it.
    pub(super) async fn cause(prometheus: &'a Prometheus) -> Self {
        let parts = Parts::start().await;
        let mut stopped = Gateway::start(parts.well("")).await;
        let unread = parts.well("logging: { access: all }\n");
        let mut faults = Self {
            prometheus,
            sick: Gateway::start(parts.sick()).await,
            deaf: Setup::new(unread).deaf().start().await,
            secure: Gateway::start(parts.secure()).await,
            restarted: RefCell::new(Gateway::start(parts.well("")).await),
            restarts: Cell::new(0),
            // A file may have 128 KiB: more than a few hundred exposures take.
            recording: Setup::new(parts.recording()).file_size(256).start().await,
            users: Cell::new(0),
            stopped: stopped.admin_address(),
            traffic: None,
            waits: None,
            rest: Vec::new(),
            parts,
        };
        faults.scrape();
        eventually("six gateways that are scraped", || async {
            let up = prometheus.query("sum(up) == 6").await;
            (!up.is_empty()).then_some(())
        })
        .await;
        stopped.terminate().await;
        faults.break_all().await;
        faults
    }

    fn scrape(&self) {
        self.prometheus.scrape(&[
            ("sick", self.sick.admin_address()),
            ("deaf", self.deaf.admin_address()),
            ("secure", self.secure.probes_address()),
            ("restarted", self.restarted.borrow().admin_address()),
            ("recording", self.recording.admin_address()),
            ("stopped", self.stopped),
        ]);
    }

    async fn break_all(&mut self) {
        let canary = "/api/v1/services/search/canaries/search.new";
        let body = json!({ "url": self.parts.gone.url() }).to_string();
        let call = Call::new(Method::PUT, canary).body(body);
        let registered = self.sick.admin_send(call).await;
        assert_eq!(registered.status, 201, "{}", registered.text());
        let kill = ["canary", "kill", "search", "search.gone", "--ahead"];
        let killed = self.sick.ask(&kill);
        assert!(killed.status.success(), "{killed:?}");
        self.parts.flags.break_with(Fault::Status(500));
        self.parts.redis.kill();
        let wrong = self.parts.sick().replace("/, service:", "/, serivce:");
        self.sick.rewrite_config(&wrong);
        // One request waits for its answer, ten connections rest, and traffic has the twelfth.
        self.parts.narrow.hold();
        let mut waits = self.sick.open_raw().await;
        let head = format!("GET /narrow HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        waits.write(head.as_bytes()).await;
        self.parts.narrow.await_requests(1).await;
        self.waits = Some(waits);
        for _ in 0..10 {
            let mut rests = self.sick.connect().await;
            rests.send(get("/")).await;
            self.rest.push(rests);
        }
        self.traffic = Some(tokio::spawn(traffic(self.sick.address())));
    }

    /// Has those faults happen again that are events: a start, a line of the access log or an exposure that cannot be written.
    pub(super) async fn go_on(&self) {
        let long = format!("/{}", "x".repeat(1_900));
        let mut connection = self.deaf.connect().await;
        for _ in 0..300 {
            connection.send(get(&long)).await;
        }
        let mut connection = self.recording.connect().await;
        for _ in 0..400 {
            let user = self.users.replace(self.users.get() + 1);
            let call = get("/").user(&format!("u{user}"));
            connection.send(call).await;
        }
        if self.restarts.get() < 4 {
            self.restarts.set(self.restarts.get() + 1);
            self.restart().await;
        }
    }

    async fn restart(&self) {
        let before = self.begun().await;
        let next = Gateway::start(self.parts.well("")).await;
        let mut last = self.restarted.replace(next);
        last.terminate().await;
        self.scrape();
        eventually("a scrape of the gateway that has started again", || async {
            let begun = self.begun().await;
            (!begun.is_empty() && begun != before).then_some(())
        })
        .await;
    }

    /// When the gateway that is started again and again has begun, as Prometheus knows it.
    async fn begun(&self) -> Vec<Value> {
        let query = "process_start_time_seconds{instance='restarted'}";
        let series = self.prometheus.query(query).await;
        let values = series.iter().map(|series| series["value"][1].clone());
        values.collect()
    }
}

/// As Mixpanel refuses each event of a batch.
fn refuse(posted: &Posted) -> SinkReply {
    let failed = (0..posted.events().len()).map(|index| json!({ "index": index, "message": "no" }));
    let failed: Vec<Value> = failed.collect();
    SinkReply::Status(400, json!({ "code": 400, "failed_records": failed }))
}

/// A canary that takes its time.
async fn answer_slowly(mut visit: Visit) {
    loop {
        pause(300).await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow";
        if !visit.say(answer).await {
            return;
        }
        match visit.next().await {
            Some(next) => visit = next,
            None => return,
        }
    }
}

/// Asks everything again and again, over one connection for as long as the gateway keeps it open.
async fn traffic(address: SocketAddr) {
    let mut connection = Connection::open(address).await;
    for (user, path) in TRAFFIC.iter().cycle() {
        if connection.is_closed() {
            connection = Connection::open(address).await;
        }
        // What fails is what the alerts are about.
        let _ = connection.try_send(get(path).user(user)).await;
        pause(5).await;
    }
}
