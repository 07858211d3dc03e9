use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{ReloadFailure, ReloadMetrics, ReloadTrigger, Reloader, ReloaderSetup};
use crate::audit::actor::Actor;
use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Findings, Severity, Span};
use crate::publisher::Publisher;
use crate::publisher::tests::fixture::config;
use crate::registry::kills::Kills;
use crate::resolver::ClusterManager;
use crate::resolver::dns::Dns;
use crate::source::file::{FileEvent, FileNews, FileSource};
use crate::source::key_sets::TokenIssuers;
use crate::source::{FlagServers, SourceStatus};
use crate::telemetry::metrics::MeterRegistry;

/// A language of its own: a number is a digest, `port N` moves the admin listener, all else is an error.
fn compile(text: &str) -> Result<Config, Findings> {
    let mut words = text.split_whitespace();
    let digest = words.next().and_then(|word| word.parse().ok());
    let Some(digest) = digest else {
        return Err(vec![Diagnostic {
            severity: Severity::Error,
            message: "not a number".to_owned(),
            span: Span::default(),
            path: String::new(),
            hint: None,
        }]
        .into());
    };
    let mut config = config("http://127.0.0.1:81", digest);
    if let Some(port) = words.next() {
        config.process.admin.addresses[0].set_port(port.parse().unwrap());
    }
    Ok(config)
}

struct Running {
    directory: tempfile::TempDir,
    reloader: Arc<Reloader>,
    publisher: crate::publisher::PublisherHandle,
    source: Arc<SourceStatus>,
    counters: Arc<ReloadMetrics>,
}

impl Running {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.yaml");
        std::fs::write(&path, "1").unwrap();
        let first = Arc::new(compile("1").unwrap());
        let dns = Dns::new(Some("127.0.0.1:9")).unwrap();
        let clusters = ClusterManager::new(dns, Handle::current(), Box::default());
        let meters = MeterRegistry::default();
        let publisher = Publisher::start(
            first.clone(),
            Vec::new(),
            clusters,
            meters,
            Kills::in_memory(),
            &Handle::current(),
        );
        let source = Arc::new(SourceStatus::new("file"));
        let counters = Arc::new(ReloadMetrics::default());
        let setup = ReloaderSetup {
            path,
            compile: Arc::new(compile),
            publisher: publisher.clone(),
            log: None,
            service_manager: None,
            flag_servers: FlagServers::none(publisher.clone()),
            issuers: TokenIssuers::default(),
            source: source.clone(),
            counters: counters.clone(),
        };
        let reloader = Arc::new(Reloader::new(setup, "1", &first));
        Self {
            directory,
            reloader,
            publisher,
            source,
            counters,
        }
    }

    fn write(&self, text: &str) {
        let next = self.directory.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, self.reloader.path()).unwrap();
    }

    fn counts(&self) -> (u64, u64) {
        (self.counters.ok.get(), self.counters.invalid.get())
    }
}

#[tokio::test]
async fn a_valid_file_is_put_in_force() {
    let running = Running::start();
    running.write("2");
    let report = running
        .reloader
        .reload(ReloadTrigger::Api, Actor::gateway())
        .await
        .unwrap();
    assert!(report.is_new && report.generation == 2);
    // Again, and nothing changes; that is a success all the same.
    let report = running
        .reloader
        .reload(ReloadTrigger::Signal, Actor::gateway())
        .await
        .unwrap();
    assert!(!report.is_new && report.generation == 2);
    assert_eq!(running.counts(), (2, 0));
    let last = running.reloader.last();
    assert_eq!(
        (last.cause, last.result),
        (Some(ReloadTrigger::Signal), Ok(()))
    );
}

#[tokio::test]
async fn an_invalid_or_missing_file_changes_nothing() {
    let running = Running::start();
    running.write("nonsense");
    let failure = running
        .reloader
        .reload(ReloadTrigger::Api, Actor::gateway())
        .await
        .unwrap_err();
    assert!(matches!(&failure, ReloadFailure::Invalid(problems) if problems.len() == 1));
    assert_eq!(running.reloader.last().result, Err(failure));
    assert_eq!(running.source.last_error().as_deref(), Some("not a number"));
    std::fs::remove_file(running.reloader.path()).unwrap();
    let failure = running
        .reloader
        .reload(ReloadTrigger::Api, Actor::gateway())
        .await
        .unwrap_err();
    assert!(matches!(failure, ReloadFailure::Unreadable(_)));
    assert_eq!(running.publisher.store().load().generation, 1);
    assert_eq!(running.counts(), (0, 2));
    running.write("1");
    running
        .reloader
        .reload(ReloadTrigger::Api, Actor::gateway())
        .await
        .unwrap();
    assert_eq!(running.source.last_error(), None);
}

#[tokio::test]
async fn what_takes_a_restart_is_said_and_the_rest_applied() {
    let running = Running::start();
    running.write("2 9901");
    let report = running
        .reloader
        .reload(ReloadTrigger::Api, Actor::gateway())
        .await
        .unwrap();
    let change = "admin.address: runs with 127.0.0.1:9900, the file says 127.0.0.1:9901";
    assert_eq!(report.restart_needed, [change]);
    assert_eq!(running.reloader.restart_needed(), [change]);
    assert_eq!(running.publisher.store().load().generation, 2);
    running.write("3");
    let report = running
        .reloader
        .reload(ReloadTrigger::Api, Actor::gateway())
        .await
        .unwrap();
    assert_eq!(report.restart_needed, Vec::<String>::new());
}

#[tokio::test]
async fn a_followed_file_is_reloaded_once_for_each_change() {
    let running = Running::start();
    let (sender, events) = mpsc::channel(4);
    let path = running.reloader.path();
    let _source = FileSource::start(path, "1", running.source.clone(), sender).unwrap();
    let reloader = running.reloader.clone();
    tokio::spawn(async move { reloader.follow(events).await });
    let mut generation = running.publisher.generation();
    for (text, expected) in [("2", 2), ("3", 3)] {
        running.write(text);
        generation.wait_for(|now| *now == expected).await.unwrap();
    }
    // Told a moment after requests are decided on it.
    while running.counts() != (2, 0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.reloader.last().cause, Some(ReloadTrigger::Changed));
}

#[tokio::test]
async fn who_was_slower_reloads_nothing() {
    let running = Running::start();
    let early = Instant::now();
    running.write("2");
    running
        .reloader
        .reload(ReloadTrigger::Api, Actor::gateway())
        .await
        .unwrap();
    let (sender, events) = mpsc::channel(4);
    // What was found before the reload is old; what is in force already is no news.
    for (at, text) in [(early, "7"), (Instant::now(), "2"), (Instant::now(), "3")] {
        let event = FileEvent::Changed(text.to_owned());
        sender.send(FileNews { at, event }).await.unwrap();
    }
    drop(sender);
    running.reloader.follow(events).await;
    assert_eq!(running.counts(), (2, 0));
    assert_eq!(running.publisher.store().load().generation, 3);
}
