//! How sources are doing, for metrics, status and readiness.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::FILE;
use crate::events::{EventKind, Events};
use crate::meter::Counter;

/// The status of every source: of the file, and of flag servers, which come and go with the configuration. Clones are the same list.
#[derive(Clone, Debug)]
pub struct SourceStatuses {
    file: Arc<SourceStatus>,
    servers: Arc<Mutex<Vec<Arc<SourceStatus>>>>,
}

/// How a source is doing: written by the source and by the part that judges what it brings, read by metrics and status.
#[derive(Debug)]
pub struct SourceStatus {
    /// `file`, or the name given to a flag server.
    pub name: Box<str>,
    /// How often it failed.
    pub errors: Counter,
    /// Where trouble and its end are reported.
    events: Events,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    confirmed: Instant,
    /// How much older than that what runs was when this process took it over.
    older: Duration,
    trouble: [Option<String>; 5],
    server: Option<ServerFacts>,
}

/// What can be wrong with a source; each is well again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It cannot be reached or read.
    Reading,
    /// What it holds cannot be used.
    Content,
    /// What it said cannot be kept on disk, or what was kept cannot be read. What runs is none the worse.
    Storing,
    /// It does not stream although it should. It is polled.
    Streaming,
    /// Canaries cannot be recorded there. What runs is none the worse.
    Recording,
}

/// What there is to know of a flag server beside that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// How flags come.
    pub mode: FeedMode,
    /// The server's number of what it said last.
    pub revision: Option<u64>,
    /// Flags that the last answer lacked, and that are kept for a while.
    pub held: Vec<Arc<str>>,
    /// Whether this process has had an answer.
    pub has_answered: bool,
    /// Whether there was something stored to start from.
    pub was_stored: bool,
}

/// How flags come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeedMode {
    /// The server is polled at intervals.
    #[default]
    Polling,
    /// The server streams changes.
    Streaming,
}

impl FeedMode {
    /// The name that the API carries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Streaming => "streaming",
        }
    }
}

impl Default for SourceStatuses {
    fn default() -> Self {
        Self {
            file: Arc::new(SourceStatus::new(FILE)),
            servers: Arc::default(),
        }
    }
}

impl SourceStatuses {
    /// Only the file so far, whose trouble is reported to `events`.
    pub fn reporting_to(events: &Events) -> Self {
        Self {
            file: Arc::new(SourceStatus::new(FILE).reporting_to(events)),
            servers: Arc::default(),
        }
    }

    /// `routes.yaml`.
    pub fn file(&self) -> &Arc<SourceStatus> {
        &self.file
    }

    /// The file, and then the flag servers in order of precedence.
    pub fn all(&self) -> Vec<Arc<SourceStatus>> {
        let mut all = vec![self.file.clone()];
        all.extend(self.lock().iter().cloned());
        all
    }

    /// Makes these the flag servers.
    pub fn set_servers(&self, servers: Vec<Arc<SourceStatus>>) {
        *self.lock() = servers;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<SourceStatus>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SourceStatus {
    /// A source that has just been read and found good.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            errors: Counter::default(),
            events: Events::default(),
            inner: Mutex::new(Inner {
                confirmed: Instant::now(),
                older: Duration::ZERO,
                trouble: [const { None }; 5],
                server: None,
            }),
        }
    }

    /// A flag server that has not answered yet. Until it has, its age is the time since now.
    pub fn of_server(name: &str) -> Self {
        let status = Self::new(name);
        status.lock().server = Some(ServerFacts::default());
        status
    }

    /// The same, but trouble with it and the trouble's end are reported to `events`.
    #[must_use]
    pub fn reporting_to(mut self, events: &Events) -> Self {
        self.events = events.clone();
        self
    }

    /// The source was asked, and holds what was last taken from it. This makes what runs no fresher as long as
    /// something is wrong with that.
    pub fn confirm(&self) {
        let mut inner = self.lock();
        let [reading, content, ..] = &inner.trouble;
        if reading.is_none() && content.is_none() {
            inner.confirmed = Instant::now();
            inner.older = Duration::ZERO;
        }
    }

    /// What runs is of this age: it was stored.
    pub fn take_over(&self, age: Duration) {
        let mut inner = self.lock();
        inner.confirmed = Instant::now();
        inner.older = age;
    }

    /// Notes that something is wrong. Returns whether that is news.
    pub fn fail(&self, stage: Stage, error: String) -> bool {
        self.errors.inc();
        let mut inner = self.lock();
        let Some(place) = inner.trouble.get_mut(stage as usize) else {
            return false;
        };
        let is_news = place.as_deref() != Some(error.as_str());
        *place = Some(error.clone());
        if is_news {
            let source = (&*self.name).into();
            self.events.emit(EventKind::SourceTrouble { source, error });
        }
        is_news
    }

    /// Notes that nothing is wrong there any more. Returns whether that is news.
    pub fn recover(&self, stage: Stage) -> bool {
        let mut inner = self.lock();
        let place = inner.trouble.get_mut(stage as usize);
        let is_news = place.and_then(Option::take).is_some();
        if is_news && inner.trouble.iter().all(Option::is_none) {
            let source = (&*self.name).into();
            self.events.emit(EventKind::SourceRecovered { source });
        }
        is_news
    }

    /// How long ago the source last confirmed what runs.
    pub fn age(&self) -> Duration {
        let inner = self.lock();
        inner.confirmed.elapsed().saturating_add(inner.older)
    }

    /// What is wrong with it now.
    pub fn last_error(&self) -> Option<String> {
        self.lock().trouble.iter().flatten().next().cloned()
    }

    /// What there is to know of it if it is a flag server.
    pub fn server(&self) -> Option<ServerFacts> {
        self.lock().server.clone()
    }

    /// Notes something of a flag server; of the file there is nothing to note.
    pub fn note(&self, change: impl FnOnce(&mut ServerFacts)) {
        if let Some(server) = &mut self.lock().server {
            change(server);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{SourceStatus, SourceStatuses, Stage};
    use crate::events::{EventKind, Events, Heard};

    #[test]
    fn what_was_stored_is_as_old_as_it_is() {
        let status = SourceStatus::of_server("unleash");
        let hour = Duration::from_secs(3600);
        status.take_over(hour);
        assert!(status.age() >= hour);
        status.fail(Stage::Reading, "gone".to_owned());
        status.confirm();
        assert!(status.age() >= hour, "nothing was confirmed");
        status.recover(Stage::Reading);
        status.fail(Stage::Storing, "disk full".to_owned());
        status.confirm();
        assert!(status.age() < hour, "a full disk makes nothing older");
        assert_eq!(status.last_error().as_deref(), Some("disk full"));
    }

    #[test]
    fn trouble_is_news_once() {
        let status = SourceStatus::of_server("unleash");
        assert!(!status.recover(Stage::Reading));
        assert!(status.fail(Stage::Reading, "gone".to_owned()));
        assert!(!status.fail(Stage::Reading, "gone".to_owned()));
        assert!(status.recover(Stage::Reading) && !status.recover(Stage::Reading));
        assert_eq!(status.errors.get(), 2);
    }

    #[tokio::test]
    async fn trouble_and_its_end_are_told() {
        let events = Events::default();
        let mut listener = events.listen();
        let status = SourceStatus::of_server("eu").reporting_to(&events);
        status.fail(Stage::Reading, "gone".to_owned());
        status.fail(Stage::Reading, "gone".to_owned());
        status.fail(Stage::Storing, "disk full".to_owned());
        status.recover(Stage::Reading);
        status.recover(Stage::Storing);
        let source: Arc<str> = "eu".into();
        let trouble = |error: &str| EventKind::SourceTrouble {
            source: source.clone(),
            error: error.to_owned(),
        };
        let recovered = EventKind::SourceRecovered {
            source: source.clone(),
        };
        for expected in [trouble("gone"), trouble("disk full"), recovered] {
            let heard = listener.next().await;
            assert!(matches!(heard, Some(Heard::Event(event)) if event.what == expected));
        }
    }

    #[test]
    fn servers_follow_the_file() {
        let sources = SourceStatuses::default();
        sources
            .clone()
            .set_servers(vec![Arc::new(SourceStatus::of_server("eu"))]);
        let names: Vec<Box<str>> = sources.all().iter().map(|s| s.name.clone()).collect();
        assert_eq!(names, [Box::<str>::from("file"), "eu".into()]);
        assert!(sources.file().server().is_none());
    }
}
