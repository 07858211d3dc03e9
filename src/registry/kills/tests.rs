use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Kill, Kills};
use crate::canary::Withdrawal;
use crate::context::Moment;
use crate::durable::tests::names;
use crate::state::StateStore;

fn open(state_dir: &Path) -> Kills {
    Kills::open(StateStore::open(state_dir))
}

fn kill(by: &str) -> Kill {
    Kill::new(Moment { unix_ms: 7 }, by.to_owned(), None)
}

/// How a flag of the service "search" stands, in snapshots and for attempts.
fn standing(kills: &Kills, flag: &str) -> Option<Withdrawal> {
    let of_snapshot = kills.withdrawn().get("search", flag);
    assert_eq!(kills.mark("search", flag).get(), of_snapshot, "{flag}");
    of_snapshot
}

#[tokio::test]
async fn kills_survive_a_restart_and_restores_too() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let kills = open(&state);
    let mark = kills.mark("search", "search.a");
    assert_eq!(
        kills.kill("search", "search.a", kill("ann")),
        (kill("ann"), true)
    );
    assert_eq!(mark.get(), Some(Withdrawal::Killed));
    assert_eq!(
        kills.kill("search", "search.a", kill("bob")),
        (kill("ann"), false),
        "the first stays"
    );
    kills.kill("shop", "shop.b", kill("bob"));
    kills.store().await.unwrap();
    let mode = fs::metadata(state.join("kills.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);

    let kills = open(&state);
    assert_eq!(
        kills.of_service("search"),
        [("search.a".to_owned(), kill("ann"))]
    );
    let withdrawn = kills.withdrawn();
    assert_eq!(withdrawn.get("shop", "shop.b"), Some(Withdrawal::Killed));
    assert_eq!(standing(&kills, "shop.b"), None);
    let mark = kills.mark("search", "search.a");
    assert!(kills.restore("search", "search.a"));
    assert_eq!(mark.get(), None);
    assert!(!kills.restore("search", "search.a"));
    kills.store().await.unwrap();
    assert!(open(&state).of_service("search").is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_until_an_operator_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kills.json");
    let damaged = r#"{"version":1,"kills":[{"service":"search","flag":"search.a","at_unix_ms":7,"by":"ann"},{"serv"#;
    fs::write(&path, damaged).unwrap();
    let kills = open(folder.path());
    let told = kills.doubts().join("\n");
    assert!(
        told.contains("kills.json") && told.contains("restore --all-unknown"),
        "{told}"
    );
    let marks = ["search.a", "search.b", "search.c"].map(|flag| kills.mark("search", flag));
    assert_eq!(standing(&kills, "search.a"), Some(Withdrawal::Killed));
    assert_eq!(standing(&kills, "search.b"), Some(Withdrawal::Unknown));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        damaged,
        "left for people to mend"
    );

    // One of them is known again, and an order is stored: what was damaged is kept.
    assert!(kills.restore("search", "search.b"));
    assert!(!kills.restore("search", "search.b"));
    kills.store().await.unwrap();
    assert_eq!(names(folder.path()), ["kills.json", "kills.json.damaged.1"]);
    let kept = fs::read_to_string(folder.path().join("kills.json.damaged.1")).unwrap();
    assert_eq!(kept, damaged);
    let again = open(folder.path());
    for (kills, flag, expected) in [
        (&kills, "search.b", None),
        (&again, "search.a", Some(Withdrawal::Killed)),
        (&again, "search.b", None),
        (&again, "search.c", Some(Withdrawal::Unknown)),
    ] {
        assert_eq!(standing(kills, flag), expected, "{flag}");
    }

    assert!(again.restore_unknown());
    assert!(!again.restore_unknown());
    assert!(again.doubts().is_empty());
    assert_eq!(standing(&again, "search.a"), Some(Withdrawal::Killed));
    assert_eq!(standing(&again, "search.c"), None);
    again.store().await.unwrap();
    assert!(open(folder.path()).doubts().is_empty());
    assert!(kills.restore_unknown());
    let marks = marks.map(|mark| mark.get());
    assert_eq!(marks, [Some(Withdrawal::Killed), None, None]);
}

#[tokio::test]
async fn a_file_that_somebody_mends_holds_beside_what_was_killed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kills.json");
    fs::write(&path, "{").unwrap();
    let kills = open(folder.path());
    let mark = kills.mark("search", "search.c");
    assert!(!kills.reread().await);
    kills.kill("search", "search.b", kill("bob"));
    // A file that is gone for a moment is not mended.
    fs::remove_file(&path).unwrap();
    assert!(!kills.reread().await);
    assert_eq!(mark.get(), Some(Withdrawal::Unknown));
    let mended = r#"{"version":1,"kills":[{"service":"search","flag":"search.a"}]}"#;
    fs::write(&path, mended).unwrap();
    assert!(kills.reread().await);
    assert!(!kills.reread().await, "there is nothing more to be mended");
    for (flag, expected) in [
        ("search.a", Some(Withdrawal::Killed)),
        ("search.b", Some(Withdrawal::Killed)),
        ("search.c", None),
    ] {
        assert_eq!(standing(&kills, flag), expected, "{flag}");
    }
    assert_eq!(mark.get(), None);
}

#[tokio::test]
async fn a_file_that_cannot_even_be_opened_lifts_no_kill() {
    let folder = tempfile::tempdir().unwrap();
    // Root may read every file, but no folder as one.
    fs::create_dir_all(folder.path().join("kills.json/x")).unwrap();
    let kills = open(folder.path());
    assert_eq!(standing(&kills, "search.a"), Some(Withdrawal::Unknown));
    assert!(kills.restore_unknown());
    kills.store().await.unwrap();
    assert_eq!(names(folder.path()), ["kills.json", "kills.json.damaged.1"]);
    assert!(open(folder.path()).doubts().is_empty());
}

#[tokio::test]
async fn a_kill_holds_although_it_cannot_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    // A file where the folder should be.
    fs::write(&state, "").unwrap();
    let kills = open(&state);
    kills.kill("search", "search.a", kill("ann"));
    kills.store().await.unwrap_err();
    assert!(kills.unstored().is_some());
    assert_eq!(standing(&kills, "search.a"), Some(Withdrawal::Killed));
    assert!(Kills::in_memory().store().await.is_ok());
}

#[test]
fn marks_that_nothing_holds_are_forgotten_and_kills_are_not() {
    let kills = Kills::in_memory();
    let held = kills.mark("search", "search.held");
    drop(kills.mark("search", "search.gone"));
    drop(kills.mark("shop", "shop.gone"));
    kills.kill("shop", "shop.gone", kill("ann"));
    kills.sweep();
    assert_eq!(kills.0.state.lock().unwrap().marks.all().count(), 1);
    kills.kill("search", "search.held", kill("ann"));
    assert_eq!(held.get(), Some(Withdrawal::Killed));
    let mark = kills.mark("shop", "shop.gone");
    assert_eq!(mark.get(), Some(Withdrawal::Killed));
}
