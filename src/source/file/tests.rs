use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{EventKind as Kind, ModifyKind, RenameMode};
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{Receiver, channel};

use super::read::{FileError, MAX_BYTES, read};
use super::{FileEvent, FileNews, FileSource};
use crate::events::{EventKind, Events, Heard};
use crate::source::{SourceStatus, Stage};

/// A followed file in a directory of its own.
struct Followed {
    directory: tempfile::TempDir,
    status: Arc<SourceStatus>,
    events: Receiver<FileNews>,
    _source: FileSource,
}

impl Followed {
    /// Begins with the content "first", which `lay` puts in place.
    fn start(lay: impl Fn(&Path)) -> Self {
        Self::reporting_to(&Events::default(), lay)
    }

    fn reporting_to(events: &Events, lay: impl Fn(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        lay(directory.path());
        let status = Arc::new(SourceStatus::new("file").reporting_to(events));
        let (sender, events) = channel(64);
        let path = directory.path().join("routes.yaml");
        let source = FileSource::start(&path, "first", status.clone(), sender).unwrap();
        Self {
            directory,
            status,
            events,
            _source: source,
        }
    }

    fn plain() -> Self {
        Self::start(lay_plain)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("routes.yaml")
    }

    fn replace(&self, text: &str) {
        let next = self.directory.path().join("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, self.path()).unwrap();
    }

    async fn event(&mut self) -> FileEvent {
        tokio::time::timeout(Duration::from_secs(20), self.events.recv())
            .await
            .expect("an event")
            .expect("the follower runs")
            .event
    }

    /// The next event is this content.
    async fn changed(&mut self, text: &str) {
        assert_eq!(self.event().await, FileEvent::Changed(text.to_owned()));
    }
}

fn lay_plain(root: &Path) {
    fs::write(root.join("routes.yaml"), "first").unwrap();
}

/// Renames of a file, as the kernel tells of them.
struct Renames {
    heard: std::sync::mpsc::Receiver<notify::Result<notify::Event>>,
    _notifier: notify::RecommendedWatcher,
}

impl Renames {
    fn into(directory: &Path) -> Self {
        let (sender, heard) = std::sync::mpsc::channel();
        let mut notifier = notify::recommended_watcher(sender).unwrap();
        notifier
            .watch(directory, RecursiveMode::NonRecursive)
            .unwrap();
        Self {
            heard,
            _notifier: notifier,
        }
    }

    /// Waits for the kernel to tell of one more.
    fn next(&self) {
        let is_rename = |kind| matches!(kind, Kind::Modify(ModifyKind::Name(RenameMode::To)));
        while !is_rename(self.heard.recv().unwrap().unwrap().kind) {}
    }
}

#[tokio::test]
async fn a_write_and_a_rename_are_seen_within_a_second() {
    let mut file = Followed::plain();
    for round in 0..3 {
        let begun = Instant::now();
        fs::write(file.path(), format!("written {round}")).unwrap();
        file.changed(&format!("written {round}")).await;
        file.replace(&format!("renamed {round}"));
        file.changed(&format!("renamed {round}")).await;
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_swapped_config_map_is_seen() {
    let lay = |root: &Path, version: &str, text: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("routes.yaml"), text).unwrap();
        symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    let mut file = Followed::start(|root| {
        lay(root, "..v0", "first");
        symlink("..data/routes.yaml", root.join("routes.yaml")).unwrap();
    });
    for version in 1..4 {
        let text = format!("version {version}");
        lay(file.directory.path(), &format!("..v{version}"), &text);
        fs::remove_dir_all(file.directory.path().join(format!("..v{}", version - 1))).unwrap();
        file.changed(&text).await;
    }
}

#[tokio::test]
async fn a_replaced_directory_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("config")).unwrap();
    fs::write(root.join("config/routes.yaml"), "first").unwrap();
    let (sender, mut events) = channel(64);
    let status = Arc::new(SourceStatus::new("file"));
    let path = root.join("config/routes.yaml");
    let _source = FileSource::start(&path, "first", status, sender).unwrap();
    fs::create_dir(root.join("next")).unwrap();
    fs::write(root.join("next/routes.yaml"), "second").unwrap();
    fs::rename(root.join("config"), root.join("previous")).unwrap();
    fs::rename(root.join("next"), root.join("config")).unwrap();
    let event = events.recv().await;
    assert_eq!(
        event.unwrap().event,
        FileEvent::Changed("second".to_owned())
    );
    fs::write(&path, "third").unwrap();
    let event = events.recv().await;
    assert_eq!(event.unwrap().event, FileEvent::Changed("third".to_owned()));
}

#[tokio::test]
async fn what_is_half_written_is_not_read() {
    let (mut file, mut other) = (Followed::plain(), Followed::plain());
    // Truncated and written slowly: a change of another file, made after each part, is read long before the last part.
    let mut writer = File::create(file.path()).unwrap();
    for part in ["one ", "two ", "three"] {
        writer.write_all(part.as_bytes()).unwrap();
        writer.flush().unwrap();
        other.replace(part);
        other.changed(part).await;
        assert!(file.events.is_empty());
    }
    drop(writer);
    file.changed("one two three").await;
    // Made anew, and empty at first.
    fs::remove_file(file.path()).unwrap();
    let mut writer = File::create(file.path()).unwrap();
    other.replace("four");
    other.changed("four").await;
    assert!(file.events.is_empty());
    writer.write_all(b"four").unwrap();
    drop(writer);
    file.changed("four").await;
}

#[tokio::test]
async fn a_writer_who_does_not_end_is_reported() {
    let mut file = Followed::plain();
    let mut writer = File::create(file.path()).unwrap();
    writer.write_all(b"half").unwrap();
    let FileEvent::Trouble(trouble) = file.event().await else {
        panic!("half a file was read");
    };
    assert!(trouble.contains("without closing it"), "{trouble}");
    assert_eq!(file.status.last_error(), Some(trouble));
    writer.write_all(b" and whole").unwrap();
    drop(writer);
    file.changed("half and whole").await;
    assert_eq!(file.status.last_error(), None);
}

#[tokio::test]
async fn a_burst_is_taken_together_and_does_not_postpone() {
    let mut file = Followed::plain();
    let renames = Renames::into(file.directory.path());
    let begun = Instant::now();
    let (mut seen, mut writes) = (0, 0);
    // The burst goes on, as fast as the kernel tells of it, until it has been seen three times.
    while seen < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "postponed");
        file.replace(&format!("number {writes}"));
        renames.next();
        writes += 1;
        while file.events.try_recv().is_ok() {
            seen += 1;
        }
    }
    assert!(seen < writes / 2, "{seen} reads for {writes} writes");
    file.replace("the end");
    while file.event().await != FileEvent::Changed("the end".to_owned()) {}
}

#[tokio::test]
async fn a_file_that_is_away_for_a_moment_is_no_trouble() {
    let mut file = Followed::plain();
    fs::remove_file(file.path()).unwrap();
    fs::write(file.path(), "second").unwrap();
    file.changed("second").await;
    fs::remove_file(file.path()).unwrap();
    let event = file.event().await;
    assert_eq!(event, FileEvent::Trouble("the file is gone".to_owned()));
    assert_eq!(file.status.errors.get(), 1);
    assert!(file.status.last_error().is_some());
    file.replace("third");
    file.changed("third").await;
    assert_eq!(file.status.last_error(), None);
}

#[tokio::test]
async fn what_somebody_else_could_not_read_is_well_again_when_it_is_there() {
    let events = Events::default();
    let mut listener = events.listen();
    let file = Followed::reporting_to(&events, lay_plain);
    file.status
        .fail(Stage::Reading, "a reload came at a bad moment".to_owned());
    let source: Arc<str> = "file".into();
    loop {
        let Some(Heard::Event(event)) = listener.next().await else {
            panic!("no more events");
        };
        if event.what
            == (EventKind::SourceRecovered {
                source: source.clone(),
            })
        {
            break;
        }
    }
    assert_eq!(file.status.last_error(), None);
}

#[tokio::test]
async fn the_same_content_is_no_change() {
    let mut file = Followed::plain();
    file.replace("first");
    fs::write(file.path(), "first").unwrap();
    file.replace("second");
    file.changed("second").await;
}

#[test]
fn only_whole_text_files_of_some_size_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("routes.yaml");
    assert!(matches!(read(&path), Err(FileError::Io(_))));
    assert!(matches!(read(directory.path()), Err(FileError::NotAFile)));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(read(&path), Err(FileError::NotText(_))));
    let size = usize::try_from(MAX_BYTES).unwrap();
    fs::write(&path, vec![b' '; size + 1]).unwrap();
    assert!(matches!(read(&path), Err(FileError::TooLarge)));
    fs::write(&path, vec![b' '; size]).unwrap();
    assert_eq!(read(&path).unwrap().len(), size);
}
