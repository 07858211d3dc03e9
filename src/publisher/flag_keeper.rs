//! Flags and segments that Serin keeps itself: who may change them, the check, the store, and then the next snapshot.

mod order;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::PublisherHandle;
use crate::audit::actor::Actor;
use crate::audit::entry::{Action, Deed};
use crate::config::document::{Document, FieldProblem};
use crate::config::kept::{CompiledKept, KeptDocuments, Subject};
use crate::events::{EventKind, KeptAction};
use crate::registry::flags::{DocumentChange, FlagRegistry, FlagTurn};
use crate::snapshot::changes::effects::Effects;
use crate::spelling::nearest;
use crate::state::StoreError;
pub use order::{
    Keeper, KeptFailure, KeptOrder, KeptReport, KeptTerms, MAX_DOCUMENTS, Precondition, tag,
};

/// How often an order is tried that other gateways get ahead of.
const ATTEMPTS: usize = 5;

/// Changes what Serin keeps itself.
#[derive(Clone, Debug)]
pub struct FlagKeeper {
    registry: FlagRegistry,
    publisher: PublisherHandle,
}

impl FlagKeeper {
    /// For what is in `registry`, which `publisher` must have been started with.
    pub fn new(registry: FlagRegistry, publisher: PublisherHandle) -> Self {
        Self {
            registry,
            publisher,
        }
    }

    /// What is kept.
    pub fn registry(&self) -> &FlagRegistry {
        &self.registry
    }

    /// Who keeps the flag of this name that is in force; `None`: nobody has one.
    pub fn keeper(&self, flag: &str) -> Option<Keeper> {
        let snapshot = self.publisher.store().load();
        snapshot.flag(flag).map(|flag| Keeper::from(&flag.origin))
    }

    /// What is kept, compiled against the configuration that runs.
    ///
    /// # Errors
    /// When the process ends.
    pub async fn compiled(&self) -> Result<Arc<CompiledKept>, KeptFailure> {
        Ok(self
            .publisher
            .compile_kept(self.registry.documents())
            .await?)
    }

    /// Follows what other gateways change in a store that is shared, until the process ends.
    pub async fn follow(self) {
        let [mut flags, mut segments] = self.registry.subscribe();
        loop {
            let heard = tokio::select! {
                heard = flags.changed() => heard,
                heard = segments.changed() => heard,
            };
            if heard.is_err() {
                return;
            }
            let documents = self.registry.turn().await.refresh();
            // A failure is logged there, and the next change is another attempt.
            let _ = self.publisher.publish_kept(documents).await;
        }
    }

    /// Carries out an order, or says what would come of it. When this returns, it is stored and requests are decided
    /// accordingly.
    ///
    /// # Errors
    /// When it cannot be carried out; then nothing has changed.
    pub async fn order(
        &self,
        order: KeptOrder,
        terms: KeptTerms,
    ) -> Result<KeptReport, KeptFailure> {
        let turn = self.registry.turn().await;
        let mut documents = self.registry.documents();
        for _ in 0..ATTEMPTS {
            match self.attempt(&order, &terms, &documents, &turn).await {
                // Another gateway was faster. What it left may be as little what is expected as before it came.
                Err(KeptFailure::Store(StoreError::Changed(_))) => documents = turn.refresh(),
                done => return done,
            }
        }
        Err(KeptFailure::Contended)
    }

    async fn attempt(
        &self,
        order: &KeptOrder,
        terms: &KeptTerms,
        documents: &Arc<KeptDocuments>,
        turn: &FlagTurn<'_>,
    ) -> Result<KeptReport, KeptFailure> {
        let change = self.judge(order, documents)?;
        let before = documents.get(&change.subject).cloned();
        if !terms.precondition.holds(before.as_deref()) {
            return Err(KeptFailure::Precondition(before));
        }
        let changed = Arc::new(change.applied_to(documents));
        let is_new = before.is_none() && change.document.is_some();
        if is_new && changed.flags.len().max(changed.segments.len()) > MAX_DOCUMENTS {
            return Err(KeptFailure::Full);
        }
        let warnings = self.check(documents, &changed, &change).await?;
        let report = KeptReport {
            subject: change.subject.clone(),
            document: change.document.clone(),
            is_new,
            changed: before != change.document,
            recorded_in: &[],
            warnings,
            changes: Arc::default(),
            effects: Effects::default(),
            generation: self.publisher.store().load().generation,
        };
        if terms.is_dry_run {
            return self.foretell(report, changed).await;
        }
        // What is the same is stored all the same: whoever asks wants to know where it stands.
        let stored = turn.keep(&change, changed.clone()).await?;
        let report = KeptReport {
            recorded_in: stored.recorded_in,
            ..report
        };
        if !report.changed {
            return Ok(report);
        }
        self.tell(&report, order, &terms.actor.by());
        let deed = deed(&report, order, before.as_deref(), terms.actor.clone());
        let deed = Deed {
            service: self.service_of(&report.subject),
            ..deed.in_scope(stored.scope())
        };
        let receipt = self.publisher.events().audit().record(deed);
        let done = self.put_in_force(report, changed).await;
        // It is stored whether or not a snapshot could be made.
        receipt.written().await;
        done
    }

    /// Whether an order is for Serin to carry out, and what it changes.
    fn judge(
        &self,
        order: &KeptOrder,
        documents: &KeptDocuments,
    ) -> Result<DocumentChange, KeptFailure> {
        let (subject, document) = match order {
            KeptOrder::Put(subject, document) => {
                self.must_keep(subject, documents)?;
                (subject.clone(), Some(document.clone()))
            }
            // What another source's flag hides can still be taken away.
            KeptOrder::Delete(subject) => {
                if documents.get(subject).is_none() {
                    self.must_keep(subject, documents)?;
                    return Err(missing(documents, subject));
                }
                (subject.clone(), None)
            }
            KeptOrder::Ring(flag, ring, change) => {
                let subject = Subject::Flag(flag.clone());
                self.must_keep(&subject, documents)?;
                let Some(document) = documents.flags.get(flag) else {
                    if self.keeper(flag) == Some(Keeper::Registration) {
                        return Err(KeptFailure::KeptBy(Keeper::Registration));
                    }
                    return Err(missing(documents, &subject));
                };
                let Some(changed) = document.with_ring(ring, *change) else {
                    return Err(KeptFailure::NoRing(document.ring_names()));
                };
                (subject, Some(Arc::new(changed)))
            }
        };
        Ok(DocumentChange { subject, document })
    }

    /// A flag that somebody else keeps is theirs. One that Serin keeps as well is not theirs alone, unless `routes.yaml` has it.
    fn must_keep(&self, subject: &Subject, documents: &KeptDocuments) -> Result<(), KeptFailure> {
        let Subject::Flag(name) = subject else {
            return Ok(());
        };
        let is_kept = documents.flags.contains_key(name);
        match self.keeper(name) {
            None | Some(Keeper::Serin | Keeper::Registration) => Ok(()),
            Some(Keeper::Unleash(_) | Keeper::LaunchDarkly(_)) if is_kept => Ok(()),
            Some(keeper) => Err(KeptFailure::KeptBy(keeper)),
        }
    }

    /// Compiles what would be kept: the document must be right, and no other may be wrong that was right before.
    async fn check(
        &self,
        before: &Arc<KeptDocuments>,
        after: &Arc<KeptDocuments>,
        change: &DocumentChange,
    ) -> Result<Vec<FieldProblem>, KeptFailure> {
        let old = self.publisher.compile_kept(before.clone()).await?;
        let new = self.publisher.compile_kept(after.clone()).await?;
        if change.document.is_some() {
            if new.is_shadowed(&change.subject) {
                return Err(KeptFailure::KeptBy(Keeper::File));
            }
            if new.is_broken(&change.subject) {
                return Err(KeptFailure::Invalid(new.problems(&change.subject).to_vec()));
            }
        }
        let was_broken: BTreeSet<&Subject> = old.broken().collect();
        let broken = new.broken().filter(|subject| !was_broken.contains(subject));
        let broken: Vec<Subject> = broken.cloned().collect();
        if broken.is_empty() {
            Ok(new.problems(&change.subject).to_vec())
        } else {
            Err(KeptFailure::InUse(broken))
        }
    }

    async fn foretell(
        &self,
        report: KeptReport,
        documents: Arc<KeptDocuments>,
    ) -> Result<KeptReport, KeptFailure> {
        let preview = self.publisher.preview_kept(documents).await?;
        let effects = Effects::of(&preview.changes, &preview.before, &preview.after);
        Ok(KeptReport {
            effects,
            changes: Arc::new(preview.changes),
            ..report
        })
    }

    async fn put_in_force(
        &self,
        report: KeptReport,
        documents: Arc<KeptDocuments>,
    ) -> Result<KeptReport, KeptFailure> {
        let before = self.publisher.store().load();
        let published = self.publisher.publish_kept(documents).await?;
        let after = self.publisher.store().load();
        Ok(KeptReport {
            effects: Effects::of(&published.changes, &before, &after),
            changes: published.changes,
            generation: published.generation,
            ..report
        })
    }

    /// The service that something is for; `None`: it may be for several, or for none.
    fn service_of(&self, subject: &Subject) -> Option<Arc<str>> {
        let Subject::Flag(flag) = subject else {
            return None;
        };
        let snapshot = self.publisher.store().load();
        let services = snapshot.services.iter();
        let mut of_flag =
            services.filter(|service| service.canaries.iter().any(|glob| glob.matches(flag)));
        match (of_flag.next(), of_flag.next()) {
            (Some(only), None) => Some(Arc::from(&*only.name)),
            _ => None,
        }
    }

    /// Says to the log and to whoever listens that something is kept that was not.
    fn tell(&self, report: &KeptReport, order: &KeptOrder, by: &str) {
        let (kind, name) = match &report.subject {
            Subject::Segment(name) => ("segment", name),
            Subject::Flag(name) => ("flag", name),
        };
        let action = match order {
            KeptOrder::Put(..) => KeptAction::Put,
            KeptOrder::Delete(_) => KeptAction::Deleted,
            KeptOrder::Ring(_, ring, change) => KeptAction::Ring {
                ring: ring.as_str().into(),
                enabled: change.enabled,
                rollout: change.rollout,
            },
        };
        tracing::info!(kind, name = &**name, by, "{}", action.as_str());
        self.publisher.events().emit(EventKind::Kept {
            kind,
            name: name.clone(),
            action,
            by: by.to_owned(),
        });
    }
}

/// The entry of the audit trail.
fn deed(report: &KeptReport, order: &KeptOrder, before: Option<&Document>, actor: Actor) -> Deed {
    let (is_flag, name) = match &report.subject {
        Subject::Segment(name) => (false, name),
        Subject::Flag(name) => (true, name),
    };
    let (action, object) = match order {
        KeptOrder::Put(..) if is_flag => (Action::PutFlag, name.to_string()),
        KeptOrder::Put(..) => (Action::PutSegment, name.to_string()),
        KeptOrder::Delete(_) if is_flag => (Action::DeleteFlag, name.to_string()),
        KeptOrder::Delete(_) => (Action::DeleteSegment, name.to_string()),
        KeptOrder::Ring(flag, ring, _) => (Action::ChangeRing, format!("{flag}/{ring}")),
    };
    let shown = |document: Option<&Document>| {
        document.map_or(Value::Null, |document| document.json().clone())
    };
    Deed::new(actor, action, object).changing(shown(before), shown(report.document.as_deref()))
}

fn missing(documents: &KeptDocuments, subject: &Subject) -> KeptFailure {
    let (list, name) = match subject {
        Subject::Segment(name) => (&documents.segments, name),
        Subject::Flag(name) => (&documents.flags, name),
    };
    let names = list.keys().map(|name| &**name);
    KeptFailure::Missing(nearest(name, names).map(str::to_owned))
}
