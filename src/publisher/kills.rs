//! The kill switch: marks first, then storage and the next snapshot.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Published, PublisherHandle, Stopped};
use crate::canary::Withdrawal;
use crate::clock;
use crate::events::What;
use crate::registry::{Kill, Registry};

/// Kills canaries and restores them.
#[derive(Clone, Debug)]
pub struct KillSwitch {
    registry: Registry,
    publisher: PublisherHandle,
}

/// What an order has come to.
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
    /// The generation that holds it.
    pub generation: u64,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KillFailure {
    /// There is no such service.
    #[error("there is no service {0:?}")]
    NoService(String),
    /// The process ends.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No user is sent there any more.
    Kill,
    /// Users are sent there again.
    Restore,
}

impl KillSwitch {
    /// For the canaries of what `publisher` publishes, which must know the same registry.
    pub fn new(registry: Registry, publisher: PublisherHandle) -> Self {
        Self {
            registry,
            publisher,
        }
    }

    /// What is killed.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Carries out an order that came from the address `by`. The flag need not exist yet: a kill switch must work before
    /// there is traffic to save. When this returns, requests are decided accordingly; no attempt went to a killed
    /// canary for longer than it took to get here.
    pub async fn order(
        &self,
        order: Order,
        service: &str,
        flag: &str,
        by: IpAddr,
    ) -> Result<KillReport, KillFailure> {
        let store: &Arc<_> = self.publisher.store();
        if store.peek().service(service).is_none() {
            return Err(KillFailure::NoService(service.to_owned()));
        }
        let by = by.to_canonical().to_string();
        let (kill, changed) = match order {
            Order::Kill => {
                let kill = Kill {
                    at: clock::now(),
                    by: by.clone(),
                };
                let (held, is_new) = self.registry.kill(service, flag, kill);
                (Some(held), is_new)
            }
            Order::Restore => (None, self.registry.restore(service, flag).is_some()),
        };
        let mark = kill.as_ref().map(|_| Withdrawal::Killed);
        let canaries = {
            let snapshot = store.peek();
            let service = snapshot.service(service);
            service.map_or(0, |(_, service)| service.mark_flag(flag, mark))
        };
        if changed {
            tracing::warn!(service, canary = flag, by, canaries, "{order}");
            self.publisher.events().tell(What::Ordered {
                service: service.into(),
                flag: flag.into(),
                killed: kill.is_some(),
                by,
            });
        }
        // Written again even if nothing changed: an earlier attempt may have been in vain.
        let stored = self.registry.store().await.is_ok();
        let Published { generation, .. } = self.publisher.withdraw().await?;
        Ok(KillReport {
            kill,
            changed,
            canaries,
            stored,
            generation,
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "a canary was killed",
            Self::Restore => "a killed canary was restored",
        })
    }
}
