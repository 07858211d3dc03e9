//! An hour in which a sink is down, in every way one after the other, while gateways are killed and restarted: afterwards it has
//! each exposure once in effect, and none under another ID or with another time.
//!
//! The hour is the calendar's: each start of the gateway has a later one. What is waited for and forced to the disk takes its
//! true time.

mod book;
mod load;
mod project;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{read_lines, sink};
use crate::harness::calendar::later_by;
use crate::harness::{Gateway, Setup, SinkServer, eventually_within};
use book::{Book, Exposures, Told};
use load::{Load, Run, Sent, Served, deployment};
use project::{Project, Trouble};

/// How many requests there are, unless the environment variable `OUTAGE` says it.
const REQUESTS: usize = 20_000;
/// How many requests each user makes, in the mean.
const EACH: usize = 10;
/// How long the sink is down, in seconds.
const HOUR: i64 = 60 * 60;
/// How long a sink may be left alone after a failure, and a little more.
const PATIENCE: Duration = Duration::from_secs(90);

/// What many users may cost: two sets of 36 MB, what else a gateway keeps of users, and a batch for each of two sinks.
const BOUND: u64 = 160 << 20;

const KEY: &str = "a-key-of-some-length";
const CONFIG: &str = "
services: { search: { stable: 'http://%stable%' } }
flags:
  search.ranker: { url: 'http://%canary%', rings: [{ name: early, rollout: 50% }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '%state%/state', limits: { requests_per_connection: 1000000000 } }
logging: { format: json, access: off }
attribution:
  exposures: { users: plain, key: a-key-of-some-length, control: all }
  sinks:
    - { name: lake, file: { path: '%state%/lake' } }
    - { name: mp, mixpanel: { project_id: 1, url: '%sink%', service_account: { user: me, secret: s } } }
";

/// What is wrong with the sink while a gateway runs, one after the other.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Connections are cut in the middle of a batch.
    BreaksOff,
    /// Nothing listens.
    Refuses,
    /// It answers badly.
    Answers(Trouble),
}

const TURNS: [Turn; 6] = [
    Turn::BreaksOff,
    Turn::Answers(Trouble::Narrow),
    Turn::Refuses,
    Turn::Answers(Trouble::Silence),
    Turn::Answers(Trouble::Errors),
    Turn::Answers(Trouble::Denies),
];

/// How a gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Restarted,
    Last,
}

/// How many requests there are to be.
fn requests() -> usize {
    let asked = std::env::var("OUTAGE");
    asked.map_or(REQUESTS, |text| text.parse().expect("a number"))
}

/// The parts of the story.
struct Outage {
    config: String,
    folder: TempDir,
    server: SinkServer,
    project: Project,
    load: Load,
    book: Book,
    /// How many seconds ahead the first gateway's calendar is.
    ahead: i64,
    took: Vec<u128>,
    _deployments: JoinSet<()>,
}

impl Outage {
    async fn new(each: usize) -> Self {
        let mut deployments = JoinSet::new();
        let stable = deployment(Served::Stable, &mut deployments).await;
        let canary = deployment(Served::Canary, &mut deployments).await;
        let (folder, server) = (TempDir::new().expect("a folder"), SinkServer::start().await);
        let project = Project::new();
        let asked = project.clone();
        server.answer(move |posted| asked.answer(posted));
        server.forget();
        let config = CONFIG
            .replace("%stable%", &stable.to_string())
            .replace("%canary%", &canary.to_string())
            .replace("%state%", &folder.path().display().to_string())
            .replace("%sink%", &server.url());
        // The hour begins at ten in the morning: all of it is on one day.
        let second = jiff::Timestamp::now().as_second().rem_euclid(86_400);
        Self {
            config,
            folder,
            server,
            project,
            load: Load::new(each),
            book: Book::default(),
            ahead: 10 * HOUR - second,
            took: Vec::new(),
            _deployments: deployments,
        }
    }

    async fn begin(&mut self, turn: Turn) {
        self.server.accept();
        self.server.break_off(matches!(turn, Turn::BreaksOff));
        match turn {
            Turn::BreaksOff => {}
            Turn::Refuses => self.server.refuse().await,
            Turn::Answers(trouble) => self.project.fail(trouble),
        }
    }

    /// Asks a gateway until so many requests are answered in all, and enters what was sent.
    async fn ask(&mut self, gateway: &Gateway, ahead: i64, up_to: usize, kills: bool) {
        let run = Run {
            gateway,
            ahead,
            up_to,
            kills,
        };
        let (sent, killed): (Vec<Sent>, _) = self.load.run(&run).await;
        self.took.extend(sent.iter().map(|one| one.took));
        self.book.enter(&sent, killed);
    }

    /// One gateway from its start to its end, while the sink is in this trouble.
    async fn live(&mut self, later: i64, turn: Turn, upto: [usize; 2], end: End) -> Gateway {
        self.begin(turn).await;
        let ahead = self.ahead + later;
        let setup = Setup::new(self.config.clone());
        let mut gateway = later_by(ahead, setup).start().await;
        if later > 0 {
            // So that the queue is not filled meanwhile: what it drops is counted, and this is about the rest.
            gateway
                .await_log("the spool has exposures from before")
                .await;
        }
        self.ask(&gateway, ahead, upto[0], false).await;
        eventually_within(PATIENCE, "trouble with the sink", || async {
            let shown = sink(&gateway, "mp").await;
            (shown["up"] == false).then_some(())
        })
        .await;
        let metrics = gateway.metrics().await;
        for result in ["dropped", "unwritten", "unreadable"] {
            assert_eq!(
                metrics.sum("serin_exposures_total", &[("result", result)]),
                0.0,
                "{result}"
            );
        }
        let taken = metrics.sum(
            "serin_exposures_total",
            &[("sink", "mp"), ("result", "sent")],
        );
        assert_eq!(taken, 0.0, "{turn:?} is an outage");
        self.ask(&gateway, ahead, upto[1], end == End::Killed).await;
        match end {
            End::Killed => drop(gateway.await_exit().await),
            End::Restarted => assert!(gateway.terminate().await.success()),
            End::Last => {}
        }
        gateway
    }

    /// The end of the outage: waits until everything has come.
    async fn mend(&mut self, gateway: &Gateway) {
        let age = gateway.metrics().await;
        let age = age.sum("serin_spool_age_seconds", &[("sink", "mp")]);
        assert!(age >= HOUR as f64, "the oldest has waited for {age} s");
        self.begin(Turn::Answers(Trouble::None)).await;
        let certain = self.book.certain();
        eventually_within(2 * PATIENCE, "everything at the sinks", || async {
            let metrics = gateway.metrics().await;
            let recorded = metrics.sum("serin_exposures_remembered", &[]) as usize;
            let left = metrics.sum("serin_spool_bytes", &[]);
            (recorded >= certain && left == 0.0).then_some(())
        })
        .await;
    }

    /// Holds what the sinks have against what the clients know.
    fn assert_whole(&self) {
        self.project.assert_well_told();
        let mut exposures = self.project.taken();
        let letters = read_lines(&self.path("state/dead-letter/mp.ndjson"));
        for letter in letters {
            let (id, told) = read(&letter["exposure"]);
            assert!(Project::refuses(&told.user), "{letter}");
            assert_eq!(letter["reason"], "properties.distinct_id: not this one");
            let other = exposures.insert(id, told);
            assert_eq!(other, None, "taken and put aside");
        }
        self.book.assert_are(&exposures, KEY);
        // The file was never in trouble, and has the same.
        let mut lake = Exposures::new();
        for line in read_lines(&self.path("lake/exposures.ndjson")) {
            let (id, told) = read(&line);
            assert_eq!(lake.insert(id, told), None, "twice: {line}");
        }
        assert!(lake == exposures, "the sinks differ");
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(path)
    }

    fn print(&mut self, begun: Instant, gateway: &Gateway) {
        self.took.sort_unstable();
        let (requests, seconds) = (self.took.len(), begun.elapsed().as_secs());
        let at = |part: f64| self.took[(requests as f64 * part) as usize] / 1000;
        let (taken, repeats) = self.project.counts();
        println!(
            "{requests} requests in {seconds} s, answered in {} ms (median), {} ms (p99); {taken} events in effect, {repeats} repeats, \
             {} exposures certain; the gateway holds {} MB",
            at(0.5),
            at(0.99),
            self.book.certain(),
            gateway.memory().resident >> 20,
        );
    }
}

fn read(exposure: &Value) -> (String, Told) {
    let text = |name: &str| exposure[name].as_str().expect("a text").to_owned();
    let time: jiff::Timestamp = text("time").parse().expect("a time");
    let told = Told {
        user: text("user"),
        served: text("served"),
        time: time.as_millisecond(),
    };
    (text("id"), told)
}

#[tokio::test]
async fn after_an_hour_of_outage_with_kills_a_sink_has_each_exposure_once() {
    let requests = requests();
    // A restart in the midst of the kills.
    let kills = if requests > REQUESTS { 10 } else { 2 };
    let mut ends = vec![End::Killed; kills];
    ends.insert(kills / 2, End::Restarted);
    let begun = Instant::now();
    let mut outage = Outage::new(EACH).await;
    let (lives, step) = (ends.len() + 1, HOUR / ends.len() as i64 + 1);
    let mut last = None;
    for (life, end) in ends.into_iter().chain([End::Last]).enumerate() {
        let turn = match end {
            End::Last => Turn::Answers(Trouble::Errors),
            _ => TURNS[life % TURNS.len()],
        };
        let (before, after) = (requests * life / lives, requests * (life + 1) / lives);
        let half = before + (after - before) / 2;
        let gateway = outage
            .live(step * life as i64, turn, [half, after], end)
            .await;
        last = Some(gateway);
    }
    let gateway = last.expect("one is left");
    outage.mend(&gateway).await;
    outage.print(begun, &gateway);
    drop(gateway);
    outage.assert_whole();
}

#[tokio::test]
async fn so_many_users_at_once_are_remembered_in_bounded_memory_and_cost_no_request() {
    let users = requests();
    let mut outage = Outage::new(1).await;
    let begun = Instant::now();
    let mut gateway = Setup::new(outage.config.clone()).start().await;
    let before = gateway.memory().resident;
    outage.ask(&gateway, 0, users, false).await;
    let asked = outage.took.len() as f64;
    let [recorded, dropped] = eventually_within(PATIENCE, "all of them", || async {
        let metrics = gateway.metrics().await;
        let count = |result| {
            let labels = [("sink", ""), ("result", result)];
            metrics.sum("serin_exposures_total", &labels)
        };
        let counts = [count("recorded"), count("dropped")];
        (counts.iter().sum::<f64>() == asked).then_some(counts)
    })
    .await;
    let after = gateway.memory().resident;
    outage.print(begun, &gateway);
    println!(
        "{recorded} recorded, {dropped} dropped; {} MB before, {} MB after",
        before >> 20,
        after >> 20
    );
    let remembered = gateway
        .metrics()
        .await
        .sum("serin_exposures_remembered", &[]);
    assert_eq!(remembered, recorded);
    assert!(after < before + BOUND, "from {before} to {after}");
    assert!(gateway.terminate().await.success());
    // The next one learns from the spool whom it need not record again.
    let next = Setup::new(outage.config.clone()).start().await;
    eventually_within(PATIENCE, "what was recorded", || async {
        let metrics = next.metrics().await;
        let remembered = metrics.sum("serin_exposures_remembered", &[]);
        (remembered == recorded).then_some(())
    })
    .await;
    let after = next.memory().resident;
    println!("{} MB after a restart", after >> 20);
    assert!(after < before + BOUND, "from {before} to {after}");
}
