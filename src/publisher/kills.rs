//! The kill switch: marks first, then storage and the next snapshot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{PublishError, Published, PublisherHandle, Stopped};
use crate::audit::actor::Actor;
use crate::audit::entry::{ALL_GATEWAYS, Action, Deed, PENDING, THIS_GATEWAY};
use crate::clock;
use crate::events::EventKind;
use crate::registry::kills::{Kill, Kills};
use crate::snapshot::Snapshot;

/// How many kills there may be of names that no flag has: a kill may come before its flag, but not without end.
pub const MAX_AHEAD: usize = 1000;
/// How often a damaged file is read again, in case a person has mended it.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is tried to store what could not be stored.
const STORE_AGAIN: Duration = Duration::from_secs(2);
/// How often it is logged that the file is damaged.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Kills canaries and restores them.
#[derive(Clone, Debug)]
pub struct KillSwitch {
    kills: Kills,
    publisher: PublisherHandle,
}

/// How an order was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillReport {
    /// The kill that holds now; `None`: there is none.
    pub kill: Option<Kill>,
    /// Whether the order changed anything.
    pub changed: bool,
    /// How many canaries the flag has now.
    pub canaries: usize,
    /// Whether it will survive a restart.
    pub stored: bool,
    /// Where it holds.
    pub reach: Reach,
    /// The generation that holds it.
    pub generation: u64,
}

/// Where an order holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On this gateway, which shares nothing with others.
    ThisGateway,
    /// On all gateways that share their kills.
    AllGateways,
    /// On this one; the others learn of it when what they share can be reached again.
    Pending,
}

/// How the order that ends all doubts was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleReport {
    /// Whether there was any doubt.
    pub changed: bool,
    /// Whether that will survive a restart.
    pub stored: bool,
    /// The generation that holds it.
    pub generation: u64,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KillFailure {
    /// There is no such service.
    #[error("there is no service {0:?}")]
    NoService(String),
    /// The flag does not exist, and neither do those of as many kills as there may be.
    #[error(
        "{MAX_AHEAD} kills are of names that no flag has, and no flag is called {0:?}: restore some of them first"
    )]
    TooManyAhead(String),
    /// No snapshot could be made with it. Attempts heed it all the same.
    #[error("the order holds, but the decisions do not say so yet: {0}")]
    Unpublished(Arc<str>),
    /// What gateways share cannot be reached, and without it no kill is taken back.
    #[error(
        "the store that gateways share cannot be reached, and the kill holds until it can: try again"
    )]
    Unreachable,
    /// The process ends.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<PublishError> for KillFailure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Stopped(stopped) => Self::Stopped(stopped),
            PublishError::Failed(why) => Self::Unpublished(why),
        }
    }
}

/// What a person orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillAction {
    /// No user is sent there any more.
    Kill,
    /// Users are sent there again.
    Restore,
}

impl KillSwitch {
    /// For the canaries of what `publisher` publishes, which must know the same kills.
    pub fn new(kills: Kills, publisher: PublisherHandle) -> Self {
        Self { kills, publisher }
    }

    /// Every kill.
    pub fn all(&self) -> &Kills {
        &self.kills
    }

    /// Carries out an order of `actor`, perhaps with a reason. The flag need not exist yet: a kill switch must work before
    /// there is traffic to save. When this returns, requests are decided accordingly; no attempt went to a killed
    /// canary for longer than it took to get here.
    ///
    /// # Errors
    /// When there is no such service, or too many kills of names that no flag has; and when the process ends.
    pub async fn order(
        &self,
        action: KillAction,
        service: &str,
        flag: &str,
        (actor, reason): (Actor, Option<String>),
    ) -> Result<KillReport, KillFailure> {
        let canaries = self.judge(action, service, flag)?;
        let (by, before) = (actor.by(), self.kills.get(service, flag));
        let (kill, changed) = match action {
            KillAction::Kill => {
                let kill = Kill::new(clock::now(), by.clone(), reason.clone());
                let (held, is_new) = self.kills.kill(service, flag, kill);
                (Some(held), is_new)
            }
            KillAction::Restore => {
                let restored = self.kills.restore_everywhere(service, flag).await;
                (None, restored.map_err(|_| KillFailure::Unreachable)?)
            }
        };
        if changed {
            tracing::warn!(service, canary = flag, by, reason, canaries, "{action}");
            self.publisher.events().emit(EventKind::Ordered {
                service: service.into(),
                flag: flag.into(),
                killed: kill.is_some(),
                by,
                reason: reason.clone().map(Arc::from),
                is_elsewhere: false,
            });
        }
        // Written again even if nothing changed: an earlier attempt may have been in vain.
        let stored = self.kills.store().await.is_ok();
        let deed = changed.then(|| {
            let action = match action {
                KillAction::Kill => Action::Kill,
                KillAction::Restore => Action::Restore,
            };
            let deed = Deed::new(actor, action, flag).of_service(service);
            let deed = deed.changing(shown(before.as_ref()), shown(kill.as_ref()));
            deed.because(reason).in_scope(self.reach().as_str())
        });
        let generation = self.put_in_force(deed).await?;
        Ok(KillReport {
            kill,
            changed,
            canaries,
            stored,
            reach: self.reach(),
            generation,
        })
    }

    /// Carries out the order, of `actor`, that every canary of unknown standing is not killed.
    ///
    /// # Errors
    /// When the process ends.
    pub async fn settle(&self, actor: Actor) -> Result<SettleReport, KillFailure> {
        let (before, changed) = (self.kills.doubts(), self.kills.restore_unknown());
        if changed {
            let by = actor.by();
            tracing::warn!(by, "every canary of unknown standing was restored");
            self.publisher
                .events()
                .emit(EventKind::Settled { by: Some(by) });
        }
        let stored = self.kills.store().await.is_ok();
        let deed = changed.then(|| {
            let deed = Deed::new(actor, Action::RestoreUnknown, "kills");
            deed.changing(json!({ "unknown": before }), json!({ "unknown": [] }))
        });
        let generation = self.put_in_force(deed).await?;
        Ok(SettleReport {
            changed,
            stored,
            generation,
        })
    }

    fn reach(&self) -> Reach {
        match self.kills.is_shared() {
            None => Reach::ThisGateway,
            Some(true) => Reach::AllGateways,
            Some(false) => Reach::Pending,
        }
    }

    /// Puts in force what other gateways kill and restore, for as long as there is a store to hear of it from.
    pub async fn follow_others(self) {
        let mut others = self.kills.others();
        while others.changed().await.is_ok() {
            let changed = self.kills.adopt();
            if changed.is_empty() {
                continue;
            }
            for ((service, flag), kill) in changed {
                let killed = kill.is_some();
                tracing::warn!(service, canary = flag, killed, "ordered at another gateway");
                let (by, reason) = match kill {
                    Some(kill) => (kill.by, kill.reason),
                    None => ("another gateway".to_owned(), None),
                };
                self.publisher.events().emit(EventKind::Ordered {
                    service: service.into(),
                    flag: flag.into(),
                    killed,
                    by,
                    reason: reason.map(Arc::from),
                    is_elsewhere: true,
                });
            }
            // A failure is logged there; the marks hold all the same.
            let _ = self.publisher.withdraw().await;
        }
    }

    /// Watches a file that could not all be read until there is nothing to be doubted any more.
    pub async fn await_mending(self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = Instant::now();
        while !self.kills.doubts().is_empty() {
            look.tick().await;
            if self.kills.reread().await {
                tracing::warn!("the kills can all be read now, and hold");
                self.publisher
                    .events()
                    .emit(EventKind::Settled { by: None });
                let deed = Deed::new(Actor::gateway(), Action::RestoreUnknown, "kills");
                let deed = deed.because(Some("the file was mended".to_owned()));
                // Failures are logged there, and the next order is another attempt.
                let _ = self.kills.store().await;
                let _ = self.put_in_force(Some(deed)).await;
            } else if complained.elapsed() >= COMPLAIN {
                complained = Instant::now();
                self.kills.warn_of_doubts();
            }
        }
    }

    /// Stores what could not be stored, once it can be: when there is room on the disk again, for one.
    pub async fn keep_storing(self) {
        let mut look = interval(STORE_AGAIN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if self.kills.unstored().is_some() && self.kills.store().await.is_ok() {
                tracing::warn!("the kills and restores that could not be stored are stored");
            }
        }
    }

    /// The service and flag of every kill of a name that no flag has.
    pub fn ahead(&self, snapshot: &Snapshot) -> Vec<(String, String)> {
        self.kills.names(|_, flag| !has_flag(snapshot, flag))
    }

    /// How many canaries an order is about, if it can be carried out.
    fn judge(&self, action: KillAction, service: &str, flag: &str) -> Result<usize, KillFailure> {
        let snapshot = self.publisher.store().load();
        let Some(found) = snapshot.services.named(service) else {
            return Err(KillFailure::NoService(service.to_owned()));
        };
        if action == KillAction::Kill && !has_flag(&snapshot, flag) {
            let ahead = self.ahead(&snapshot);
            let is_known = ahead
                .iter()
                .any(|(of, name)| (&**of, &**name) == (service, flag));
            if ahead.len() >= MAX_AHEAD && !is_known {
                return Err(KillFailure::TooManyAhead(flag.to_owned()));
            }
        }
        Ok(found.canaries_of(flag))
    }

    /// Publishes what holds, and enters it in the audit trail if it is new. The generation.
    async fn put_in_force(&self, deed: Option<Deed>) -> Result<u64, PublishError> {
        let receipt = deed.map(|deed| self.publisher.events().audit().record(deed));
        let published = self.publisher.withdraw().await;
        // It holds whether or not a snapshot could be made.
        if let Some(receipt) = receipt {
            receipt.written().await;
        }
        let Published { generation, .. } = published?;
        Ok(generation)
    }
}

/// A kill for the audit trail.
fn shown(kill: Option<&Kill>) -> Value {
    match kill {
        Some(kill) => {
            json!({ "killed": true, "since": kill.at.to_string(), "by": kill.by, "reason": kill.reason })
        }
        None => json!({ "killed": false }),
    }
}

impl Reach {
    /// The words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThisGateway => THIS_GATEWAY,
            Self::AllGateways => ALL_GATEWAYS,
            Self::Pending => PENDING,
        }
    }
}

fn has_flag(snapshot: &Snapshot, flag: &str) -> bool {
    let flags = &snapshot.flags;
    flags
        .binary_search_by(|other| (*other.name).cmp(flag))
        .is_ok()
}

impl fmt::Display for KillAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "a canary was killed",
            Self::Restore => "a killed canary was restored",
        })
    }
}
