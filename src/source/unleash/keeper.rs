//! Keeps what was last good on disk, from a task of its own: a slow disk delays no flag.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::stored::{self, Stored};
use crate::source::{SourceStatus, Stage};

/// How often what is on disk is at least said to be still so, as long as it is.
const RENEW: Duration = Duration::from_secs(600);
/// When a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Whoever has something to keep. What comes while a write is under way is written next, and only the latest of it.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    wanted: Arc<watch::Sender<Option<Arc<Stored>>>>,
    written: watch::Receiver<Option<Arc<Stored>>>,
}

impl Keeper {
    /// Begins to keep what one source says in a folder. `known` is what is there already.
    pub(super) fn start(
        folder: PathBuf,
        known: Option<Arc<Stored>>,
        status: Arc<SourceStatus>,
        control: &Handle,
    ) -> Self {
        let (wanted, inbox) = watch::channel(known.clone());
        let (written, seen) = watch::channel(known);
        control.spawn(write_all(folder, inbox, written, status));
        Self {
            wanted: Arc::new(wanted),
            written: seen,
        }
    }

    /// Keeps this, unless the same has been said within the last ten minutes.
    pub(super) fn keep(&self, latest: Stored) {
        self.wanted.send_if_modified(|wanted| {
            let is_known = wanted.as_ref().is_some_and(|known| {
                let age = latest.confirmed.unix_ms - known.confirmed.unix_ms;
                known.set == latest.set
                    && known.url == latest.url
                    && u128::try_from(age).is_ok_and(|age| age < RENEW.as_millis())
            });
            if !is_known {
                *wanted = Some(Arc::new(latest));
            }
            !is_known
        });
    }

    /// What was said last, whether it is written yet or not.
    pub(super) fn latest(&self) -> Option<Arc<Stored>> {
        self.wanted.borrow().clone()
    }

    /// Waits until all is written, or `patience` is over.
    pub(super) async fn settle(&self, patience: Duration) {
        let latest = self.latest();
        let mut written = self.written.clone();
        // Not in time, or there is nobody to write any more: said elsewhere.
        let _ = timeout(patience, written.wait_for(|written| *written == latest)).await;
    }
}

async fn write_all(
    folder: PathBuf,
    mut inbox: watch::Receiver<Option<Arc<Stored>>>,
    written: watch::Sender<Option<Arc<Stored>>>,
    status: Arc<SourceStatus>,
) {
    while inbox.changed().await.is_ok() {
        loop {
            let Some(latest) = inbox.borrow_and_update().clone() else {
                break;
            };
            if write(&folder, latest.clone(), &status).await {
                written.send_replace(Some(latest));
                break;
            }
            tokio::select! {
                () = sleep_until(Instant::now() + RETRY) => {}
                more = inbox.changed() => if more.is_err() { return },
            }
        }
    }
}

async fn write(folder: &std::path::Path, latest: Arc<Stored>, status: &SourceStatus) -> bool {
    let source = latest.source.clone();
    let place = folder.to_owned();
    let result = tokio::task::spawn_blocking(move || stored::write(&place, &latest)).await;
    let error = match result {
        Ok(Ok(())) => {
            if status.recover(Stage::Storing) {
                tracing::info!(%source, "flags are stored again");
            }
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.to_string(),
    };
    let error = format!("flags cannot be stored in {}: {error}", folder.display());
    if status.fail(Stage::Storing, error.clone()) {
        tracing::error!(%source, "{error}; traffic goes on");
    }
    false
}
