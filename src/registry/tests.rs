use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Kill, Registry};
use crate::canary::Withdrawal;
use crate::context::Moment;

fn kill(by: &str) -> Kill {
    Kill {
        at: Moment { unix_ms: 7 },
        by: by.to_owned(),
    }
}

#[tokio::test]
async fn kills_survive_a_restart_and_restores_too() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let registry = Registry::open(&state);
    assert_eq!(
        registry.kill("search", "search.a", kill("ann")),
        (kill("ann"), true)
    );
    assert_eq!(
        registry.kill("search", "search.a", kill("bob")),
        (kill("ann"), false),
        "the first stays"
    );
    registry.kill("shop", "shop.b", kill("bob"));
    registry.store().await.unwrap();
    let mode = fs::metadata(state.join("kills.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);

    let registry = Registry::open(&state);
    assert_eq!(
        registry.of_service("search"),
        [("search.a".to_owned(), kill("ann"))]
    );
    let withdrawn = registry.withdrawn();
    assert_eq!(withdrawn.get("shop", "shop.b"), Some(Withdrawal::Killed));
    assert_eq!(withdrawn.get("search", "shop.b"), None);
    assert_eq!(registry.restore("search", "search.a"), Some(kill("ann")));
    assert_eq!(registry.restore("search", "search.a"), None);
    registry.store().await.unwrap();
    assert!(Registry::open(&state).of_service("search").is_empty());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kills.json");
    for (content, aside) in [
        ("{\"version\":1,\"kills\":[{\"serv", "kills.json.damaged.1"),
        ("{\"version\":2,\"kills\":[]}", "kills.json.damaged.2"),
    ] {
        fs::write(&path, content).unwrap();
        let registry = Registry::open(folder.path());
        let trouble = registry.trouble().expect("a report");
        assert!(trouble.contains(aside), "{trouble}");
        assert!(!path.exists());
        let kept = fs::read_to_string(folder.path().join(aside)).unwrap();
        assert_eq!(kept, content);
        // What is written next is whole again.
        registry.kill("search", "search.a", kill("ann"));
        registry.store().await.unwrap();
        assert_eq!(registry.trouble(), None);
        assert_eq!(Registry::open(folder.path()).of_service("search").len(), 1);
    }
}

#[tokio::test]
async fn a_kill_holds_although_it_cannot_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    // A file where the folder should be.
    fs::write(&state, "").unwrap();
    let registry = Registry::with(
        Default::default(),
        Some(super::file::KillFile::new(&state)),
        None,
    );
    registry.kill("search", "search.a", kill("ann"));
    registry.store().await.unwrap_err();
    assert!(registry.trouble().is_some());
    let withdrawn = registry.withdrawn();
    assert_eq!(
        withdrawn.get("search", "search.a"),
        Some(Withdrawal::Killed)
    );
    assert!(Registry::in_memory().store().await.is_ok());
}
