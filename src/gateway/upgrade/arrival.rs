//! How a process comes to serve: as the first one, or in place of another.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::predecessor::{self, Heritage, Predecessor, UpgradeError};
use super::writer_lock::WriterLock;
use super::{Belongings, Estate, READY_WITHIN, STEP};
use crate::certificates::OwnSecret;
use crate::custody::Custody;
use crate::gateway::Start;
use crate::gateway::foundation::Foundation;
use crate::gateway::inherited::Inherited;
use crate::telemetry::service_manager::ServiceManager;

/// How often it is looked whether the process is ready.
const LOOK: Duration = Duration::from_millis(10);

/// A process that is about to serve.
pub(in crate::gateway) struct Arrival {
    /// Whether it takes people's orders.
    pub(in crate::gateway) orders: Custody,
    /// Whether it writes.
    pub(in crate::gateway) custody: Custody,
    pub(in crate::gateway) lock: WriterLock,
    pub(in crate::gateway) inherited: Inherited,
    pub(in crate::gateway) secret: OwnSecret,
    /// `None`: it takes nobody's place.
    predecessor: Option<Predecessor>,
}

impl Arrival {
    /// Finds the process that is to be taken over from, if one is.
    pub(in crate::gateway) fn begin(start: &mut Start) -> Result<Self, UpgradeError> {
        let state_dir = &start.config.process.state_dir;
        let lock = WriterLock::of(state_dir);
        if !start.takes_over {
            return Ok(Self {
                orders: Custody::default(),
                custody: Custody::default(),
                lock,
                inherited: std::mem::take(&mut start.inherited),
                secret: OwnSecret::random(),
                predecessor: None,
            });
        }
        let (predecessor, heritage) = Predecessor::find(state_dir)?;
        let Heritage { sockets, secret } = heritage;
        Ok(Self {
            orders: Custody::awaited(),
            custody: Custody::awaited(),
            lock,
            inherited: sockets,
            secret,
            predecessor: Some(predecessor),
        })
    }

    /// The version of the process that is taken over from.
    pub(in crate::gateway) fn version(&self) -> Option<&str> {
        self.predecessor.as_ref().map(Predecessor::version)
    }

    /// Waits until this process is ready, and takes what the other one has. That one writes nothing any more when this returns.
    pub(in crate::gateway) fn succeed(
        &mut self,
        base: &Foundation,
    ) -> Result<Belongings, UpgradeError> {
        let Some(predecessor) = &mut self.predecessor else {
            return Ok(Belongings::default());
        };
        let ready = async {
            while !base.missing().is_empty() {
                sleep(LOOK).await;
            }
        };
        let ready = base
            .control
            .block_on(async { timeout(READY_WITHIN, ready).await });
        let belongings = match ready {
            Ok(()) => predecessor.take_belongings(&self.lock)?,
            // As at any start, then: people are better served by one that is not ready than by none.
            Err(_) if predecessor.is_gone(&self.lock) => Belongings::default(),
            Err(_) => return Err(UpgradeError::NotReady(base.missing())),
        };
        let stored = base.surroundings.catch_up(&base.publisher);
        let read = base.control.block_on(async { timeout(STEP, stored).await });
        read.map_err(|_| UpgradeError::Unread)?;
        Ok(belongings)
    }

    /// Becomes the one that serves: from here on it accepts, writes, and takes orders.
    pub(in crate::gateway) fn serve(
        mut self,
        estate: &Estate,
        service_manager: Option<ServiceManager>,
    ) -> Result<(), UpgradeError> {
        let Some(mut predecessor) = self.predecessor.take() else {
            return Ok(());
        };
        // First, since nothing may fail after the other has agreed.
        let last_words = predecessor::last_words(estate.exposures.clone())?;
        predecessor.serve_instead(self.inherited.taken())?;
        self.custody.take();
        self.orders.take();
        estate.figures.done.inc();
        if let Some(manager) = service_manager {
            manager.is_served_by(std::process::id());
        }
        tracing::info!(
            upgraded_from = predecessor.version(),
            "this process serves instead of the other"
        );
        predecessor.let_go(&last_words);
        Ok(())
    }
}
