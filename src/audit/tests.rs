use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::actor::Actor;
use super::chain::{Fault, Verifier};
use super::entry::{Action, Deed};
use super::files::{Files, existing, path};
use super::query::{Query, QueryError, Since};
use super::{Audit, Figures};
use crate::config::admin::Role;
use crate::custody::Custody;

/// How long a test waits for a fact before it fails.
const DEADLINE: Duration = Duration::from_secs(10);

fn kill(object: &str) -> Deed {
    let actor = Actor {
        name: Some("oncall".into()),
        role: Some(Role::Operator),
        address: Some([127, 0, 0, 1].into()),
    };
    let deed = Deed::new(actor, Action::Kill, object).of_service("search");
    deed.changing(json!({ "killed": false }), json!({ "killed": true }))
        .because(Some("it \"broke\"\n".to_owned()))
}

/// Enters so many kills, and returns when all are written.
fn fill(audit: &Audit, count: usize) {
    for number in 0..count {
        audit.record(kill(&format!("search.{number}"))).let_go();
    }
    audit.settle(DEADLINE);
}

fn everything(limit: usize) -> Query {
    Query {
        since: None,
        services: None,
        limit,
    }
}

fn found(audit: &Audit, query: &Query) -> Vec<Value> {
    let lines = audit.find(query).unwrap();
    let parsed = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    parsed.collect()
}

fn texts<'a>(entries: &'a [Value], member: &str) -> Vec<&'a str> {
    let texts = entries.iter().map(|entry| entry[member].as_str().unwrap());
    texts.collect()
}

/// What is wrong with the lines of files, and how many entries are right.
fn checked(paths: &[PathBuf]) -> (Vec<Fault>, u64) {
    let mut verifier = Verifier::default();
    let mut faults = Vec::new();
    for path in paths {
        let text = fs::read(path).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        faults.extend(lines.filter_map(|line| verifier.check(line).err()));
    }
    (faults, verifier.count())
}

fn checked_text(text: &[u8]) -> Vec<Fault> {
    let mut verifier = Verifier::default();
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter_map(|line| verifier.check(line).err())
        .collect()
}

/// The file of a trail with so many entries.
fn trail(folder: &Path, count: usize) -> Vec<u8> {
    fill(&Audit::open(folder), count);
    fs::read(path(folder, 0)).unwrap()
}

#[test]
fn an_entry_says_who_did_what() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path());
    fill(&audit, 1);
    let entries = found(&audit, &everything(10));
    let entry = entries.first().unwrap();
    let expected = json!({
        "actor": { "name": "oncall", "role": "operator", "address": "127.0.0.1" },
        "action": "kill", "service": "search", "object": "search.0", "reason": "it \"broke\"\n", "scope": "this gateway",
        "before": { "killed": false }, "after": { "killed": true }, "previous": "0".repeat(64),
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(entry.get(member), Some(value), "{member}");
    }
    let own = serde_json::to_value(super::actor::ActorView::from(&Actor::gateway())).unwrap();
    assert_eq!(
        own,
        json!({ "name": "serin", "role": null, "address": null })
    );
}

#[test]
fn every_flipped_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = trail(folder.path(), 3);
    assert_eq!(checked_text(&text), []);
    for at in 0..text.len() {
        for bit in 0..8 {
            text[at] ^= 1 << bit;
            assert_ne!(checked_text(&text), [], "byte {at}, bit {bit}");
            text[at] ^= 1 << bit;
        }
    }
}

#[test]
fn what_is_removed_or_exchanged_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let text = trail(folder.path(), 5);
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let with = |order: &[usize]| {
        let picked: Vec<&[u8]> = order.iter().map(|&index| lines[index]).collect();
        checked_text(&picked.concat())
    };
    assert_eq!(with(&[0, 1, 2, 3, 4]), []);
    // Older files may have been put away.
    assert_eq!(with(&[2, 3, 4]), []);
    assert!(matches!(
        *with(&[0, 1, 4]),
        [Fault::Missing {
            count: 2,
            after: 2,
            ..
        }]
    ));
    assert!(matches!(
        *with(&[0, 2, 1, 3, 4]),
        [
            Fault::Missing { .. },
            Fault::Untied(_),
            Fault::Missing { .. }
        ]
    ));
    assert!(matches!(*with(&[0, 0]), [Fault::Untied(_)]));
    let other = tempfile::tempdir().unwrap();
    let both = [&*text, &trail(other.path(), 1)].concat();
    assert!(matches!(*checked_text(&both), [Fault::OtherChain(_)]));
}

#[test]
fn a_trail_goes_on_after_a_restart_and_half_an_entry_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = trail(folder.path(), 2);
    text.extend_from_slice(b"{\"id\":\"half");
    fs::write(path(folder.path(), 0), &text).unwrap();
    let audit = Audit::open(folder.path());
    fill(&audit, 1);
    let entries = found(&audit, &everything(10));
    assert_eq!(
        texts(&entries, "action"),
        ["kill", "kill", "cut_trail", "kill"]
    );
    assert_eq!(entries[2]["after"], json!({ "bytes": 11 }));
    assert_eq!(checked(&existing(folder.path())), (Vec::new(), 4));
    assert_eq!(audit.figures().damage, None);
}

#[test]
fn a_broken_trail_is_put_aside_and_the_next_one_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = String::from_utf8(trail(folder.path(), 3)).unwrap();
    fs::write(path(folder.path(), 0), text.replace("search.1", "search.9")).unwrap();
    let audit = Audit::open(folder.path());
    fill(&audit, 1);
    let damage = audit.figures().damage.unwrap();
    assert!(damage.starts_with("line 2 of"), "{damage}");
    let newest = fs::read_to_string(path(folder.path(), 0)).unwrap();
    let first: Value = serde_json::from_str(newest.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["action"], &first["reason"]),
        (&json!("begin_trail"), &json!(damage))
    );
    // What there was is still there, and still wrong.
    let (faults, count) = checked(&existing(folder.path()));
    assert_eq!((faults.len(), count), (2, 4), "{faults:?}");
    assert!(matches!(*faults, [Fault::Changed, Fault::OtherChain(_)]));
    // The next start finds nothing wrong with the new one.
    drop(audit);
    assert_eq!(Audit::open(folder.path()).figures().damage, None);
}

#[test]
fn the_chain_goes_on_across_files_of_which_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        Audit::with(
            folder.path(),
            Files::of_at_most(folder.path(), 2_000),
            Custody::default(),
        )
    };
    let audit = open();
    for _ in 0..20 {
        fill(&audit, 1);
    }
    let (faults, count) = checked(&existing(folder.path()));
    assert_eq!((faults, existing(folder.path()).len()), (Vec::new(), 4));
    assert!((8..20).contains(&count), "{count}");
    let all = found(&audit, &everything(1000));
    assert_eq!(u64::try_from(all.len()).unwrap(), count);
    let ids = texts(&all, "id");
    // Pages in both directions.
    assert_eq!(
        texts(&found(&audit, &everything(3)), "id"),
        ids[ids.len() - 3..]
    );
    let after = |id: &str, limit| Query {
        since: Some(Since::Entry(id.to_owned())),
        ..everything(limit)
    };
    assert_eq!(texts(&found(&audit, &after(ids[1], 3)), "id"), ids[2..5]);
    assert_eq!(
        found(&audit, &after(ids[ids.len() - 1], 3)),
        Vec::<Value>::new()
    );
    let gone = audit.find(&after("00000000-1", 3));
    assert!(matches!(gone, Err(QueryError::NoSuchEntry(_))));
    // A file that was begun and has nothing in it yet is no end of the chain.
    drop(audit);
    fs::rename(path(folder.path(), 1), path(folder.path(), 2)).unwrap();
    fs::rename(path(folder.path(), 0), path(folder.path(), 1)).unwrap();
    fs::write(path(folder.path(), 0), "").unwrap();
    fill(&open(), 1);
    let newest = existing(folder.path());
    assert_eq!(checked(&newest[newest.len() - 2..]).0, []);
}

#[test]
fn entries_are_found_by_service_and_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path());
    fill(&audit, 2);
    audit.record(kill("cart.1").of_service("cart")).let_go();
    audit
        .record(Deed::new(Actor::gateway(), Action::Reload, "routes.yaml"))
        .let_go();
    audit.settle(DEADLINE);
    let of = |services: &[&str]| {
        let services = services.iter().map(|service| (*service).into());
        let query = Query {
            services: Some(services.collect()),
            ..everything(10)
        };
        let entries = found(&audit, &query);
        texts(&entries, "object")
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&["cart"]), ["cart.1"]);
    assert_eq!(of(&["search", "cart"]), ["search.0", "search.1", "cart.1"]);
    assert_eq!(of(&[]), Vec::<String>::new());
    let all = found(&audit, &everything(10));
    let since = |moment: &str| Query {
        since: Some(Since::Moment(moment.parse().unwrap())),
        ..everything(10)
    };
    assert_eq!(found(&audit, &since(all[0]["at"].as_str().unwrap())), all);
    assert_eq!(
        found(&audit, &since("9999-01-01T00:00:00Z")),
        Vec::<Value>::new()
    );
}

#[test]
fn what_cannot_be_written_waits_and_too_much_of_it_is_lost_and_said() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    // A file where the folder should be.
    fs::write(&folder, "").unwrap();
    let audit = Audit::open(&folder);
    for number in 0..10_003 {
        audit.record(kill(&number.to_string())).let_go();
    }
    audit.settle(Duration::ZERO);
    let Figures { lost, waiting, .. } = audit.figures();
    assert_eq!((lost, waiting), (3, 10_000));
    fs::remove_file(&folder).unwrap();
    audit.settle(DEADLINE);
    let figures = audit.figures();
    assert_eq!((figures.waiting, figures.trouble), (0, None));
    let entries = found(&audit, &everything(20_000));
    assert_eq!(entries.len(), 10_001);
    // Those that came first waited, and the others were lost after them.
    assert_eq!(entries[9_999]["object"], "9999");
    assert_eq!(entries[10_000]["action"], "lose_entries");
    assert_eq!(entries[10_000]["after"], json!({ "lost": 3 }));
    assert_eq!(checked(&existing(&folder)).0, []);
}

#[test]
fn a_file_that_somebody_removes_or_cuts_is_missed_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path());
    fill(&audit, 2);
    fs::remove_file(path(folder.path(), 0)).unwrap();
    fill(&audit, 2);
    assert_eq!(checked(&existing(folder.path())), (Vec::new(), 2));
    let text = fs::read(path(folder.path(), 0)).unwrap();
    let first = text.iter().position(|byte| *byte == b'\n').unwrap();
    let file = fs::File::options()
        .write(true)
        .open(path(folder.path(), 0))
        .unwrap();
    file.set_len(u64::try_from(first).unwrap() + 1).unwrap();
    fill(&audit, 1);
    let (faults, _) = checked(&existing(folder.path()));
    assert!(
        matches!(*faults, [Fault::Missing { count: 1, .. }]),
        "{faults:?}"
    );
}

#[tokio::test]
async fn a_receipt_comes_when_the_entry_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path());
    audit.record(kill("search.a")).written().await;
    let text = fs::read_to_string(path(folder.path(), 0)).unwrap();
    assert!(text.contains("search.a"), "{text}");
    // Nobody is kept waiting by a disk that takes nothing.
    let nowhere = Audit::open(&path(folder.path(), 0).join("below"));
    nowhere.record(kill("search.b")).written().await;
    assert_eq!(nowhere.figures().waiting, 1);
    assert!(nowhere.figures().trouble.is_some());
}

#[test]
fn a_trail_in_memory_forgets_the_oldest() {
    let audit = Audit::in_memory();
    fill(&audit, 10_002);
    let entries = found(&audit, &everything(20_000));
    assert_eq!(
        (entries.len(), &entries[0]["object"]),
        (10_000, &json!("search.2"))
    );
    assert_eq!(audit.figures().written.get(&Action::Kill), Some(&10_002));
    let huge = "x".repeat(1024 * 1024);
    for _ in 0..20 {
        audit.record(kill(&huge)).let_go();
    }
    assert!(found(&audit, &everything(20_000)).len() < 17);
}
