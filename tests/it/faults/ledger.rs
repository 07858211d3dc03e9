//! What clients, access log, metrics and origins each say about the same requests, laid side by side.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::load::Sent;
use super::origin::Run;
use super::{CANARY, Fault, SPOILT, deployment_of};
use crate::harness::metrics::Metrics;

pub(super) const REQUESTS: &str = "serin_requests_total";
pub(super) const RESCUES: &str = "serin_rescues_total";
pub(super) const RETRIES: &str = "serin_retries_total";
const BROKEN: &str = "serin_broken_responses_total";

/// All of it.
pub(super) struct Books {
    at_first: Metrics,
    phases: Vec<Phase>,
    /// The access log, by request.
    lines: HashMap<usize, Value>,
    /// What was executed, by request: the origin, and what it did.
    runs: HashMap<usize, Vec<(&'static str, Run)>>,
    /// What the books do not agree on.
    wrong: Vec<String>,
}

/// One fault at one place.
pub(super) struct Phase {
    fault: Fault,
    place: &'static str,
    sent: Vec<Sent>,
    /// At its end.
    metrics: Metrics,
}

/// One request, as everybody saw it.
struct Entry<'a> {
    sent: &'a Sent,
    line: &'a Value,
    runs: &'a [(&'static str, Run)],
}

impl Phase {
    pub(super) fn new(
        fault: Fault,
        place: &'static str,
        sent: Vec<Sent>,
        metrics: Metrics,
    ) -> Self {
        Self {
            fault,
            place,
            sent,
            metrics,
        }
    }

    fn title(&self) -> String {
        format!("{} at {}", self.fault.name(), self.place)
    }
}

impl<'a> Entry<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.line[key].as_str()
    }

    fn is_rescued(&self) -> bool {
        self.text("assigned") == Some(CANARY) && self.text("served") == Some("stable")
    }

    fn retries(&self) -> usize {
        self.line["retries"]
            .as_u64()
            .and_then(|n| n.try_into().ok())
            .expect("a number")
    }

    /// Whether the deployment that the request was moved away from, or that failed last, was reached by it.
    fn failed_after_reaching(&self) -> bool {
        let moved = self.text("served") != self.text("assigned");
        moved && matches!(self.text("cause"), Some("reset" | "timeout" | "status"))
    }

    /// The most attempts that can have reached an origin.
    fn most_runs(&self) -> usize {
        let answered = usize::from(self.text("served").is_some());
        answered + self.retries() + usize::from(self.failed_after_reaching())
    }

    /// Begun, or well.
    fn is_well(&self) -> bool {
        self.sent.status == 200 && self.sent.whole
    }

    /// What is wrong with it.
    fn faults(&self, fault: Fault) -> Vec<String> {
        let Sent { post, status, .. } = *self.sent;
        let origin = self.sent.origin.as_deref();
        let answering = self
            .runs
            .iter()
            .filter(|(name, run)| Some(*name) == origin && run.status() == Some(status));
        let answered = match origin {
            Some(_) => answering.count() > 0,
            None => self.text("served").is_none() && status >= 500,
        };
        let method = if post { "POST" } else { "GET" };
        let may_break = fault == Fault::Acts("cut");
        let rules = [
            (status != 0, "has no answer"),
            (
                self.line["status"] == status && self.text("method") == Some(method),
                "is another in the access log",
            ),
            (
                self.text("served") == origin.map(deployment_of),
                "was served by somebody else than the access log says",
            ),
            (answered, "was answered by nobody who remembers it"),
            (
                self.runs.iter().all(|(_, run)| run.method == method),
                "was executed as another",
            ),
            (
                post || status == 200 && (self.sent.whole || may_break),
                "is safe and failed",
            ),
            (
                !post || self.runs.len() <= 1,
                "is a POST and was executed twice",
            ),
            (
                self.runs.len() <= self.most_runs(),
                "was executed more often than the access log knows",
            ),
        ];
        let broken = rules.into_iter().filter(|(holds, _)| !holds);
        broken.map(|(_, why)| why.to_owned()).collect()
    }
}

impl Books {
    pub(super) fn new(at_first: Metrics) -> Self {
        Self {
            at_first,
            phases: Vec::new(),
            lines: HashMap::new(),
            runs: HashMap::new(),
            wrong: Vec::new(),
        }
    }

    /// The number of the next request; all before it have been answered and written down.
    pub(super) fn next_id(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn add(&mut self, phase: Phase, lines: Vec<Value>) {
        for line in lines {
            let path = line["path"].as_str().expect("a path");
            let id = path.split('/').nth(2).and_then(|id| id.parse().ok());
            let before = self.lines.insert(id.expect("a number"), line);
            assert!(before.is_none(), "two lines: {before:?}");
        }
        self.phases.push(phase);
    }

    pub(super) fn add_runs(&mut self, origin: &'static str, deployment: &str, runs: Vec<Run>) {
        for run in runs {
            if run.deployment != deployment {
                self.wrong.push(format!("{origin} was told {run:?}"));
            }
            self.runs.entry(run.id).or_default().push((origin, run));
        }
    }

    fn entries<'a>(&'a self, phase: &'a Phase) -> impl Iterator<Item = Entry<'a>> {
        phase.sent.iter().map(|sent| Entry {
            sent,
            line: &self.lines[&sent.id],
            runs: self.runs.get(&sent.id).map_or(&[], Vec::as_slice),
        })
    }

    /// Fails unless all agree, and nobody was harmed.
    pub(super) fn check(mut self) {
        let mut wrong = std::mem::take(&mut self.wrong);
        let mut before = &self.at_first;
        for phase in &self.phases {
            for entry in self.entries(phase) {
                for why in entry.faults(phase.fault) {
                    let Entry { sent, line, runs } = &entry;
                    let title = phase.title();
                    wrong.push(format!("{title}: {why}: {sent:?}\n  {line}\n  {runs:?}"));
                }
            }
            for why in self.differences(phase, before) {
                wrong.push(format!("{}: {why}", phase.title()));
            }
            before = &phase.metrics;
        }
        wrong.extend(self.moved_users());
        let shown = wrong.iter().take(30).cloned().collect::<Vec<_>>();
        assert!(
            wrong.is_empty(),
            "{} complaints\n{}",
            wrong.len(),
            shown.join("\n")
        );
    }

    /// Users whose assignment was not the same all the time.
    fn moved_users(&self) -> Vec<String> {
        let mut assigned = BTreeMap::new();
        let entries = self.phases.iter().flat_map(|phase| self.entries(phase));
        let mut moved = Vec::new();
        for entry in entries {
            let now = entry.text("assigned");
            if *assigned.entry(&entry.sent.user).or_insert(now) != now {
                moved.push(format!("{} was assigned {now:?}, too", entry.sent.user));
            }
        }
        moved
    }

    /// Where the metrics, the access log and the origins differ over a phase, and whether the fault was felt at all.
    fn differences(&self, phase: &Phase, before: &Metrics) -> Vec<String> {
        let grown = |name: &str, labels: &[(&str, &str)]| {
            phase.metrics.sum(name, labels) - before.sum(name, labels)
        };
        let mut pairs = vec![
            ("requests", phase.sent.len(), grown(REQUESTS, &[])),
            (
                "decisions",
                phase.sent.len(),
                grown("serin_decisions_total", &[]),
            ),
        ];
        let mut requests = BTreeMap::new();
        let mut rescues = BTreeMap::new();
        let (mut retries, mut broken, mut runs, mut attempts) = (0, 0, 0, 0);
        for entry in self.entries(phase) {
            let served = entry.text("served").unwrap_or("-");
            let code = entry.sent.status.to_string();
            let assigned = entry.text("assigned").unwrap_or("-");
            *requests.entry((assigned, served, code)).or_default() += 1;
            if entry.is_rescued() {
                *rescues
                    .entry(entry.text("cause").unwrap_or("-"))
                    .or_default() += 1;
            }
            retries += entry.retries();
            broken += usize::from(!entry.sent.whole);
            runs += entry.runs.len();
            attempts += usize::from(served != "-") + usize::from(entry.failed_after_reaching());
        }
        for ((assigned, served, code), count) in &requests {
            let labels = [("assigned", *assigned), ("served", *served), ("code", code)];
            pairs.push(("requests of a kind", *count, grown(REQUESTS, &labels)));
        }
        for (cause, count) in &rescues {
            let labels = [("from", CANARY), ("cause", *cause)];
            pairs.push(("rescues of a cause", *count, grown(RESCUES, &labels)));
        }
        pairs.push(("rescues", rescues.values().sum(), grown(RESCUES, &[])));
        pairs.push(("retries", retries, grown(RETRIES, &[])));
        pairs.push(("broken answers", broken, grown(BROKEN, &[])));
        let reached =
            ["reset", "timeout", "status"].map(|cause| grown(RETRIES, &[("cause", cause)]));
        let attempts = attempts as f64 + reached.iter().sum::<f64>();
        let differing = pairs
            .into_iter()
            .filter(|(_, ours, theirs)| *ours as f64 != *theirs);
        let mut found: Vec<String> = differing
            .map(|(what, ours, theirs)| format!("{what}: {ours}, but {theirs} in the metrics"))
            .collect();
        if runs as f64 != attempts && !phase.fault.loses_requests() {
            found.push(format!(
                "{runs} executed, of {attempts} attempts that reached an origin"
            ));
        }
        found.extend(self.unfelt(phase, &rescues, retries));
        found
    }

    /// A fault that nobody felt proves nothing.
    fn unfelt(
        &self,
        phase: &Phase,
        rescues: &BTreeMap<&str, usize>,
        retries: usize,
    ) -> Option<String> {
        let rescued: usize = rescues.values().sum();
        let felt = match (phase.fault, phase.place) {
            (Fault::None | Fault::Nameless, _) => self.entries(phase).all(|entry| entry.is_well()),
            (SPOILT, _) => rescues.contains_key("quarantined"),
            (_, "the whole canary") => rescued > 0,
            (Fault::Acts(act), _) => {
                let mut entries = self.entries(phase);
                entries.any(|entry| entry.runs.iter().any(|(_, run)| run.act == act))
            }
            // The gateway was seen to notice.
            _ => true,
        };
        (!felt).then(|| format!("not as it is to be felt: {rescues:?}, {retries} retries"))
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "\n{:<28} {:>8} {:>14} {:>14} {:>14} {:>8} {:>8}  served in place of the canary, by cause\n",
            "fault", "requests", "failed", "broken off", "executed twice", "assigned", "p99"
        );
        let _ = writeln!(
            text,
            "{:<28} {:>8} {:>14} {:>14} {:>14} {:>8} {:>8}",
            "", "", "GET / POST", "GET / POST", "GET / POST", "canary", "ms"
        );
        for phase in &self.phases {
            let _ = writeln!(text, "{}", self.row(phase));
        }
        text
    }

    fn row(&self, phase: &Phase) -> String {
        let count = |is: &dyn Fn(&Entry<'_>) -> bool| {
            let of = |post| {
                let entries = self.entries(phase).filter(|entry| entry.sent.post == post);
                entries.filter(|entry| is(entry)).count()
            };
            format!("{} / {}", of(false), of(true))
        };
        let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.entries(phase).filter(Entry::is_rescued) {
            *causes
                .entry(entry.text("cause").unwrap_or("-"))
                .or_default() += 1;
        }
        let causes = causes
            .iter()
            .map(|(cause, count)| format!("{cause} {count}"));
        let mut took: Vec<Duration> = phase.sent.iter().map(|sent| sent.took).collect();
        took.sort_unstable();
        let assigned = self.entries(phase);
        let assigned = assigned.filter(|entry| entry.text("assigned") == Some(CANARY));
        format!(
            "{:<28} {:>8} {:>14} {:>14} {:>14} {:>8} {:>8.1}  {}",
            phase.title(),
            phase.sent.len(),
            count(&|entry| entry.sent.status != 200),
            count(&|entry| entry.sent.status == 200 && !entry.sent.whole),
            count(&|entry| entry.runs.len() > 1),
            assigned.count(),
            took[took.len() * 99 / 100].as_secs_f64() * 1e3,
            causes.collect::<Vec<_>>().join(", ")
        )
    }
}
