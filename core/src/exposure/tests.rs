use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::{ArmKind, Exposure, Sighting};
use crate::canary::Cause;
use crate::config::attribution::{Control, ExposuresConfig, UserForm};
use crate::context::{Context, Field, Moment};
use crate::decide::{Decision, decide, overriding};
use crate::dispatch::user_key;
use crate::engine::{Bucketing, CanaryUrl, Flag};
use crate::overrides;
use crate::record::Outcome;
use crate::request::HeaderList;
use crate::route::{RouteIndex, ServiceIndex};
use crate::snapshot::fixture::{everyone, flag, ring, service, snapshot, variants, when};
use crate::snapshot::{DeploymentIndex, STABLE, Snapshot};

const NOW: Moment = Moment {
    unix_ms: 1_795_305_600_123,
};

fn config(control: Control) -> ExposuresConfig {
    ExposuresConfig {
        users: UserForm::Plain,
        key: None,
        anonymous: false,
        control,
        properties: Vec::new(),
    }
}

fn search(flags: Vec<Flag>) -> Arc<Snapshot> {
    Arc::new(snapshot(vec![service("search", &["search.*"])], flags))
}

fn user(id: &str) -> Context<'_> {
    Context {
        user_id: Some(Cow::Borrowed(id)),
        ..Context::default()
    }
}

/// A flag for a part of those who meet a condition; with a bucketing of its own.
fn partial(name: &str, share: &str) -> Flag {
    let mut flag = flag(name, vec![ring("part", everyone(), share)]);
    flag.rings[0].rollout.bucketing = Bucketing::unleash(name);
    flag
}

fn outcome<'a>(
    snapshot: &'a Arc<Snapshot>,
    decision: Decision,
    served: Option<DeploymentIndex>,
    user: &Context<'_>,
) -> Outcome<'a> {
    Outcome {
        snapshot,
        route: Some(RouteIndex::new(0)),
        service: Some(ServiceIndex::new(0)),
        decision: Some(decision),
        served,
        cause: (served != Some(decision.assigned)).then_some(Cause::Timeout),
        retries: &[],
        status: 200,
        request_bytes: 0,
        response_bytes: 0,
        upstream_time: None,
        total_time: Duration::ZERO,
        moment: NOW,
        method: "GET",
        host: "",
        path: "",
        user: user_key(user),
        user_id: None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        request_id: "",
        upstream: None,
        trace_id: None,
    }
}

/// What is recorded of a request that was served as it was decided, or by stable.
fn seen(
    snapshot: &Arc<Snapshot>,
    context: &Context<'_>,
    config: &ExposuresConfig,
    rescued: bool,
) -> Vec<Exposure> {
    let decision = decide(&snapshot.services[0], context, NOW);
    let served = if rescued { STABLE } else { decision.assigned };
    let outcome = outcome(snapshot, decision, Some(served), context);
    let sighting = Sighting::new(&outcome, context);
    sighting.map_or_else(Vec::new, |sighting| sighting.exposures(config).into_vec())
}

fn arms(exposures: &[Exposure]) -> Vec<(&str, ArmKind, bool)> {
    let arm = |exposure: &'_ Exposure| (exposure.arm, exposure.randomised);
    let names = exposures.iter().map(|exposure| &*exposure.flag);
    names
        .zip(exposures.iter().map(arm))
        .map(|(name, (arm, randomised))| (name, arm, randomised))
        .collect()
}

#[test]
fn a_canary_s_user_is_on_its_side_and_a_rescued_one_on_the_other() {
    let ann = when(Field::UserId, "userId", "in", &["ann"]);
    let snapshot = search(vec![flag("search.a", vec![ring("team", ann, "100%")])]);
    let config = config(Control::All);
    let served = seen(&snapshot, &user("ann"), &config, false);
    assert_eq!(arms(&served), [("search.a", ArmKind::Canary, false)]);
    let exposure = &served[0];
    assert_eq!(
        (&*exposure.assigned, &*exposure.served),
        ("search.a", "search.a")
    );
    assert_eq!((exposure.cause, exposure.time), (None, NOW));
    assert_eq!(exposure.ring.as_deref(), Some("team"));
    assert_eq!(exposure.reason.as_str(), "ring");
    let rescued = seen(&snapshot, &user("ann"), &config, true);
    assert_eq!(arms(&rescued), [("search.a", ArmKind::Other, false)]);
    assert_eq!(
        (&*rescued[0].assigned, &*rescued[0].served),
        ("search.a", "stable")
    );
    assert_eq!(rescued[0].cause, Some(Cause::Timeout));
    assert_ne!(rescued[0].id, exposure.id, "another deployment");
    // Nobody's percentage asked them.
    assert_eq!(seen(&snapshot, &user("bob"), &config, false), []);
}

#[test]
fn what_nobody_served_is_no_exposure() {
    let snapshot = search(vec![partial("search.a", "100%")]);
    let ann = user("ann");
    let decision = decide(&snapshot.services[0], &ann, NOW);
    let unserved = outcome(&snapshot, decision, None, &ann);
    assert!(Sighting::new(&unserved, &ann).is_none());
}

#[test]
fn a_variant_without_a_url_is_a_control_and_one_whose_url_is_refused_is_nothing() {
    let mut split = flag("search.ab", vec![ring("all", everyone(), "100%")]);
    split.url = None;
    split.variants = variants(&[
        ("control", 1, None),
        ("treatment", 1, Some("http://127.0.0.1:9")),
    ]);
    let snapshot = search(vec![split.clone()]);
    let config = config(Control::None);
    let mut found = BTreeSet::new();
    for number in 0..50 {
        let exposures = seen(&snapshot, &user(&number.to_string()), &config, false);
        let [exposure] = exposures.as_slice() else {
            panic!("{exposures:?}");
        };
        assert!(exposure.randomised);
        found.insert((exposure.variant.clone().unwrap(), exposure.arm));
    }
    let expected = [
        ("control", ArmKind::Control),
        ("treatment", ArmKind::Canary),
    ];
    let expected = expected.map(|(name, arm)| (Arc::from(name), arm));
    assert_eq!(found, BTreeSet::from(expected));
    let list = split.variants.as_ref().unwrap().list();
    let mut list = list.to_vec();
    list[0].url = Some(CanaryUrl::Refused("no".into()));
    let (bucketing, stickiness) = (
        Bucketing::unleash("group"),
        crate::engine::Stickiness::Default,
    );
    split.variants = crate::engine::Variants::new(list, bucketing, stickiness);
    let snapshot = search(vec![split]);
    let arms: BTreeSet<_> = (0..50)
        .flat_map(|number| seen(&snapshot, &user(&number.to_string()), &config, false))
        .map(|exposure| exposure.arm)
        .collect();
    assert_eq!(arms, BTreeSet::from([ArmKind::Canary]));
}

/// How many of 20,000 users are canary's and control's.
fn counts(flag: Flag, control: Control) -> (u32, u32) {
    let snapshot = search(vec![flag]);
    let config = config(control);
    let mut counts = (0, 0);
    for number in 0..20_000 {
        for exposure in seen(&snapshot, &user(&format!("u{number}")), &config, false) {
            assert!(exposure.randomised);
            match exposure.arm {
                ArmKind::Canary => counts.0 += 1,
                ArmKind::Control => counts.1 += 1,
                ArmKind::Other => panic!("{exposure:?}"),
            }
        }
    }
    counts
}

#[test]
fn as_many_controls_as_the_percentage_chose() {
    for share in ["1%", "5%", "30%", "50%"] {
        let (canary, control) = counts(partial("search.a", share), Control::Matched);
        let (least, most) = (
            f64::from(canary) * 0.85 - 20.0,
            f64::from(canary) * 1.15 + 20.0,
        );
        let told = format!("{share}: {canary} and {control}");
        assert!((least..most).contains(&f64::from(control)), "{told}");
    }
    let (canary, control) = counts(partial("search.a", "80%"), Control::Matched);
    assert_eq!(canary + control, 20_000, "all others");
    let (canary, control) = counts(partial("search.a", "5%"), Control::All);
    assert_eq!(canary + control, 20_000);
    assert_eq!(counts(partial("search.a", "5%"), Control::None).1, 0);
}

#[test]
fn controls_of_several_rings_match_what_they_choose_together() {
    let mut two = partial("search.a", "10%");
    let mut second = ring("second", everyone(), "20%");
    second.rollout.bucketing = Bucketing::unleash("another group");
    two.rings.push(second);
    let (canary, control) = counts(two.clone(), Control::Matched);
    // 1 - 0.9 * 0.8 = 28 %.
    assert!((5_300..5_900).contains(&canary), "{canary}");
    assert!((5_300..5_900).contains(&control), "{control}");
    two.rings[1].rollout.bucketing = Bucketing::unleash("search.a");
    let (canary, control) = counts(two, Control::Matched);
    assert!((3_700..4_300).contains(&canary), "{canary}");
    assert!((3_700..4_300).contains(&control), "{control}");
}

#[test]
fn controls_stay_so_while_the_percentage_grows() {
    let controls = |share| {
        let snapshot = search(vec![partial("search.a", share)]);
        let config = config(Control::Matched);
        let mut users = (BTreeSet::new(), BTreeSet::new());
        for number in 0..3_000 {
            for exposure in seen(&snapshot, &user(&number.to_string()), &config, false) {
                match exposure.arm {
                    ArmKind::Control => users.1.insert(number),
                    _ => users.0.insert(number),
                };
            }
        }
        users
    };
    let (few, more) = (controls("5%"), controls("10%"));
    assert!(few.0.is_subset(&more.0));
    let mut known = few.1.iter();
    assert!(known.all(|user| more.1.contains(user) || more.0.contains(user)));
}

#[test]
fn a_user_whom_a_later_flag_took_is_no_control_of_an_earlier_one() {
    let snapshot = search(vec![
        partial("search.a", "1%"),
        flag("search.b", vec![ring("all", everyone(), "100%")]),
    ]);
    let config = config(Control::All);
    for number in 0..200 {
        let exposures = seen(&snapshot, &user(&number.to_string()), &config, false);
        assert_eq!(exposures.len(), 1, "{exposures:?}");
        assert_eq!(exposures[0].arm, ArmKind::Canary);
    }
}

#[test]
fn users_without_an_id_are_left_out_unless_asked_for() {
    let snapshot = search(vec![partial("search.a", "100%")]);
    let session = Context {
        session_id: Some(Cow::Borrowed("0123456789abcdef")),
        ..Context::default()
    };
    let mut config = config(Control::None);
    assert_eq!(seen(&snapshot, &session, &config, false), []);
    config.anonymous = true;
    let found = seen(&snapshot, &session, &config, false);
    assert_eq!(
        (&*found[0].user, found[0].is_anonymous),
        ("0123456789abcdef", true)
    );
    let named = seen(&snapshot, &user("0123456789abcdef"), &config, false);
    assert_ne!(named[0].id, found[0].id, "a session is no user");
    assert_eq!(seen(&snapshot, &user(&"x".repeat(513)), &config, false), []);
}

#[test]
fn who_was_sent_somewhere_by_an_override_is_on_no_side() {
    // A percentage asked ann of both flags, and chose her of the second.
    let mut snapshot = snapshot(
        vec![service("search", &["search.*"])],
        vec![
            partial("search.a", "0%"),
            flag("search.b", vec![ring("all", everyone(), "100%")]),
        ],
    );
    snapshot.identity.overrides = Some(overrides::sample::rules());
    let (snapshot, ann) = (Arc::new(snapshot), user("ann"));
    let config = config(Control::All);
    assert!(
        !seen(&snapshot, &ann, &config, false).is_empty(),
        "else this shows nothing"
    );
    for deployment in ["search.a", "search.b", "stable"] {
        let mut minted = overrides::sample::to(deployment);
        minted.expires = NOW.unix_ms;
        let token = overrides::sample::signed(&minted);
        let headers: HeaderList = [("x-serin-override", token)].into_iter().collect();
        let head = headers.head();
        let search = &snapshot.services[0];
        let found = overriding::find(&snapshot.identity, search, &head, &ann, NOW);
        let decision = found.decision.expect("a decision");
        assert_eq!(&*search.deployments.get(decision.assigned).name, deployment);
        for served in [decision.assigned, STABLE] {
            let outcome = outcome(&snapshot, decision, Some(served), &ann);
            let sighting = Sighting::new(&outcome, &ann);
            let exposures = sighting.map(|sighting| sighting.exposures(&config));
            assert!(exposures.is_none_or(|none| none.is_empty()), "{deployment}");
        }
    }
}
