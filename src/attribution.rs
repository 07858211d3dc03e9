//! Attribution: who was really served by what, told to those who analyse.
//!
//! Exposures wait in a spool on disk ([`crate::spool`]), each as an [`document::ExposureDocument`], and [`delivery`] brings them to
//! each of the configured sinks at its own pace. The next product is one file beside the others of `sinks`.

mod dead_letters;
pub mod delivery;
pub mod document;
mod lines;
pub mod metrics;
mod sinks;
pub mod users;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::Process;
use crate::spool::{Limits, Spool};
use delivery::Delivery;

/// Where exposures wait, in `server.state_dir`.
const SPOOL: &str = "spool";
/// Where is put what sinks refused, in `server.state_dir`.
const DEAD_LETTERS: &str = "dead-letter";

/// What a gateway does for those who analyse.
#[derive(Clone, Default)]
pub struct Attribution {
    /// Where exposures wait; `None`: none are recorded.
    pub spool: Option<Spool>,
    /// What brings them to the sinks.
    pub delivery: Option<Arc<Delivery>>,
    /// Why none are recorded, or brought to sinks, although they should be.
    pub trouble: Option<Arc<str>>,
}

impl Attribution {
    /// Starts what the configuration asks for. Traffic is served without it where it cannot be had: it says so.
    pub fn start(process: &Process, control: &Handle) -> Self {
        if process.attribution.exposures.is_none() {
            return Self::default();
        }
        let config = process.attribution.spool;
        let limits = Limits::new(config.max_bytes, config.max_age);
        let spool = match Spool::open(process.state_dir.join(SPOOL), limits) {
            Ok((spool, damage)) => {
                if !damage.is_none() {
                    tracing::warn!("spooled exposures: {damage}");
                }
                spool
            }
            Err(error) => {
                let why = format!("no exposures are recorded: the spool cannot be opened: {error}");
                return Self::default().in_trouble(why);
            }
        };
        let letters = process.state_dir.join(DEAD_LETTERS);
        let delivery = Delivery::start(&process.attribution, &spool, &letters, control);
        let recording = Self {
            spool: Some(spool),
            ..Self::default()
        };
        match delivery {
            Ok(delivery) => Self {
                delivery: Some(Arc::new(delivery)),
                ..recording
            },
            Err(why) => recording.in_trouble(format!("exposures wait and are sent nowhere: {why}")),
        }
    }

    fn in_trouble(self, why: String) -> Self {
        tracing::error!("{why}");
        Self {
            trouble: Some(why.into()),
            ..self
        }
    }

    /// Removes a user: from what waits, from the files of sinks and from what they refused. Returns how many records that were.
    /// What other servers have taken is theirs to remove.
    ///
    /// # Errors
    /// What could not be removed, in a sentence; a second call does the rest.
    pub async fn forget(&self, user: &str) -> Result<u64, String> {
        let mut removed = 0;
        if let Some(spool) = self.spool.clone() {
            let user = user.to_owned();
            let erase = move || spool.erase(&|record| document::is_of(record, &user));
            let erased = tokio::task::spawn_blocking(erase).await;
            let erased = erased.map_err(|_| "the spool could not be read through".to_owned())?;
            removed += erased.map_err(|error| format!("the spool cannot be written: {error}"))?;
        }
        if let Some(delivery) = &self.delivery {
            removed += delivery.forget(user).await?;
        }
        Ok(removed)
    }

    /// Brings to the sinks what they take at once, for so long at most.
    pub async fn finish(&self, patience: Duration) {
        if let Some(delivery) = &self.delivery {
            delivery.finish(patience).await;
        }
    }
}
