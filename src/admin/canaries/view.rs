//! Registrations as JSON.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::held::HeldView;
use crate::admin::AdminState;
use crate::admin::kept::document::Rings;
use crate::admin::problem::Problem;
use crate::clock::{self, Reading};
use crate::config::value::written_duration;
use crate::context::Moment;
use crate::engine::Flag;
use crate::engine::reach::Reach;
use crate::flag::Share;
use crate::meter::view::AssignedRequests;
use crate::publisher::registrar::Report;
use crate::registry::registrations::Name;
use crate::registry::registrations::lease::Lease;
use crate::registry::registrations::record::{About, Entry, Record};
use crate::snapshot::{Service, Snapshot};
use crate::source::unleash::Recorder;

/// Everything that is registered for a service.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Canaries")]
pub(in crate::admin) struct CanariesView {
    pub(super) service: String,
    pub(super) canaries: Vec<CanaryView>,
}

/// A registered canary.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedCanary")]
pub(in crate::admin) struct CanaryView {
    service: String,
    name: String,
    url: String,
    /// `checking`, `ready` or `over`.
    #[schemars(extend("enum" = ["checking", "ready", "over"]))]
    state: &'static str,
    /// Whether somebody has killed it.
    killed: bool,
    lease: LeaseView,
    /// Who its users are; `null`: no snapshot has its flag yet.
    flag: Option<FlagView>,
    #[serde(flatten)]
    about: About,
    health: Option<HealthView>,
    #[schemars(with = "Option<Rings>")]
    rings: Option<Value>,
    stickiness: Option<String>,
    /// Where it moves once that is ready.
    moving_to: Option<String>,
    /// What its last health check said, until one has passed.
    check: Option<CheckView>,
    #[schemars(extend("format" = "date-time"))]
    registered_at: String,
    age_seconds: u64,
    by: String,
    /// How many requests were assigned to it since this gateway began.
    requests: Option<u64>,
    /// Where it stands: `state`, `redis`, and `unleash` once its flag there says what is registered.
    recorded_in: Vec<&'static str>,
    /// What is not used of the registration, and why it is not recorded, if it is not.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lease")]
struct LeaseView {
    ttl: String,
    #[schemars(extend("format" = "date-time"))]
    expires_at: String,
    #[schemars(extend("format" = "date-time"))]
    renewed_at: String,
    /// Why it does not end at that moment, if it does not.
    held: Option<HeldView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CanaryFlag")]
struct FlagView {
    source: String,
    #[schemars(extend("enum" = ["nobody", "some", "everybody"]))]
    on_for: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Health")]
struct HealthView {
    path: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FailedCheck")]
struct CheckView {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    said: String,
}

/// What an order has come to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Registered")]
pub(in crate::admin) struct RegisteredView {
    #[serde(flatten)]
    canary: CanaryView,
    generation: u64,
}

/// A registered canary with its history.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Canary")]
pub(in crate::admin) struct ShownView {
    #[serde(flatten)]
    canary: CanaryView,
    history: Vec<EntryView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HistoryEntry")]
struct EntryView {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    what: String,
    by: Option<String>,
    detail: Option<String>,
}

/// What views are made of.
pub(super) struct Looked {
    snapshot: Arc<Snapshot>,
    killed: Vec<String>,
    /// Where every registration stands.
    stored_in: &'static [&'static str],
    recorder: Recorder,
    now: Reading,
}

impl Looked {
    /// Looks at a service.
    pub(super) fn at(state: &AdminState, service: &str) -> Result<Self, Problem> {
        let snapshot = state.publisher.store().load();
        if snapshot.services.named(service).is_none() {
            return Err(Problem::new(
                404,
                format!("there is no service `{service}`"),
            ));
        }
        let killed = state.kills.all().of_service(service);
        Ok(Self {
            snapshot,
            killed: killed.into_iter().map(|(flag, _)| flag).collect(),
            stored_in: state.state_store.recorded_in(),
            recorder: state.flag_servers.recorder().clone(),
            now: clock::reading(),
        })
    }

    pub(super) fn canary(&self, name: &Name, lease: &Lease) -> CanaryView {
        let record = &lease.record;
        let (service, canary) = name;
        let age = self
            .now
            .moment
            .unix_ms
            .saturating_sub(record.registered_at_unix_ms);
        let found = self.snapshot.services.named(service);
        let deployment = found.and_then(|found| {
            let mut deployments = found.deployments.iter();
            deployments.find(|deployment| deployment.name == *canary)
        });
        CanaryView {
            service: service.to_string(),
            name: canary.to_string(),
            url: record.url.clone(),
            state: self.state(found, canary, lease),
            killed: self.killed.iter().any(|killed| **killed == **canary),
            lease: LeaseView {
                ttl: written_duration(Duration::from_millis(record.ttl_ms)),
                expires_at: shown(lease.planned_end(self.now)),
                renewed_at: at(record.renewed_at_unix_ms),
                held: HeldView::of(lease),
            },
            flag: self.snapshot.flag(canary).map(|flag| FlagView::of(flag)),
            about: record.about.clone(),
            health: record.health_path.clone().map(|path| HealthView { path }),
            rings: record.rings.clone(),
            stickiness: record.stickiness.clone(),
            moving_to: record.next.as_ref().map(|next| next.url.clone()),
            check: lease.last_check.as_ref().map(|check| CheckView {
                at: shown(check.at),
                said: check.text.clone(),
            }),
            registered_at: at(record.registered_at_unix_ms),
            age_seconds: u64::try_from(age).unwrap_or_default() / 1000,
            by: record.by.clone(),
            requests: deployment.map(|deployment| AssignedRequests::of(&deployment.meter).total()),
            recorded_in: recorded_in(self.stored_in, record.is_recorded()),
            warnings: self.warnings(canary, record),
        }
    }

    /// A canary whose check has passed is told to be ready once requests are decided on that, a moment after it is stored.
    fn state(&self, service: Option<&Service>, canary: &str, lease: &Lease) -> &'static str {
        let mut candidates = service.iter().flat_map(|service| service.candidates.iter());
        let mut is_checking = || candidates.any(|one| *one.flag.name == *canary && one.is_checking);
        match lease.state(self.now) {
            "ready" if is_checking() => "checking",
            state => state,
        }
    }

    fn warnings(&self, canary: &str, record: &Record) -> Vec<String> {
        let unused = format!(" registered {} for {canary}, which is not used", record.url);
        let of_snapshot = self.snapshot.warnings.iter();
        let of_snapshot = of_snapshot.filter(|one| one.contains(&unused)).cloned();
        let standing = self.recorder.standing(canary);
        let trouble = standing.and_then(|standing| standing.error);
        let trouble = trouble.map(|why| format!("not recorded in Unleash: {why}"));
        let flag = self.snapshot.flag(canary);
        let keeper = flag.filter(|flag| record.rings.is_some() && !flag.origin.is_a_registration());
        let rings = keeper.map(|flag| {
            let keeper = flag.origin.keeper();
            format!("its `rings` do not count: the flag that {keeper} keeps says who its users are")
        });
        of_snapshot.chain(trouble).chain(rings).collect()
    }

    pub(super) fn registered(&self, name: &Name, report: &Report) -> RegisteredView {
        let mut canary = self.canary(name, &report.lease);
        canary.recorded_in = recorded_in(report.recorded_in, report.lease.record.is_recorded());
        RegisteredView {
            canary,
            generation: report.generation,
        }
    }

    pub(super) fn shown(&self, name: &Name, lease: &Lease) -> ShownView {
        ShownView {
            canary: self.canary(name, lease),
            history: lease.record.history.iter().map(EntryView::from).collect(),
        }
    }
}

impl FlagView {
    fn of(flag: &Flag) -> Self {
        let reach = Reach::of(flag);
        Self {
            source: flag.origin.source().to_owned(),
            on_for: match reach.share {
                Some(Share::ALL) => "everybody",
                None if reach.rings.is_empty() => "nobody",
                _ => "some",
            },
        }
    }
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        Self {
            at: at(entry.at_unix_ms),
            what: entry.what.clone(),
            by: entry.by.clone(),
            detail: entry.detail.clone(),
        }
    }
}

fn recorded_in(stored_in: &[&'static str], is_recorded: bool) -> Vec<&'static str> {
    let unleash = is_recorded.then_some("unleash");
    stored_in.iter().copied().chain(unleash).collect()
}

fn at(unix_ms: i64) -> String {
    shown(Moment { unix_ms })
}

fn shown(moment: Moment) -> String {
    moment.to_string()
}
