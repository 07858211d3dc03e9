use std::collections::HashMap;
use std::sync::Arc;

use super::{Seniority, Since};
use crate::config::Config;
use crate::config::kept::CompiledKept;
use crate::context::schema::ContextSchema;
use crate::engine::Flag;
use crate::engine::source::SourceSet;
use crate::route::router::Router;
use crate::snapshot::assemble::{CompiledSource, Content};
use crate::snapshot::fixture::{self, everyone, ring, service};
use crate::snapshot::offline::{NoopMeters, Offline};
use crate::snapshot::{FlagSource, Snapshot};

/// A flag that is on for everybody.
fn flag(name: &str) -> Flag {
    fixture::flag(name, vec![ring("all", everyone(), "100%")])
}

fn with(flag: Flag, change: impl FnOnce(&mut Flag)) -> Flag {
    let mut flag = flag;
    change(&mut flag);
    flag
}

fn config(flags: Vec<Flag>) -> Config {
    let mut flags = flags;
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    fixture::config(vec![service("s", &["s.first.*", "s.*"])], flags)
}

/// What comes of these flags and this record; `unheard`: beside a flag server that has never answered.
fn assembled(config: &Config, seniority: &Seniority, unheard: bool) -> Snapshot {
    let source = |set: Option<SourceSet>| CompiledSource {
        source: FlagSource {
            name: "unleash".into(),
            set: set.map(Arc::new),
        },
        digest: None,
        flags: &[],
        warnings: &[],
    };
    let content = Content {
        config,
        kept: &CompiledKept::default(),
        router: Arc::new(Router::new(config.routes.clone())),
        sources: if unheard {
            vec![source(None)]
        } else {
            Vec::new()
        },
        vocabulary: Arc::new(ContextSchema::new(&[])),
        last_known: &HashMap::new(),
        registrations: &[],
        fallbacks: &CompiledKept::default(),
        seniority,
        earlier: None,
    };
    content.assemble(1, &mut Offline::default(), &mut NoopMeters)
}

fn order(snapshot: &Snapshot) -> Vec<String> {
    let candidates = snapshot.services[0].candidates.iter();
    candidates.map(|one| one.flag.name.to_string()).collect()
}

fn names(seniority: &Seniority) -> Vec<&str> {
    seniority.of("s").iter().map(|name| &**name).collect()
}

/// Publishes one list of flags after the other; the orders that they come to.
fn after_one_another(lists: Vec<Vec<Flag>>) -> Vec<Vec<String>> {
    let mut seniority = Seniority::default();
    let mut orders = Vec::new();
    for flags in lists {
        let snapshot = assembled(&config(flags), &seniority, false);
        seniority = seniority.after(&snapshot);
        orders.push(order(&snapshot));
    }
    orders
}

#[test]
fn a_newcomer_comes_behind_those_that_run() {
    let orders = after_one_another(vec![
        vec![flag("s.ranker")],
        vec![flag("s.ranker"), flag("s.ab")],
        vec![flag("s.ranker"), flag("s.ab"), flag("s.aa")],
    ]);
    assert_eq!(orders[1], ["s.ranker", "s.ab"]);
    assert_eq!(orders[2], ["s.ranker", "s.ab", "s.aa"]);
}

#[test]
fn without_a_record_names_rank() {
    let flags = vec![flag("s.b"), flag("s.a")];
    assert_eq!(after_one_another(vec![flags]), [["s.a", "s.b"]]);
}

#[test]
fn a_flag_that_is_deleted_and_comes_back_is_new() {
    let orders = after_one_another(vec![
        vec![flag("s.a")],
        vec![flag("s.a"), flag("s.b")],
        vec![flag("s.b")],
        vec![flag("s.a"), flag("s.b")],
    ]);
    assert_eq!(orders[3], ["s.b", "s.a"]);
}

#[test]
fn one_that_is_off_or_broken_for_a_while_keeps_its_place() {
    let off = || with(flag("s.b"), |flag| flag.enabled = false);
    let broken = || with(flag("s.b"), |flag| flag.url = None);
    for pause in [off(), broken()] {
        let orders = after_one_another(vec![
            vec![flag("s.b")],
            vec![flag("s.b"), flag("s.a")],
            vec![pause, flag("s.a")],
            vec![flag("s.b"), flag("s.a")],
        ]);
        assert_eq!(orders[3], ["s.b", "s.a"]);
    }
}

#[test]
fn one_that_was_created_early_and_never_ran_is_new_when_it_runs() {
    let early = || with(flag("s.a"), |flag| flag.enabled = false);
    let nobody = || {
        with(flag("s.a"), |flag| {
            flag.rings = vec![ring("all", everyone(), "0%")];
        })
    };
    for early in [early(), nobody()] {
        let orders = after_one_another(vec![
            vec![early.clone()],
            vec![early, flag("s.b")],
            vec![flag("s.a"), flag("s.b")],
        ]);
        assert_eq!(orders[2], ["s.b", "s.a"]);
    }
}

#[test]
fn canaries_and_priority_beat_who_ran_first() {
    let first = |priority: i32| with(flag("s.b"), |flag| flag.priority = priority);
    let orders = after_one_another(vec![
        vec![flag("s.z")],
        vec![flag("s.z"), first(1), flag("s.first.x")],
        vec![flag("s.z"), first(0), flag("s.first.x")],
    ]);
    assert_eq!(orders[1], ["s.first.x", "s.b", "s.z"]);
    assert_eq!(orders[2], ["s.first.x", "s.z", "s.b"]);
}

#[test]
fn while_a_server_has_never_answered_nothing_is_forgotten_and_no_record_begun() {
    let recorded = Seniority::new([("s".into(), vec!["s.gone".into()])]);
    let config = config(vec![flag("s.a")]);
    let snapshot = assembled(&config, &recorded, true);
    assert_eq!(names(&recorded.after(&snapshot)), ["s.gone", "s.a"]);
    assert_eq!(Seniority::default().after(&snapshot), Seniority::default());
    let whole = assembled(&config, &recorded, false);
    assert_eq!(names(&recorded.after(&whole)), ["s.a"]);
}

#[test]
fn gateways_that_order_alike_have_one_digest_and_others_another() {
    let config = config(vec![flag("s.a"), flag("s.b")]);
    let digest = |flags: &[&str]| {
        let flags = flags.iter().map(|&flag| flag.into()).collect();
        let seniority = Seniority::new([("s".into(), flags)]);
        assembled(&config, &seniority, false).digest
    };
    let fresh = digest(&[]);
    assert_eq!(fresh, digest(&["s.a"]));
    assert_eq!(fresh, digest(&["s.gone", "s.a", "s.b"]));
    assert_ne!(fresh, digest(&["s.b"]));
    assert_eq!(digest(&["s.b"]), digest(&["s.b", "s.a"]));
}

#[test]
fn what_gateways_have_agreed_comes_first_and_the_rest_in_its_own_order() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| Arc::from(*name))
            .collect::<Vec<_>>()
    };
    let seen = Seniority::new([("s".into(), names(&["b", "c", "a", "d"]))]);
    assert_eq!(seen.agreed(&Since::new()), seen);
    let moments = [("a", 7), ("d", 5), ("unseen", 6), ("b", 7)];
    let moments = moments.map(|(flag, moment)| (Arc::from(flag), moment));
    let other = [(Arc::from("x"), 1)];
    let since = Since::from([("s".into(), moments.into()), ("other".into(), other.into())]);
    let agreed = seen.agreed(&since);
    assert_eq!(agreed.of("s"), names(&["d", "unseen", "a", "b", "c"]));
    assert_eq!(agreed.of("other"), names(&["x"]));
    let lacking: Vec<&str> = seen.lacking_in(&since).map(|(_, flag)| &**flag).collect();
    assert_eq!(lacking, ["c"]);
}

#[test]
fn a_snapshot_fits_the_order_that_it_was_made_by_and_no_other() {
    let config = config(vec![flag("s.a"), flag("s.b"), flag("s.first.z")]);
    let order = |names: [&str; 3]| Seniority::new([("s".into(), names.map(Arc::from).to_vec())]);
    let b_first = order(["s.b", "s.a", "s.first.z"]);
    let snapshot = assembled(&config, &b_first, false);
    assert!(b_first.fits(&snapshot));
    // What comes first by its place in `canaries` does so whenever it began.
    assert!(order(["s.first.z", "s.b", "s.a"]).fits(&snapshot));
    assert!(!order(["s.a", "s.b", "s.first.z"]).fits(&snapshot));
    assert!(!Seniority::default().fits(&snapshot));
}
