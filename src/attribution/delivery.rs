//! Brings what is spooled to the sinks. Each has a task and a cursor of its own, so that none holds back another.

mod metrics;
mod pace;
mod task;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dead_letters::DeadLetters;
use super::sinks;
use super::users::Users;
use crate::config::attribution::sinks::SinkConfig;
use crate::config::attribution::{AttributionConfig, ExposuresConfig};
use crate::context::Moment;
use crate::spool::Spool;
use pace::Pace;
use task::Task;

/// How many orders may wait for a sink that is busy.
const ORDERS: usize = 16;

/// The tasks of all sinks.
pub struct Delivery {
    sinks: Vec<Arc<SinkStatus>>,
    orders: Vec<mpsc::Sender<Forget>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// How a sink is doing.
#[derive(Debug)]
pub struct SinkStatus {
    /// What it is called.
    pub name: Arc<str>,
    /// What it is, in a word.
    pub product: &'static str,
    figures: Mutex<SinkFigures>,
}

/// What became of a sink's exposures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkFigures {
    /// It has taken them.
    pub sent: u64,
    /// It will never take them: they are among the dead letters.
    pub refused: u64,
    /// They were in a batch that has to be tried again, as often as that.
    pub retried: u64,
    /// They could be read from the spool, and were no exposures.
    pub unreadable: u64,
    /// Why the last attempt failed; `None`: it did not.
    pub trouble: Option<String>,
    /// When it was last in trouble, and why.
    pub last_error: Option<(Moment, String)>,
}

/// The order to remove a user from what is the gateway's own of a sink.
struct Forget {
    user: Box<str>,
    done: oneshot::Sender<Result<u64, String>>,
}

impl Delivery {
    /// Begins to bring to every sink what it has not taken yet.
    pub(super) fn start(
        config: &AttributionConfig,
        spool: &Spool,
        dead_letters: &Path,
        control: &Handle,
    ) -> Result<Self, String> {
        let mut delivery = Self {
            sinks: Vec::new(),
            orders: Vec::new(),
            stop: watch::channel(false).0,
            tasks: Mutex::default(),
        };
        let Some(exposures) = &config.exposures else {
            return Ok(delivery);
        };
        for sink in &config.sinks {
            let task = delivery.task(sink, exposures, spool, dead_letters)?;
            delivery.tasks().push(control.spawn(task.run()));
        }
        Ok(delivery)
    }

    fn task(
        &mut self,
        config: &SinkConfig,
        exposures: &ExposuresConfig,
        spool: &Spool,
        dead_letters: &Path,
    ) -> Result<Task, String> {
        let sink = sinks::open(config)?;
        let cursor = spool.cursor(&config.name);
        let told = |error| format!("sink `{}`: its cursor cannot be read: {error}", config.name);
        let status = Arc::new(SinkStatus {
            name: config.name.clone(),
            product: sink.product(),
            figures: Mutex::default(),
        });
        self.sinks.push(status.clone());
        let (order, orders) = mpsc::channel(ORDERS);
        self.orders.push(order);
        Ok(Task {
            custody: spool.custody().clone(),
            pace: Pace::new(sink.limits().records),
            cursor: cursor.map_err(told)?,
            more: spool.watch(),
            users: Users::new(exposures, config.users)?,
            dead_letters: DeadLetters::new(dead_letters, &config.name),
            stop: self.stop.subscribe(),
            sink,
            status,
            orders,
        })
    }

    /// Every sink, in the configuration's order.
    pub fn sinks(&self) -> &[Arc<SinkStatus>] {
        &self.sinks
    }

    /// Removes a user from files of sinks and from dead letters.
    pub(super) async fn forget(&self, user: &str) -> Result<u64, String> {
        let mut removed = 0;
        for order in &self.orders {
            let (done, heard) = oneshot::channel();
            let forget = Forget {
                user: user.into(),
                done,
            };
            let ended = || "the gateway is about to end".to_owned();
            order.send(forget).await.map_err(|_| ended())?;
            removed += heard.await.map_err(|_| ended())??;
        }
        Ok(removed)
    }

    /// Brings to the sinks what they take at once, for so long at most. The rest stays in the spool for the next start.
    pub async fn finish(&self, patience: Duration) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks());
        let all = async {
            for task in tasks {
                // A task that panicked has said so.
                let _ = task.await;
            }
        };
        if timeout(patience, all).await.is_err() {
            tracing::info!("some sinks have not taken all exposures; the rest is spooled");
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SinkStatus {
    /// What became of its exposures.
    pub fn figures(&self) -> SinkFigures {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, SinkFigures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
