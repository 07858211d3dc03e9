//! What a gateway has kept on disk, and what it is without.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::stage::{Stage, patiently, report};
use crate::harness::unleash::{Unleash, canary};
use crate::harness::{Fault, FaultProxy};

#[tokio::test]
async fn it_starts_from_what_it_kept_without_waiting() {
    let unleash = Unleash::shared().await;
    let mut proxy = FaultProxy::start(unleash.address()).await;
    let stage = Stage::new("kept").await;
    let flag = stage.flag("new");
    let mut gateway = stage.start(&proxy.url()).await;
    unleash
        .open(&flag, canary(&flag, 100, &stage.canary.url()))
        .await;
    stage.await_served(&gateway, "u1", "canary").await;
    assert!(gateway.terminate().await.success());

    proxy.refuse().await;
    let begun = Instant::now();
    let mut gateway = stage.start(&proxy.url()).await;
    let took = begun.elapsed();
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
    report(&format!(
        "start to readiness with the server down: {took:.2?}"
    ));
    stage.await_trouble(&gateway, &[("u1", "canary")]).await;
    assert!(gateway.terminate().await.success());

    // A server that takes connections and says nothing is worse than none.
    proxy.accept();
    proxy.set(Fault::Freeze);
    // It is given up on after ten seconds, for longer than which no start is waited for.
    let gateway = stage.start(&proxy.url()).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
    unleash.turn(&flag, false).await;
    proxy.set(Fault::None);
    stage.await_served(&gateway, "u1", "stable").await;
}

#[tokio::test]
async fn it_starts_from_what_it_kept_when_it_was_killed() {
    let unleash = Unleash::shared().await;
    let mut proxy = FaultProxy::start(unleash.address()).await;
    let stage = Stage::new("killed").await;
    let flag = stage.flag("new");
    let gateway = stage.start(&proxy.url()).await;
    unleash
        .open(&flag, canary(&flag, 100, &stage.canary.url()))
        .await;
    stage.await_served(&gateway, "u1", "canary").await;
    patiently("the flag on disk", || async {
        // Not only in the record of which flags ran first.
        let on_disk = |path: &PathBuf| fs::read(path).is_ok_and(|text| contains(&text, &flag));
        let is_stored = |path: &PathBuf| path.extension().is_some_and(|end| end == "snapshot");
        let mut stored = files(stage.state.path()).into_iter().filter(is_stored);
        stored.any(|path| on_disk(&path)).then_some(())
    })
    .await;
    gateway.kill().await;
    proxy.refuse().await;
    let gateway = stage.start(&proxy.url()).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
}

#[tokio::test]
async fn without_flags_it_is_not_ready_and_everyone_is_on_stable() {
    let unleash = Unleash::shared().await;
    let mut proxy = FaultProxy::start(unleash.address()).await;
    proxy.refuse().await;
    let stage = Stage::new("empty").await;
    let flag = stage.flag("new");
    unleash
        .open(&flag, canary(&flag, 100, &stage.canary.url()))
        .await;
    let gateway = stage.launch(&proxy.url()).await;
    stage.await_trouble(&gateway, &[("u1", "stable")]).await;
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    assert_eq!(gateway.admin("/livez").await.status, 200);
    let line = gateway.await_access_log_of("/empty").await;
    assert_eq!(line["reason"], "no_flags", "{line:#}");
    proxy.accept();
    stage.await_served(&gateway, "u1", "canary").await;
    assert_eq!(gateway.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_said() {
    let unleash = Unleash::shared().await;
    let mut proxy = FaultProxy::start(unleash.address()).await;
    let stage = Stage::new("damaged").await;
    let flag = stage.flag("new");
    unleash
        .open(&flag, canary(&flag, 100, &stage.canary.url()))
        .await;
    let mut gateway = stage.start(&proxy.url()).await;
    stage.await_served(&gateway, "u1", "canary").await;
    assert!(gateway.terminate().await.success());

    let mut damaged = 0;
    for path in files(stage.state.path()) {
        // The newest copy and the one before it, which may be from before this flag.
        if !path.to_string_lossy().contains(".snapshot") {
            continue;
        }
        let mut bytes = fs::read(&path).expect("a file");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        fs::write(&path, bytes).expect("it is written");
        damaged += 1;
    }
    assert!(damaged > 0, "{:?}", files(stage.state.path()));

    proxy.refuse().await;
    let gateway = stage.launch(&proxy.url()).await;
    stage.await_trouble(&gateway, &[("u1", "stable")]).await;
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    gateway.await_log("damaged").await;
    let aside = |path: &PathBuf| path.to_string_lossy().ends_with(".damaged");
    let files = files(stage.state.path());
    assert!(files.iter().any(aside), "{files:?}");
    proxy.accept();
    stage.await_served(&gateway, "u1", "canary").await;
}

#[tokio::test]
async fn it_starts_from_the_copy_before_when_the_newest_is_damaged() {
    let unleash = Unleash::shared().await;
    let mut proxy = FaultProxy::start(unleash.address()).await;
    let stage = Stage::new("older").await;
    let flag = stage.flag("new");
    let mut gateway = stage.start(&proxy.url()).await;
    unleash
        .open(&flag, canary(&flag, 100, &stage.canary.url()))
        .await;
    stage.await_served(&gateway, "u1", "canary").await;
    // Something else changes: the file with the flag becomes the older one.
    let other = stage.flag("other");
    unleash.create_flag(&other).await;
    let holds = |name: &'static str, text: String| {
        let file = stage.state.path().join(name);
        move || fs::read(&file).is_ok_and(|kept| contains(&kept, &text))
    };
    let newest = holds("flags-unleash.snapshot", other.clone());
    let older = holds("flags-unleash.snapshot.older", flag.clone());
    patiently("both copies on disk", || async {
        (newest() && older()).then_some(())
    })
    .await;
    assert!(gateway.terminate().await.success());
    let file = stage.state.path().join("flags-unleash.snapshot");
    let text = fs::read(&file).expect("a file");
    fs::write(&file, &text[..text.len() / 2]).expect("it is written");

    proxy.refuse().await;
    let gateway = stage.start(&proxy.url()).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
    gateway.await_log("the copy before it is used").await;
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
