//! A canary is killed in the midst of load while some of its answers fail: joined by request ID, whoever keeps a record of a request
//! names the same deployment. These are the origins, the client, its receipt, the access log, exposures with their sink, and metrics.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;

use super::read_lines;
use crate::harness::metrics::Metrics;
use crate::harness::{
    Connection, Gateway, Origin, Recorded, Reply, eventually, fill, get, post, until,
};
use crate::receipts::claims;

/// Requests beyond `max_requests` wait: they have been decided on, and reached nobody. Nobody is ejected or spared, so that only
/// what the canary fails and what the kill overtakes is served by another deployment than the assigned one.
const CONFIG: &str = "
server: { threads: 2, trusted_proxies: [127.0.0.0/8], shutdown_delay: 1ms, state_dir: '@folder/state' }
services:
  search:
    stable: @stable
    max_requests: 24
    queue: { length: 1000, wait: 30s }
    outlier: { consecutive_failures: 0, error_ratio: 0% }
    rescue: { quarantine_after: 0 }
flags:
  search.ranker:
    url: @canary
    rings: [{ name: staff, when: { userId: [u0, u1, u2, u3] } }, { name: early, rollout: 30% }]
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
client_api: { path: /.serin, rate_limit: { requests: 100000 } }
attribution:
  receipts: { key: a-secret-of-at-least-thirty-two-bytes, header: x-serin-receipt }
  exposures: { key: a-key-of-some-length, control: all }
  sinks: [{ name: lake, users: plain, file: { path: '@folder/lake' } }]
logging: { format: json, access: all, user_id: plain }
";

const KILL: &str = "/api/v1/services/search/canaries/search.ranker/kill";
const CANARY: &str = "search.ranker";
const USERS: usize = 300;
const ROUNDS: usize = 6;

/// Whether the canary fails a request: every fifth one.
fn is_failed(request_id: &str) -> bool {
    number(request_id).is_multiple_of(5)
}

fn number(request_id: &str) -> usize {
    let number = request_id.strip_prefix("request-");
    number.and_then(|text| text.parse().ok()).expect("an ID")
}

/// One user with a connection and the last receipt.
struct Client {
    name: String,
    number: usize,
    connection: Connection,
    receipt: Option<String>,
    answers: Vec<Told>,
}

/// What a client was told of one request.
struct Told {
    request_id: String,
    /// Who answered, by the answer's own body.
    origin: String,
    /// What the client's receipt says by then.
    receipt: Value,
    /// Whether the answer brought that receipt.
    is_new: bool,
}

impl Client {
    async fn open(gateway: &Gateway, number: usize) -> Self {
        Self {
            name: format!("u{number}"),
            number,
            connection: gateway.connect().await,
            receipt: None,
            answers: Vec::new(),
        }
    }

    async fn ask(&mut self, rounds: std::ops::Range<usize>) {
        for round in rounds {
            let request_id = format!("request-{}", self.number * ROUNDS + round);
            let mut call = get("/")
                .user(&self.name)
                .header("x-request-id", &request_id);
            if let Some(receipt) = &self.receipt {
                call = call.header("x-serin-receipt", receipt);
            }
            let answer = self.connection.send(call).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let told = answer.header("x-serin-receipt").map(str::to_owned);
            let is_new = told.is_some();
            self.receipt = told.or(self.receipt.take());
            self.answers.push(Told {
                request_id,
                origin: answer.origin().to_owned(),
                receipt: claims(self.receipt.as_deref().expect("a receipt")),
                is_new,
            });
        }
    }
}

/// Kills the canary while its answers are held back, it has all places, and most users wait for one. What is held is answered
/// afterwards. Returns the generation that knows of the kill.
async fn kill_in_mid_run(gateway: &Gateway, canary: &Origin) -> u64 {
    canary.await_requests(canary.count() + 100).await;
    canary.hold();
    eventually("a full queue", || async {
        let metrics = gateway.metrics().await;
        let active = metrics.sum("serin_active_requests", &[]);
        (active >= 200.0).then_some(())
    })
    .await;
    let killed = gateway.admin_send(post(KILL, "")).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    canary.release();
    killed.json()["generation"].as_u64().expect("a number")
}

/// All records of one run.
struct Run {
    folder: TempDir,
    gateway: Gateway,
    stable: Vec<Recorded>,
    canary: Vec<Recorded>,
    clients: Vec<Client>,
    /// The access log by request ID.
    lines: BTreeMap<String, Value>,
    exposures: Vec<Value>,
    killed_in: u64,
}

impl Run {
    async fn make() -> Self {
        let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
        canary.answer(|seen| {
            let failed = is_failed(&seen.header("x-request-id").expect("an ID"));
            Reply::status(if failed { 503 } else { 200 })
        });
        let folder = TempDir::new().expect("a folder");
        let config = fill(CONFIG, [&stable, &canary]);
        let config = config.replace("@folder", &folder.path().display().to_string());
        let gateway = Gateway::start(config).await;
        let mut clients = join_all((0..USERS).map(|user| Client::open(&gateway, user))).await;
        join_all(clients.iter_mut().map(|client| client.ask(0..1))).await;
        let under_load = join_all(clients.iter_mut().map(|client| client.ask(1..ROUNDS)));
        let (_, killed_in) = tokio::join!(under_load, kill_in_mid_run(&gateway, &canary));
        let lines = until("every line", || {
            let lines = gateway.access_log();
            (lines.len() == USERS * ROUNDS).then_some(lines)
        })
        .await;
        let id = |line: &Value| text(line, "request_id").to_owned();
        let lines: BTreeMap<_, _> = lines.into_iter().map(|line| (id(&line), line)).collect();
        let expected = first_sights(&lines).len();
        Self {
            lines,
            exposures: recorded(&gateway, expected).await,
            stable: stable.requests(),
            canary: canary.requests(),
            folder,
            gateway,
            clients,
            killed_in,
        }
    }

    fn line(&self, told: &Told) -> &Value {
        let line = self.lines.get(&told.request_id);
        line.unwrap_or_else(|| panic!("no line of {}", told.request_id))
    }

    fn count(&self, wanted: impl Fn(&Value) -> bool) -> f64 {
        self.lines.values().filter(|line| wanted(line)).count() as f64
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The first line of each user and deployment that makes an exposure, by user and deployment. Users whom the killed canary would
/// have taken are on no side.
fn first_sights(lines: &BTreeMap<String, Value>) -> BTreeMap<(&str, &str), &Value> {
    let mut in_order: Vec<&Value> = lines.values().collect();
    in_order.sort_by_key(|line| number(text(line, "request_id")));
    let mut first = BTreeMap::new();
    for line in in_order
        .into_iter()
        .filter(|line| line["reason"] != "killed")
    {
        let sight = (text(line, "user_id"), text(line, "served"));
        first.entry(sight).or_insert(line);
    }
    first
}

/// What is recorded, once there is as much as there should be.
async fn recorded(gateway: &Gateway, expected: usize) -> Vec<Value> {
    eventually("every exposure", || async {
        let answer = gateway.admin("/api/v1/exposures?limit=1000").await;
        let exposures = answer.json()["exposures"].as_array().cloned();
        exposures.filter(|exposures| exposures.len() >= expected)
    })
    .await
}

/// An origin's own log: how often it was asked which request, by whom.
fn log_of(origin: &[Recorded]) -> BTreeMap<(String, String), usize> {
    let mut log = BTreeMap::new();
    for seen in origin {
        let header = |name| seen.header(name).expect("a field");
        *log.entry((header("x-request-id"), header("x-user-id")))
            .or_default() += 1;
    }
    log
}

/// The origins were asked what the access log says, and nothing else.
fn assert_origins_agree(run: &Run) {
    let (mut stable, mut canary) = (BTreeMap::new(), BTreeMap::new());
    for line in run.lines.values() {
        let request = || {
            (
                text(line, "request_id").to_owned(),
                text(line, "user_id").to_owned(),
            )
        };
        let failed = is_failed(text(line, "request_id"));
        match (
            text(line, "assigned"),
            text(line, "served"),
            text(line, "cause"),
        ) {
            ("stable", "stable", "") => stable.insert(request(), 1),
            (CANARY, CANARY, "") if !failed => canary.insert(request(), 1),
            (CANARY, "stable", "killed") => stable.insert(request(), 1),
            (CANARY, "stable", "status") if failed => {
                canary.insert(request(), 1);
                stable.insert(request(), 1)
            }
            _ => panic!("{line}"),
        };
    }
    assert_eq!(log_of(&run.stable), stable);
    assert_eq!(log_of(&run.canary), canary);
}

/// The body and the receipt of each answer name who served, by the access log.
fn assert_clients_agree(run: &Run) {
    for client in &run.clients {
        for told in &client.answers {
            let line = run.line(told);
            assert_eq!(line["user_id"], *client.name);
            let origin = match text(line, "served") {
                CANARY => "canary",
                other => other,
            };
            assert_eq!(told.origin, origin, "{line}");
            let by = &told.receipt["served"]["search"];
            assert_eq!([&by["d"], &by["a"]], [&line["served"], &line["assigned"]]);
            if told.is_new {
                assert_eq!([&by["r"], &by["g"]], [&line["reason"], &line["generation"]]);
            }
        }
    }
}

/// What is recorded is the first sight of each user and deployment, under the name that the user's receipts have.
fn assert_exposures_agree(run: &Run) {
    let subjects: BTreeMap<&str, &str> = run
        .clients
        .iter()
        .map(|client| (text(&client.answers[0].receipt, "sub"), &*client.name))
        .collect();
    assert_eq!(subjects.len(), USERS);
    let mut expected = first_sights(&run.lines);
    for exposure in &run.exposures {
        let user = subjects[text(exposure, "user")];
        let line = expected.remove(&(user, text(exposure, "served")));
        let line = line.unwrap_or_else(|| panic!("a second one, or of nothing: {exposure}"));
        for name in [
            "assigned",
            "served",
            "cause",
            "reason",
            "generation",
            "service",
        ] {
            assert_eq!(exposure[name], line[name], "{name}: {exposure} {line}");
        }
        let arm = match (text(line, "assigned"), text(line, "served")) {
            (CANARY, CANARY) => "canary",
            (CANARY, _) => "other",
            _ => "control",
        };
        assert_eq!(exposure["arm"], arm, "{exposure}");
    }
    assert_eq!(expected, BTreeMap::new(), "not recorded");
}

/// The sink has the same exposures, with the users as they are.
async fn assert_sink_agrees(run: &Run) {
    let path = run.folder.path().join("lake/exposures.ndjson");
    let lines = until("the sink", || {
        let lines = read_lines(&path);
        (lines.len() >= run.exposures.len()).then_some(lines)
    })
    .await;
    let known: BTreeMap<&str, &Value> = run
        .exposures
        .iter()
        .map(|exposure| (text(exposure, "id"), exposure))
        .collect();
    assert_eq!(
        (lines.len(), known.len()),
        (run.exposures.len(), run.exposures.len())
    );
    let users: BTreeMap<&str, &str> = run
        .clients
        .iter()
        .map(|client| (&*client.name, text(&client.answers[0].receipt, "sub")))
        .collect();
    for line in &lines {
        let exposure = known[text(line, "id")];
        assert_eq!(exposure["user"], users[text(line, "user")]);
        for name in ["time", "served", "assigned", "arm", "generation"] {
            assert_eq!(exposure[name], line[name], "{name}");
        }
    }
}

/// The metrics are the sums of the access log; what was not served as assigned is what the canary failed by its own log, and what
/// the kill overtook.
async fn assert_metrics_agree(run: &Run) {
    let metrics = run.gateway.metrics().await;
    for (assigned, served) in [("stable", "stable"), (CANARY, CANARY), (CANARY, "stable")] {
        let logged = run.count(|line| line["assigned"] == assigned && line["served"] == served);
        let labels = [("assigned", assigned), ("served", served), ("code", "200")];
        assert_eq!(metrics.sum("serin_requests_total", &labels), logged);
        assert!(logged > 0.0, "{labels:?}");
    }
    let all = (USERS * ROUNDS) as f64;
    assert_eq!(
        metrics.sum("serin_requests_total", &[("service", "search")]),
        all
    );
    let failed = run
        .canary
        .iter()
        .filter_map(|seen| seen.header("x-request-id"));
    let failed = failed.filter(|request_id| is_failed(request_id)).count() as f64;
    let killed = run.count(|line| line["cause"] == "killed");
    for (cause, count) in [("status", failed), ("killed", killed)] {
        let labels = [("from", CANARY), ("cause", cause)];
        assert_eq!(
            metrics.sum("serin_rescues_total", &labels),
            count,
            "{cause}"
        );
        assert!(count > 0.0, "{cause}");
    }
    let labels = [("assigned", CANARY), ("served", "stable")];
    assert_eq!(
        metrics.sum("serin_requests_total", &labels),
        failed + killed
    );
    assert_counters_agree(run, &metrics);
}

/// So are the counters of decisions, receipts and exposures.
fn assert_counters_agree(run: &Run, metrics: &Metrics) {
    for reason in ["ring", "killed"] {
        let labels = [("flag", CANARY), ("reason", reason)];
        let logged = run.count(|line| line["reason"] == reason);
        assert_eq!(
            metrics.sum("serin_decisions_total", &labels),
            logged,
            "{reason}"
        );
    }
    let new = run.clients.iter().flat_map(|client| &client.answers);
    let new = new.filter(|told| told.is_new).count() as f64;
    let recorded = run.exposures.len() as f64;
    for (name, labels, count) in [
        ("serin_receipts_total", [("result", "sent"); 2], new),
        (
            "serin_exposures_total",
            [("sink", ""), ("result", "recorded")],
            recorded,
        ),
        (
            "serin_exposures_total",
            [("sink", "lake"), ("result", "sent")],
            recorded,
        ),
        (
            "serin_exposures_total",
            [("sink", ""), ("result", "dropped")],
            0.0,
        ),
    ] {
        assert_eq!(metrics.sum(name, &labels), count, "{name}{labels:?}");
    }
}

/// The kill holds for all who came after it, and only for those.
fn assert_kill_agrees(run: &Run) {
    for line in run.lines.values().filter(|line| line["flag"] == CANARY) {
        let before = line["generation"].as_u64() < Some(run.killed_in);
        let reason = if before { "ring" } else { "killed" };
        assert_eq!(line["reason"], reason, "{line}");
    }
}

/// What apps ask of the gateway names who served them last: by its memory, and by their receipt.
async fn assert_decisions_agree(run: &mut Run) {
    let mut forgotten = 0;
    for client in &mut run.clients {
        let last = client.answers.last().expect("an answer");
        let served = &run.lines[&last.request_id]["served"];
        let call = || get("/.serin/decisions").user(&client.name);
        let receipt = client.receipt.as_deref().expect("a receipt");
        for call in [call(), call().header("x-serin-receipt", receipt)] {
            let decisions = client.connection.send(call).await.json();
            let told = &decisions["decisions"][0]["served"];
            // Two users can have one place in the memory, which then is the later one's.
            forgotten += usize::from(told.is_null());
            assert!(told == served || told.is_null(), "{told} {served}");
        }
    }
    assert!(forgotten < USERS / 20, "{forgotten}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_names_the_deployment_that_served_when_a_canary_is_killed_under_load() {
    let mut run = Run::make().await;
    assert_origins_agree(&run);
    assert_clients_agree(&run);
    assert_exposures_agree(&run);
    assert_kill_agrees(&run);
    assert_sink_agrees(&run).await;
    assert_metrics_agree(&run).await;
    assert_decisions_agree(&mut run).await;
}
