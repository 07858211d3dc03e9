//! Attribution: who was really served by what, told to those who analyse.
//!
//! Workers hand [`exposures`] what became of requests. Exposures wait in a spool on disk ([`crate::spool`]), each as an [`document::ExposureDocument`], and [`delivery`] brings them to
//! each of the configured sinks at its own pace. The next product is one file beside the others of `sinks`.

mod dead_letters;
pub mod delivery;
pub mod document;
pub mod exposures;
mod lines;
pub mod metrics;
mod sinks;
pub mod users;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::Process;
use crate::custody::Custody;
use crate::machine;
use crate::spool::{Limits, Spool};
use delivery::Delivery;
use exposures::Exposures;

/// Where exposures wait, in `server.state_dir`.
const SPOOL: &str = "spool";
/// Where is put what sinks refused, in `server.state_dir`.
const DEAD_LETTERS: &str = "dead-letter";

/// What a gateway does for those who analyse.
#[derive(Clone, Default)]
pub struct Attribution {
    /// Where exposures wait; `None`: none are recorded.
    pub spool: Option<Spool>,
    /// What records them.
    pub exposures: Option<Exposures>,
    /// What brings them to the sinks.
    pub delivery: Option<Arc<Delivery>>,
    /// Why none are recorded, or brought to sinks, although they should be.
    pub trouble: Option<Arc<str>>,
}

impl Attribution {
    /// Starts what the configuration asks for. Traffic is served without it where it cannot be had: it says so.
    pub fn start(process: &Process, control: &Handle) -> Self {
        Self::start_under(process, Custody::default(), control)
    }

    /// The same. No other process may write to the spool or to the files of sinks meanwhile; afterwards this one does while
    /// `custody` is here.
    pub fn start_under(process: &Process, custody: Custody, control: &Handle) -> Self {
        let Some(recorded) = &process.attribution.exposures else {
            return Self::default();
        };
        let config = process.attribution.spool;
        let limits = Limits::new(config.max_bytes, config.max_age);
        let spool = match Spool::open_under(process.state_dir.join(SPOOL), limits, custody) {
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
        let exposures = Exposures::start(recorded.clone(), spool.clone(), &machine::name());
        let recording = Self {
            spool: Some(spool),
            ..Self::default()
        };
        let recording = match exposures {
            Ok(exposures) => Self {
                exposures: Some(exposures),
                ..recording
            },
            Err(error) => {
                return recording.in_trouble(format!("no exposures are recorded: {error}"));
            }
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
        if let Some(exposures) = self.exposures.clone() {
            let user = user.to_owned();
            let erased = tokio::task::spawn_blocking(move || exposures.forget(&user)).await;
            removed += erased.map_err(|_| "the spool could not be read through".to_owned())??;
        }
        if let Some(delivery) = &self.delivery {
            removed += delivery.forget(user).await?;
        }
        Ok(removed)
    }

    /// Spools what was seen, and brings to the sinks what they take at once, for so long at most each.
    pub async fn finish(&self, patience: Duration) {
        if let Some(exposures) = self.exposures.clone() {
            // What is not spooled by then is lost, and the recorder ends with the process.
            let _ = tokio::task::spawn_blocking(move || exposures.flush(patience)).await;
        }
        if let Some(delivery) = &self.delivery {
            delivery.finish(patience).await;
        }
    }
}
