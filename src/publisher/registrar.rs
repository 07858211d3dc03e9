//! Takes registrations: stored first, then in the next snapshot.

mod leases;
mod order;
mod readiness;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{PublishError, PublisherHandle};
use crate::audit::actor::Actor;
use crate::audit::entry::Action;
use crate::clock;
use crate::cluster::policy::UrlRefusal;
use crate::config::diagnostic::Severity;
use crate::config::document::{Document, FieldProblem};
use crate::config::value;
use crate::engine::Origin;
use crate::events::EventKind;
use crate::registry::kills::Kills;
use crate::registry::registrations::lease::Lease;
use crate::registry::registrations::record::Record;
use crate::registry::registrations::{ChangeError, Name, Registrations};
use crate::state::{StoreError, Stored};
use order::Effect;
pub use order::Order;
use readiness::Checks;
use trail::Difference;

/// How many registrations there may be.
const MOST: usize = 50_000;

/// Registers canaries, renews them and takes them back.
#[derive(Clone, Debug)]
pub struct Registrar {
    registrations: Registrations,
    kills: Kills,
    publisher: PublisherHandle,
    checks: Checks,
    /// Rung when there is something to look at before it is due.
    woken: Arc<Notify>,
}

/// How an order was carried out.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is registered now.
    pub lease: Lease,
    /// Whether there was none before.
    pub is_new: bool,
    /// Where that is stored.
    pub recorded_in: &'static [&'static str],
    /// The generation that holds it.
    pub generation: u64,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such service.
    #[error("there is no service `{0}`")]
    NoService(Arc<str>),
    /// The name cannot be a flag's.
    #[error("`{0}` cannot be the name of a canary: {1}")]
    Name(Arc<str>, String),
    /// The service has no canaries of such a name.
    #[error("`{0}` matches none of the canaries of {1}: {2}")]
    NotOfService(Arc<str>, Arc<str>, String),
    /// `routes.yaml` says where the canary is.
    #[error("the flag `{0}` of routes.yaml has a `url`: git owns it, so change it there")]
    OfFile(Arc<str>),
    /// The URL is refused.
    #[error(transparent)]
    Url(#[from] UrlRefusal),
    /// The TTL is too long.
    #[error("the TTL `{0}` is longer than `registry.ttl.max`, which is {1}")]
    Ttl(String, String),
    /// The rings cannot be used.
    #[error("the rings cannot be used: {}", .0.first().map(FieldProblem::in_one_line).unwrap_or_default())]
    Rings(Vec<FieldProblem>),
    /// There are too many.
    #[error("{MOST} canaries are registered, which is the most: take some back first")]
    TooMany,
    /// There is none.
    #[error("`{0}` is not registered in {1}, or its lease is over: register it again")]
    NotRegistered(Arc<str>, Arc<str>),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No snapshot could be made of it.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// When the next snapshot is to hold a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publication {
    /// Before anybody is told that it is made.
    Now,
    /// Shortly before it matters.
    Later,
}

impl Registrar {
    /// For what `publisher` publishes, which must know the same registrations and kills.
    pub fn new(registrations: Registrations, kills: Kills, publisher: PublisherHandle) -> Self {
        Self {
            registrations,
            kills,
            publisher,
            checks: Checks::default(),
            woken: Arc::default(),
        }
    }

    /// Everything that is registered.
    pub fn registrations(&self) -> &Registrations {
        &self.registrations
    }

    /// Registers a canary, or renews what is registered, by order of `actor`. When this returns, that is stored, and requests are
    /// decided accordingly.
    ///
    /// # Errors
    /// When it cannot be registered so, or not now; nothing has changed then.
    pub async fn register(&self, order: Order, actor: &Actor) -> Result<Report, Refusal> {
        let by = &*actor.by();
        self.judge(&order)?;
        let ttl = self.terms(&order)?;
        let name: Name = (order.service.clone(), order.name.clone());
        let done = self.registrations.change(&name, |lease| {
            let now = clock::reading();
            if lease.is_none() && self.registrations.len() >= MOST {
                return Err(Refusal::TooMany);
            }
            let (record, effect) = order.applied(ttl, lease, (now, by));
            let differs = match effect {
                Effect::Renewed => None,
                Effect::Registered | Effect::Changed | Effect::Moving => {
                    let before = lease.map(|lease| &lease.record);
                    Some(Difference::of(before, Some(&record)))
                }
            };
            Ok((Some(record), (effect, differs)))
        });
        let (stored, (effect, differs)) = match done.await {
            Ok(done) => done,
            Err(error) => return Err(self.failed(&name, error)),
        };
        if effect != Effect::Renewed {
            let url = order.url.to_string();
            self.tell(&name, effect.as_str(), &url, Some(by));
        }
        let action = effect.action();
        let receipt = differs.map(|differs| self.enter(&name, action, actor, differs, stored));
        self.kills.set_lease_over(&name.0, &name.1, false);
        let when = match effect {
            Effect::Renewed => self.when(&name),
            Effect::Registered | Effect::Changed | Effect::Moving => Publication::Now,
        };
        let is_new = effect == Effect::Registered;
        let report = self.report(&name, (stored, is_new), when).await;
        if let Some(receipt) = receipt {
            receipt.written().await;
        }
        report
    }

    /// Gives a registration that is not over its TTL anew.
    ///
    /// # Errors
    /// When there is none, or it cannot be stored. Then it holds all the same as long as this gateway runs: who renews it is
    /// alive.
    pub async fn renew(&self, name: &Name, actor: &Actor) -> Result<Report, Refusal> {
        let by = &*actor.by();
        let done = self.running(name, |record| {
            record.renew(clock::now(), by);
        });
        match done.await {
            Ok((stored, _)) => {
                let when = self.when(name);
                self.report(name, (stored, false), when).await
            }
            Err(error) => Err(self.failed(name, error)),
        }
    }

    /// Ends a registration at once.
    ///
    /// # Errors
    /// When there is none, or it cannot be stored.
    pub async fn deregister(&self, name: &Name, actor: &Actor) -> Result<Report, Refusal> {
        let by = &*actor.by();
        let done = self.running(name, |record| {
            record.end(clock::now(), "taken_back", Some(by));
        });
        let (stored, (before, after)) = done.await.map_err(|error| match error {
            ChangeError::Refused(refusal) => refusal,
            ChangeError::Store(error) => error.into(),
        })?;
        self.kills.set_lease_over(&name.0, &name.1, true);
        let url = self.registrations.get(name).map(|lease| lease.record.url);
        self.tell(name, "taken_back", &url.unwrap_or_default(), Some(by));
        let differs = Difference::of(Some(&before), Some(&after));
        let receipt = self.enter(name, Action::Deregister, actor, differs, stored);
        let report = self.report(name, (stored, false), Publication::Now).await;
        receipt.written().await;
        report
    }

    /// Changes a registration that is not over.
    async fn running(
        &self,
        name: &Name,
        mut change: impl FnMut(&mut Record),
    ) -> Result<(Stored, (Record, Record)), ChangeError<Refusal>> {
        let done = self.registrations.change(name, |lease| {
            let now = clock::reading();
            let lease = lease.filter(|lease| !lease.is_over(now)).ok_or_else(|| {
                let (service, name) = name.clone();
                Refusal::NotRegistered(name, service)
            })?;
            let mut record = lease.record.clone();
            change(&mut record);
            let before = lease.record.clone();
            Ok((Some(record.clone()), (before, record)))
        });
        done.await
    }

    /// What is wrong with an order, as far as the running snapshot knows.
    fn judge(&self, order: &Order) -> Result<(), Refusal> {
        let snapshot = self.publisher.store().load();
        let (service, name) = (&order.service, &order.name);
        let Some(found) = snapshot.services.named(service) else {
            return Err(Refusal::NoService(service.clone()));
        };
        value::flag_name(name).map_err(|hint| Refusal::Name(name.clone(), hint))?;
        if !found.canaries.iter().any(|glob| glob.matches(name)) {
            let globs: Vec<&str> = found.canaries.iter().map(|glob| glob.as_str()).collect();
            let globs = globs.join(", ");
            return Err(Refusal::NotOfService(name.clone(), service.clone(), globs));
        }
        let Some(flag) = snapshot.flag(name).filter(|flag| flag.url.is_some()) else {
            return Ok(());
        };
        match flag.origin {
            Origin::Local => Err(Refusal::OfFile(name.clone())),
            Origin::Serin | Origin::Registration | Origin::Unleash(_) | Origin::LaunchDarkly(_) => {
                Ok(())
            }
        }
    }

    /// Holds an order against the configuration. How long it lasts.
    fn terms(&self, order: &Order) -> Result<Duration, Refusal> {
        let terms = self.publisher.terms();
        terms.config.canary_urls.check(&order.url)?;
        let brings_a_flag = order.rings.is_some() || order.stickiness.is_some();
        let record = Record {
            rings: order.rings.clone(),
            stickiness: order.stickiness.clone(),
            ..Record::default()
        };
        let document = brings_a_flag.then(|| Document::new(record.fallback()));
        let problems = document.map(|document| {
            terms
                .registered
                .problems(&order.name, document, &terms.config)
        });
        let problems = problems.unwrap_or_default();
        let is_error = |problem: &FieldProblem| problem.severity == Severity::Error;
        if problems.iter().any(is_error) {
            return Err(Refusal::Rings(problems));
        }
        let times = &terms.config.registry.ttl;
        let ttl = order.ttl.unwrap_or(times.default);
        if ttl > times.max {
            let written = [ttl, times.max].map(value::written_duration);
            let [ttl, max] = written;
            return Err(Refusal::Ttl(ttl, max));
        }
        Ok(ttl)
    }

    /// What could not be stored of a renewal holds in memory.
    fn failed(&self, name: &Name, error: ChangeError<Refusal>) -> Refusal {
        match error {
            ChangeError::Refused(refusal) => refusal,
            ChangeError::Store(error) => {
                if !matches!(error, StoreError::Changed(_)) {
                    self.registrations.hold(name);
                    self.woken.notify_one();
                }
                error.into()
            }
        }
    }

    /// When snapshots must hear of a renewal.
    fn when(&self, name: &Name) -> Publication {
        let lease = self.registrations.get(name);
        match lease.is_some_and(|lease| lease.is_urgent(clock::reading())) {
            true => Publication::Now,
            false => Publication::Later,
        }
    }

    async fn publish(&self, when: Publication) -> Result<u64, PublishError> {
        match when {
            Publication::Now => Ok(self.publisher.publish_registrations().await?.generation),
            Publication::Later => Ok(self.publisher.store().load().generation),
        }
    }

    async fn report(
        &self,
        name: &Name,
        (stored, is_new): (Stored, bool),
        when: Publication,
    ) -> Result<Report, Refusal> {
        let generation = self.publish(when).await?;
        self.woken.notify_one();
        let lease = self.registrations.get(name).ok_or_else(|| {
            let (service, name) = name.clone();
            Refusal::NotRegistered(name, service)
        })?;
        Ok(Report {
            lease,
            is_new,
            recorded_in: stored.recorded_in,
            generation,
        })
    }

    /// Logs what has happened to a canary, and tells whoever listens.
    fn tell(&self, name: &Name, state: &'static str, url: &str, by: Option<&str>) {
        let (service, flag) = name.clone();
        tracing::info!(%service, canary = %flag, state, url, by, "a registered canary has changed");
        self.publisher.events().emit(EventKind::Registered {
            service,
            flag,
            state,
            url: url.to_owned(),
            by: by.map(str::to_owned),
        });
    }
}
