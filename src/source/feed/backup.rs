//! Writes the last good flags of a source to disk, by a task of its own: a slow disk delays no flag.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::shared_copies::copy_all;
use super::stored::{self, RENEW, StoredSet};
use crate::custody::Custody;
use crate::source::{SourceStatus, Stage};
use crate::state::SharedTexts;

/// When a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Hands flags to the task that writes them. Of what comes while a write is under way, only the latest is written.
#[derive(Clone, Debug)]
pub(in crate::source) struct Backup {
    wanted: Arc<watch::Sender<Option<Arc<StoredSet>>>>,
    written: watch::Receiver<Option<Arc<StoredSet>>>,
}

impl Backup {
    /// Begins to write what one source says to a folder, while custody of it is here. `known` is what was found, there or elsewhere; `shared` gets a copy.
    pub(in crate::source) fn start(
        (folder, custody): (PathBuf, Custody),
        (known, is_on_disk): (Option<Arc<StoredSet>>, bool),
        shared: Option<SharedTexts>,
        status: Arc<SourceStatus>,
        control: &Handle,
    ) -> Self {
        let (wanted, mut inbox) = watch::channel(known.clone());
        let (written, seen) = watch::channel(known.filter(|_| is_on_disk));
        if let Some(texts) = shared {
            control.spawn(copy_all(texts, inbox.clone()));
        }
        if !is_on_disk {
            inbox.mark_changed();
        }
        control.spawn(write_all((folder, custody), inbox, written, status));
        Self {
            wanted: Arc::new(wanted),
            written: seen,
        }
    }

    /// Has this written, unless the same has been within the last ten minutes.
    pub(in crate::source) fn keep(&self, latest: StoredSet) {
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

    /// What was handed over last, whether it is written yet or not.
    pub(in crate::source) fn latest(&self) -> Option<Arc<StoredSet>> {
        self.wanted.borrow().clone()
    }

    /// Waits until all is written, or `patience` is over.
    pub(in crate::source) async fn settle(&self, patience: Duration) {
        let latest = self.latest();
        let mut written = self.written.clone();
        // Not in time, or the task has ended: the failure that led there has been logged.
        let _ = timeout(patience, written.wait_for(|written| *written == latest)).await;
    }
}

async fn write_all(
    (folder, custody): (PathBuf, Custody),
    mut inbox: watch::Receiver<Option<Arc<StoredSet>>>,
    written: watch::Sender<Option<Arc<StoredSet>>>,
    status: Arc<SourceStatus>,
) {
    while inbox.changed().await.is_ok() {
        loop {
            let Some(hold) = custody.to_hold().await else {
                return;
            };
            let Some(latest) = inbox.borrow_and_update().clone() else {
                break;
            };
            if write(&folder, latest.clone(), &status).await {
                written.send_replace(Some(latest));
                break;
            }
            drop(hold);
            tokio::select! {
                () = sleep_until(Instant::now() + RETRY) => {}
                more = inbox.changed() => if more.is_err() { return },
            }
        }
    }
}

async fn write(folder: &std::path::Path, latest: Arc<StoredSet>, status: &SourceStatus) -> bool {
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
