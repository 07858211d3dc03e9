//! What a listener speaks TLS with: certificates, keys and authorities in PEM files, which are read again when they change.

mod facts;
mod files;
mod handshakes;
pub mod metrics;
mod server;
mod tickets;
mod unverified;
pub mod upstream;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::cluster::policy::UpstreamTls;
use crate::config::diagnostic::{Diagnostic, Findings};
use crate::config::tls::ListenerTls;
use crate::config::{Config, ServiceConfig};
use crate::context::Moment;
pub use facts::Facts;
use files::Contents;
pub use files::{FileProblem, FileTrouble};
pub use handshakes::{Handshake, Handshakes};
use server::{Loaded, Terms, load};
pub use tickets::OwnSecret;
use tickets::TicketKeys;

/// How often the files are looked at. Notifications of changes do not come from every file system, and reading some
/// kilobytes costs next to nothing.
const LOOK: Duration = Duration::from_secs(1);
/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_hours(7 * 24);

/// Whose certificates they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The admin API.
    Admin,
    /// A listener that traffic is taken on, as the configuration has its address.
    Listener(SocketAddr),
}

impl Owner {
    /// The name that metrics carry.
    pub fn label(self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Listener(address) => address.to_string(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("the admin API"),
            Self::Listener(address) => write!(f, "the listener {address}"),
        }
    }
}

/// What a listener speaks TLS with, by what its files held when they last could be used.
#[derive(Debug)]
pub struct ServerTls {
    owner: Owner,
    terms: Terms,
    loaded: ArcSwap<Loaded>,
    handshakes: Handshakes,
    /// What keeps the files' present content from being used.
    trouble: Mutex<Vec<FileProblem>>,
}

impl ServerTls {
    /// Reads the files. A certificate whose time is over is used all the same: no traffic is to wait for it.
    /// `protocols` are those that clients may choose from (ALPN), the preferred one first; `own` is for the keys of tickets.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn open(
        owner: Owner,
        tls: ListenerTls,
        protocols: &[&[u8]],
        own: &OwnSecret,
    ) -> Result<Arc<Self>, Vec<FileProblem>> {
        let secret = tls.ticket_key.as_ref().map(|secret| secret.expose());
        let terms = Terms {
            tickets: match owner {
                // Its clients are few, and see a new certificate at once.
                Owner::Admin => None,
                Owner::Listener(_) => Some(Arc::new(TicketKeys::new(secret, own, &owner.label()))),
            },
            protocols: protocols.iter().map(|name| name.to_vec()).collect(),
            tls,
        };
        let (loaded, problems) = load(&terms, &Contents::read(&terms.tls), clock::now(), None);
        let (over, others): (Vec<_>, Vec<_>) = problems
            .into_iter()
            .partition(|problem| problem.trouble == FileTrouble::NotItsTime);
        let loaded = match loaded {
            Some(loaded) if others.is_empty() => loaded,
            _ => return Err(others),
        };
        for problem in over {
            tracing::warn!("clients will refuse a certificate of {owner}: {problem}");
        }
        Ok(Arc::new(Self {
            owner,
            terms,
            loaded: ArcSwap::from_pointee(loaded),
            handshakes: Handshakes::default(),
            trouble: Mutex::default(),
        }))
    }

    /// Whose they are.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// What the next connection is served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.loaded.load().config.clone()
    }

    /// What became of handshakes.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// The certificates in use, in the configuration's order.
    pub fn certificates(&self) -> Vec<Facts> {
        self.loaded.load().certificates.clone()
    }

    /// What people have to know: files that cannot be used, and certificates that end soon.
    pub fn warnings(&self, now: Moment) -> Vec<String> {
        let owner = self.owner;
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = trouble
            .iter()
            .map(|problem| format!("{problem}: {owner} goes on with the certificates that it had"));
        let loaded = self.loaded.load();
        let ending = loaded.certificates.iter();
        let ending = ending.filter_map(|facts| facts.ending(owner, now, SOON));
        kept.chain(ending).collect()
    }

    /// Reads the files again whenever they have changed, for as long as it is polled.
    pub async fn follow(self: Arc<Self>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut judged) = (None, None);
        loop {
            ticks.tick().await;
            let tls = self.terms.tls.clone();
            // A file system that hangs keeps a thread, and nobody else.
            let Ok(contents) = spawn_blocking(move || Contents::read(&tls)).await else {
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

    /// Puts what the files hold in use, as far as it can be.
    fn take(&self, contents: &Contents, now: Moment, is_new: bool) {
        let before = self.loaded.load();
        let (loaded, problems) = load(&self.terms, contents, now, Some(&before));
        for problem in problems.iter().filter(|_| is_new) {
            let owner = self.owner;
            tracing::error!("{problem}: {owner} goes on with the certificates that it had");
        }
        let is_other = |loaded: &Loaded| loaded.certificates != before.certificates;
        if let Some(loaded) = loaded.filter(|loaded| is_new || is_other(loaded)) {
            if problems.is_empty() || is_other(&loaded) {
                let until: Vec<String> = loaded.certificates.iter().map(Facts::until).collect();
                tracing::info!(?until, "{} has other certificates", self.owner);
            }
            self.loaded.store(Arc::new(loaded));
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = problems;
    }
}

/// Everything that is wrong with the files, for `serin check`.
pub fn check(tls: &ListenerTls, now: Moment) -> Vec<FileProblem> {
    let terms = Terms {
        tickets: None,
        protocols: Vec::new(),
        tls: tls.clone(),
    };
    load(&terms, &Contents::read(tls), now, None).1
}

/// The services that state something of TLS for their upstreams.
fn stating(
    services: &[ServiceConfig],
) -> impl Iterator<Item = (&ServiceConfig, &Arc<UpstreamTls>)> {
    let services = services.iter();
    services.filter_map(|service| Some((service, service.upstream.tls.as_ref()?)))
}

/// Everything that is wrong with the files that services state for their upstreams.
pub fn of_upstreams(services: &[ServiceConfig], now: Moment) -> Vec<FileProblem> {
    stating(services)
        .flat_map(|(service, tls)| upstream::check(tls, &service.tls_files, now))
        .collect()
}

/// The configuration, unless a file that it names for its upstreams cannot be used, and nothing that it held before is in
/// force. A certificate whose time it is not refuses nothing.
///
/// # Errors
/// What is wrong with the files, beside what was odd anyway.
pub fn with_upstreams(config: Config, now: Moment) -> Result<Config, Findings> {
    let found: Vec<Diagnostic> = stating(&config.services)
        .filter(|(_, tls)| !upstream::is_usable(tls))
        .flat_map(|(service, tls)| upstream::check(tls, &service.tls_files, now))
        .filter(|problem| problem.trouble != FileTrouble::NotItsTime)
        .map(|problem| problem.finding(false))
        .collect();
    match found.is_empty() {
        true => Ok(config),
        false => Err(config.warnings.with(found)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
