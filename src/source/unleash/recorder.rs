//! Records canaries in Unleash, so that product people find there what pipelines have registered.
//!
//! Whoever registers never waits for it: a task on the control runtime fulfils the last wish for each flag, one after the
//! other, and goes on trying while the server is away. A wish that is fulfilled is not looked at again: a flag that people
//! archive stays archived until its canary is registered anew with something else.

mod book;
mod execute;
mod plan;
mod record;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::admin_api::{AdminApi, AdminError};
use crate::config::unleash::{UnleashConfig, UnleashPlace};
use crate::source::feed::backoff::{Backoff, LONGEST, REFUSED};
use crate::source::{SourceStatus, Stage};
use book::{Book, Due};

pub use book::Standing;
pub use record::CanaryRecord;

/// How long a flag is left alone that Unleash will not have as it is wished for: people have to change something there.
const IN_THE_WAY: Duration = Duration::from_mins(1);

/// Takes wishes and says how they stand. Clones are the same; without a server to record on, wishes wait for one.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    /// Counts what has happened, wishes and their fulfilment.
    news: watch::Sender<u64>,
    place: watch::Sender<Option<Place>>,
}

/// A server to record on.
#[derive(Clone, Debug)]
struct Place {
    config: UnleashConfig,
    api: AdminApi,
    status: Arc<SourceStatus>,
}

impl Recorder {
    /// A canary is registered, or registered anew: its flag is to say so.
    pub fn record(&self, canary: CanaryRecord) {
        if self.lock().record(canary, Instant::now()) {
            self.tell();
        }
    }

    /// A canary has left: its flag is archived, marked stale or left alone, as `registry.unleash.on_deregister` says.
    pub fn withdraw(&self, flag: &str) {
        if !self.is_configured() {
            // Nothing was recorded, and nothing shall be if a server for it comes later.
            self.lock().forget(flag);
        } else if self.lock().withdraw(flag, Instant::now()) {
            self.tell();
        }
    }

    /// Flags whose last wish is fulfilled.
    pub fn fulfilled(&self) -> Vec<Arc<str>> {
        self.lock().fulfilled()
    }

    /// Wishes nothing of a flag any more, fulfilled or not.
    pub fn forget(&self, flag: &str) {
        self.lock().forget(flag);
        let place = self.0.place.borrow().clone();
        if let Some(place) = place {
            self.report(&place.status);
        }
    }

    /// Changes whenever a wish is made, fulfilled or put off, and when canaries are recorded on another server.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// The server, project and environment that canaries are recorded in; `None`: nowhere.
    pub fn place(&self) -> Option<String> {
        let place = self.0.place.borrow();
        let UnleashConfig { url, admin, .. } = &place.as_ref()?.config;
        let UnleashPlace {
            project,
            environment,
            ..
        } = &admin.as_ref()?.place;
        Some(format!("{} {project} {environment}", url.as_str()))
    }

    /// Whether there is a server to record on.
    pub fn is_configured(&self) -> bool {
        self.0.place.borrow().is_some()
    }

    /// How a canary stands; `None`: nobody asked for it to be recorded, or there is no server for it.
    pub fn standing(&self, flag: &str) -> Option<Standing> {
        self.lock().standing(flag).filter(|_| self.is_configured())
    }

    /// The same once the wish for it is fulfilled or something is wrong with that; as it stands after `patience`.
    pub async fn settled(&self, flag: &str, patience: Duration) -> Option<Standing> {
        let mut news = self.0.news.subscribe();
        let settled = async {
            loop {
                news.borrow_and_update();
                let standing = self.standing(flag);
                let open = |standing: &Standing| !standing.is_recorded && standing.error.is_none();
                if !standing.as_ref().is_some_and(open) || news.changed().await.is_err() {
                    return standing;
                }
            }
        };
        let settled = tokio::time::timeout(patience, settled).await;
        settled.unwrap_or_else(|_| self.standing(flag))
    }

    /// Begins to fulfil wishes, on the runtime `control`, until the handle aborts it.
    pub(in crate::source) fn start(&self, control: &Handle) -> AbortHandle {
        control.spawn(self.clone().run()).abort_handle()
    }

    /// From here on canaries are recorded on this server, whose status says how that goes.
    pub(super) fn record_on(
        &self,
        config: &UnleashConfig,
        api: AdminApi,
        status: Arc<SourceStatus>,
    ) {
        let place = Place {
            config: config.clone(),
            api,
            status,
        };
        self.0.place.send_replace(Some(place));
        self.tell();
    }

    /// From here on canaries are not recorded on this server, if they were.
    pub(in crate::source) fn leave(&self, server: &UnleashConfig) {
        let has_left = self.0.place.send_if_modified(|place| {
            let is_here = place.as_ref().is_some_and(|place| place.config == *server);
            is_here && place.take().is_some()
        });
        if has_left {
            self.tell();
        }
    }

    async fn run(self) {
        let mut places = self.0.place.subscribe();
        loop {
            let place = places.borrow_and_update().clone();
            let Some(place) = place else {
                if places.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.lock().begin_again(Instant::now());
            tokio::select! {
                changed = places.changed() => if changed.is_err() { return },
                () = self.work(&place) => {}
            }
        }
    }

    /// Fulfils wishes on one server, for ever.
    async fn work(&self, place: &Place) {
        let mut backoff = Backoff::default();
        let mut news = self.0.news.subscribe();
        loop {
            news.borrow_and_update();
            let next = self.lock().next(Instant::now());
            let due = match next {
                Ok(due) => due,
                Err(next) => {
                    let wait = async {
                        match next {
                            Some(next) => tokio::time::sleep_until(next).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = wait => {}
                        _ = news.changed() => {}
                    }
                    continue;
                }
            };
            let result = execute::execute(&place.api, &due.flag, &due.wish).await;
            let pause = self.settle(&due, result, &mut backoff);
            self.report(&place.status);
            self.tell();
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Notes what came of a wish. Returns how long the server is to be left alone, if it is.
    fn settle(
        &self,
        due: &Due,
        result: Result<(), AdminError>,
        backoff: &mut Backoff,
    ) -> Option<Duration> {
        let mut book = self.lock();
        match result {
            Ok(()) => {
                book.trouble = None;
                backoff.reset();
                book.fulfil(due);
                tracing::debug!(flag = %due.flag, "Unleash says what the registration says");
                None
            }
            Err(AdminError::Impossible(error)) => {
                book.trouble = None;
                backoff.reset();
                book.put_off(due, error, |_| Instant::now() + IN_THE_WAY);
                None
            }
            // One flag that is changed all the time, or that the server fails at, does not keep others from being recorded.
            Err(AdminError::Changed(error)) => {
                book.put_off(due, error, |own| {
                    Instant::now() + own.next(LONGEST, rand::random())
                });
                None
            }
            Err(AdminError::Refused(error)) => {
                book.trouble = Some(error);
                Some(REFUSED)
            }
            Err(AdminError::Unavailable {
                message,
                retry_after,
            }) => {
                book.trouble = Some(message);
                // The flag goes to the end: if it is what the server fails at, the others come first.
                book.give_way(due, Instant::now());
                let wait = backoff.next(LONGEST, rand::random());
                Some(retry_after.map_or(wait, |after| after.clamp(wait, REFUSED)))
            }
        }
    }

    /// Says how it goes, in the source's status and the log.
    fn report(&self, status: &SourceStatus) {
        let worst = self.lock().worst();
        match worst {
            Some(error) => {
                if status.fail(Stage::Recording, error.clone()) {
                    tracing::warn!(source = %status.name, "{error}");
                }
            }
            None => {
                if status.recover(Stage::Recording) {
                    tracing::info!(source = %status.name, "canaries are recorded again");
                }
            }
        }
    }

    fn tell(&self) {
        self.0.news.send_modify(|news| *news += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
