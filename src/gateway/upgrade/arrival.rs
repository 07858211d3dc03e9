//! How a process comes to serve: as the first one, or in place of another.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::predecessor::{Heritage, Predecessor, UpgradeError};
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
    pub(in crate::gateway) inherited: Inherited,
    pub(in crate::gateway) secret: OwnSecret,
    /// `None`: it takes nobody's place.
    predecessor: Option<Predecessor>,
}

impl Arrival {
    /// Finds the process that is to be taken over from, if one is.
    pub(in crate::gateway) fn begin(start: &mut Start) -> Result<Self, UpgradeError> {
        if !start.takes_over {
            return Ok(Self {
                orders: Custody::default(),
                custody: Custody::default(),
                inherited: std::mem::take(&mut start.inherited),
                secret: OwnSecret::random(),
                predecessor: None,
            });
        }
        let (predecessor, heritage) = Predecessor::find(&start.config.process.state_dir)?;
        let Heritage { sockets, secret } = heritage;
        Ok(Self {
            orders: Custody::awaited(),
            custody: Custody::awaited(),
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
        ready.map_err(|_| UpgradeError::NotReady(base.missing()))?;
        let belongings = predecessor.take_belongings()?;
        let stored = base.surroundings.catch_up(&base.publisher);
        let read = base.control.block_on(async { timeout(STEP, stored).await });
        read.map_err(|_| UpgradeError::Unread)?;
        Ok(belongings)
    }

    /// Becomes the one that serves, now that it accepts; from here on it writes, and takes orders.
    pub(in crate::gateway) fn serve(
        mut self,
        estate: &Estate,
        service_manager: Option<ServiceManager>,
    ) -> Result<(), UpgradeError> {
        let Some(mut predecessor) = self.predecessor.take() else {
            return Ok(());
        };
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
        predecessor.let_go(estate.exposures.clone())?;
        Ok(())
    }
}
