//! What users ask for who want to be forgotten, on a gateway with sinks of its own.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::attribution::Attribution;
use crate::attribution::document::tests::exposure;
use crate::clock;
use crate::config::attribution::sinks::{FileFormat, FileSink, SinkConfig, SinkProduct};
use crate::config::attribution::{AttributionConfig, Control, ExposuresConfig, UserForm};
use crate::config::flag_server::Secret;
use crate::publisher::tests::fixture;
use crate::spool::Spool;

fn config(folder: &Path, users: Option<UserForm>) -> AttributionConfig {
    let sink = |name: &str| SinkConfig {
        name: name.into(),
        users,
        product: SinkProduct::File(FileSink {
            path: folder.join(name),
            rotate: 1 << 20,
            keep: Duration::from_secs(60),
            format: FileFormat::Exposures,
        }),
    };
    AttributionConfig {
        exposures: Some(ExposuresConfig {
            users: UserForm::Hash,
            key: Some(Secret::new("key")),
            anonymous: false,
            control: Control::Matched,
            properties: Vec::new(),
        }),
        sinks: vec![sink("one"), sink("two")],
        ..AttributionConfig::default()
    }
}

fn start(folder: &Path, users: Option<UserForm>) -> Attribution {
    let mut process = fixture::config("http://127.0.0.1:81", 1).process;
    process.state_dir = folder.to_owned();
    process.attribution = config(folder, users);
    let attribution = Attribution::start(&process, &Handle::current());
    assert_eq!(attribution.trouble, None);
    attribution
}

/// Waits until both files have so many lines.
async fn lines(folder: &Path, count: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let read = |name| fs::read_to_string(folder.join(name).join("exposures.ndjson"));
        let (one, two) = (
            read("one").unwrap_or_default(),
            read("two").unwrap_or_default(),
        );
        if [&one, &two]
            .iter()
            .all(|text| text.lines().count() == count)
        {
            assert_eq!(one, two);
            return one.lines().map(str::to_owned).collect();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{one}\n{two}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn spool(attribution: &Attribution) -> &Spool {
    attribution.spool.as_ref().unwrap()
}

fn append(attribution: &Attribution, users: &[&str]) {
    for user in users {
        // As many as were appended before: each has an ID of its own.
        let number = u32::try_from(*spool(attribution).watch().borrow()).unwrap();
        let record = exposure(user, number).to_bytes();
        spool(attribution).append(&record, clock::now()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_removed_from_the_spool_and_from_files_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let attribution = start(folder.path(), Some(UserForm::Plain));
    append(&attribution, &["u1", "u2", "u1"]);
    lines(folder.path(), 3).await;
    attribution.finish(Duration::from_secs(20)).await;
    drop(attribution);
    // The same files, in which users are hashed from here on.
    let attribution = start(folder.path(), None);
    append(&attribution, &["u1", "u3"]);
    lines(folder.path(), 5).await;
    // Three in the spool, and three in each of two files.
    assert_eq!(attribution.forget("u1").await.unwrap(), 9);
    assert_eq!(attribution.forget("u1").await.unwrap(), 0);
    let left = lines(folder.path(), 2).await;
    assert!(left[0].contains(r#""user":"u2""#), "{left:?}");
    let spooled = spool(&attribution).look().next_batch(100, 1 << 20).unwrap();
    assert_eq!(spooled.records.len(), 2);
    // Delivery goes on.
    append(&attribution, &["u4"]);
    lines(folder.path(), 3).await;
    // What is in a file is counted just after.
    attribution.finish(Duration::from_secs(20)).await;
    let delivery = attribution.delivery.clone().unwrap();
    let sent = delivery.sinks().iter();
    let sent: Vec<u64> = sent.map(|sink| sink.figures().sent).collect();
    assert_eq!(sent, [3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_exposures_are_sent_when_the_gateway_ends() {
    let folder = tempfile::tempdir().unwrap();
    let attribution = start(folder.path(), None);
    append(&attribution, &["u1", "u2", "u3"]);
    attribution.finish(Duration::from_secs(20)).await;
    assert_eq!(lines(folder.path(), 3).await.len(), 3);
    assert!(
        attribution.forget("u1").await.is_err(),
        "the tasks have ended"
    );
}
