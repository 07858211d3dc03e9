//! What a listener speaks TLS with: certificates, keys and authorities in PEM files, which are read again when they change.

mod facts;
mod files;
pub mod metrics;
mod server;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::config::tls::TlsFiles;
use crate::context::Moment;
pub use facts::Facts;
use files::Contents;
pub use files::{FileProblem, FileTrouble};
use server::{Loaded, load};

/// How often the files are looked at. Notifications of changes do not come from every file system, and reading some
/// kilobytes costs next to nothing.
const LOOK: Duration = Duration::from_secs(1);
/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_hours(7 * 24);

/// What a listener speaks TLS with, by what its files held when they last could be used.
#[derive(Debug)]
pub struct ServerTls {
    files: TlsFiles,
    loaded: ArcSwap<Loaded>,
    /// What keeps the files' present content from being used.
    trouble: Mutex<Vec<FileProblem>>,
}

impl ServerTls {
    /// Reads the files. A certificate whose time is over is used all the same: no traffic is to wait for it.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, Vec<FileProblem>> {
        let (loaded, problems) = load(&files, &Contents::read(&files), clock::now());
        let (over, others): (Vec<_>, Vec<_>) = problems
            .into_iter()
            .partition(|problem| problem.trouble == FileTrouble::NotItsTime);
        let loaded = match loaded {
            Some(loaded) if others.is_empty() => loaded,
            _ => return Err(others),
        };
        for problem in over {
            tracing::warn!("clients will refuse a certificate of the admin API: {problem}");
        }
        Ok(Arc::new(Self {
            files,
            loaded: ArcSwap::from_pointee(loaded),
            trouble: Mutex::default(),
        }))
    }

    /// What the next connection is served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.loaded.load().config.clone()
    }

    /// The certificates in use, in the configuration's order.
    pub fn certificates(&self) -> Vec<Facts> {
        self.loaded.load().certificates.clone()
    }

    /// What people have to know: files that cannot be used, and certificates that end soon.
    pub fn warnings(&self, now: Moment) -> Vec<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = trouble.iter().map(|problem| {
            format!("{problem}: the admin API goes on with the certificates that it had")
        });
        let loaded = self.loaded.load();
        let ending = loaded.certificates.iter();
        let ending = ending.filter_map(|facts| facts.ending(now, SOON));
        kept.chain(ending).collect()
    }

    /// Reads the files again whenever they have changed, for as long as it is polled.
    pub async fn follow(self: Arc<Self>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut judged) = (None, None);
        loop {
            ticks.tick().await;
            let files = self.files.clone();
            // A file system that hangs keeps a thread, and nobody else.
            let Ok(contents) = spawn_blocking(move || Contents::read(&files)).await else {
                continue;
            };
            let digest = contents.digest();
            let known = judged.unwrap_or(self.loaded.load().digest);
            let is_new = digest != known;
            // Each content is judged once, and not while it is being written: when it is the same at the look after.
            // One whose time has not come is judged until it has.
            let is_settled = last.replace(digest) == Some(digest);
            if is_settled && (is_new || self.waits_for_its_time()) {
                judged = Some(digest);
                self.take(&contents, clock::now(), is_new);
            }
        }
    }

    fn waits_for_its_time(&self) -> bool {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let mut troubles = trouble.iter().map(|problem| problem.trouble);
        troubles.any(|trouble| trouble == FileTrouble::NotItsTime)
    }

    /// Puts what the files hold in use, if all of it can be.
    fn take(&self, contents: &Contents, now: Moment, is_new: bool) {
        let (loaded, problems) = load(&self.files, contents, now);
        match loaded.filter(|_| problems.is_empty()) {
            Some(loaded) => {
                let until: Vec<String> = loaded.certificates.iter().map(Facts::until).collect();
                tracing::info!(?until, "the admin API has other certificates");
                self.loaded.store(Arc::new(loaded));
            }
            None => {
                for problem in problems.iter().filter(|_| is_new) {
                    tracing::error!(
                        "{problem}: the admin API goes on with the certificates that it had"
                    );
                }
            }
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = problems;
    }
}

/// Everything that is wrong with the files, for `serin check`.
pub fn check(files: &TlsFiles, now: Moment) -> Vec<FileProblem> {
    load(files, &Contents::read(files), now).1
}

#[cfg(test)]
pub(crate) mod tests;
