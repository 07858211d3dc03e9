use std::sync::Arc;

use super::{Decision, Reason, VariantRef, decide, explain};
use crate::canary::ReasonKind;
use crate::context::{Context, Field, Moment, Slot};
use crate::engine::condition::Condition;
use crate::engine::{
    AudienceKind, Bucketing, CanaryUrl, Flag, Origin, Ring, RingIndex, Segment, Stickiness,
    VariantIndex, Variants,
};
use crate::snapshot::fixture::{everyone, flag, ring, service, snapshot, variants, when};
use crate::snapshot::{CandidateIndex, STABLE, Service, Snapshot};

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};
const CANARY: Option<&str> = Some("http://127.0.0.1:9001");

/// The first candidate.
const FIRST: Option<CandidateIndex> = Some(CandidateIndex::new(0));

fn search(flags: Vec<Flag>) -> Snapshot {
    snapshot(vec![service("search", &["search.*"])], flags)
}

fn user(id: &str) -> Context<'_> {
    Context {
        user_id: Some(id.into()),
        ..Context::default()
    }
}

fn only(id: &str) -> Condition {
    when(Field::UserId, "userId", "in", &[id])
}

fn named<'a>(service: &'a Service, decision: &Decision) -> &'a str {
    &service.deployments.get(decision.assigned).name
}

#[test]
fn the_first_flag_that_is_on_decides() {
    let flags = vec![
        flag("search.a", vec![ring("one", only("u1"), "100%")]),
        flag(
            "search.b",
            vec![
                ring("one", only("u0"), "100%"),
                ring("two", everyone(), "100%"),
            ],
        ),
    ];
    let snapshot = search(flags);
    let service = &snapshot.services[0];
    let first = decide(service, &user("u1"), NOW);
    assert_eq!(named(service, &first), "search.a");
    assert_eq!(
        (first.candidate, first.reason),
        (
            FIRST,
            Reason::Audience(AudienceKind::Ring, RingIndex::new(0))
        )
    );
    let second = decide(service, &user("u2"), NOW);
    assert_eq!(named(service, &second), "search.b");
    assert_eq!(
        (second.candidate, second.reason),
        (
            Some(CandidateIndex::new(1)),
            Reason::Audience(AudienceKind::Ring, RingIndex::new(1))
        )
    );
    assert!(!second.randomised);
}

#[test]
fn a_control_arm_is_stable_under_its_flag_and_ends_the_search() {
    let mut ab = flag("search.ab", vec![ring("all", everyone(), "100%")]);
    ab.url = None;
    ab.variants = variants(&[("control", 500, None), ("treatment", 500, CANARY)]);
    let later = flag("search.later", vec![ring("all", everyone(), "100%")]);
    let snapshot = search(vec![ab, later]);
    let service = &snapshot.services[0];
    let mut counts = [0, 0];
    for number in 0..100 {
        let decision = decide(service, &user(&number.to_string()), NOW);
        let Some(VariantRef::Flag(variant)) = decision.variant else {
            panic!("{decision:?}")
        };
        assert_eq!(decision.candidate, FIRST);
        assert!(decision.randomised);
        let expected = ["stable", "search.ab"][variant.position()];
        assert_eq!(named(service, &decision), expected);
        counts[variant.position()] += 1;
    }
    assert!(counts.iter().all(|&count| count > 20), "{counts:?}");
}

/// Variants of which the first has a URL that is refused.
fn first_refused() -> Option<Variants> {
    let list = variants(&[("a", 1, None), ("b", 0, CANARY)])?;
    let mut list = list.list().to_vec();
    list[0].url = Some(CanaryUrl::Refused("no".into()));
    Variants::new(list, Bucketing::unleash("group"), Stickiness::Default)
}

#[test]
fn a_ring_that_is_switched_off_is_told_and_takes_nobody() {
    let mut team = ring("team", only("u1"), "100%");
    team.enabled = false;
    let snapshot = search(vec![flag("search.a", vec![team])]);
    let service = &snapshot.services[0];
    let one = user("u1");
    let explained = explain(service, &one, NOW);
    assert_eq!(
        explained.decision.reason,
        Reason::Plain(ReasonKind::Default)
    );
    let text = explained.to_string();
    let expected = "flag search.a: off\n  ring \"team\": no, it is switched off\n";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_variant_whose_url_is_refused_is_stable_under_its_flag_and_ends_the_search() {
    let mut outside = flag("search.a", vec![ring("one", only("u1"), "100%")]);
    outside.url = None;
    outside.variants = first_refused();
    let later = flag("search.later", vec![ring("all", everyone(), "100%")]);
    let snapshot = search(vec![outside, later]);
    let service = &snapshot.services[0];
    let decision = decide(service, &user("u1"), NOW);
    assert_eq!((decision.assigned, decision.candidate), (STABLE, FIRST));
    assert_eq!(
        decision.reason,
        Reason::Audience(AudienceKind::Ring, RingIndex::new(0))
    );
    let other = decide(service, &user("u2"), NOW);
    assert_eq!(named(service, &other), "search.later");
    let one = user("u1");
    let text = explain(service, &one, NOW).to_string();
    assert!(
        text.contains("  its URL is refused, so stable: no\n"),
        "{text}"
    );
    assert!(
        text.contains("search.later), preempted by search.a"),
        "{text}"
    );
}

#[test]
fn a_flag_whose_url_is_refused_takes_nobody() {
    let mut outside = flag("search.a", vec![ring("all", everyone(), "100%")]);
    outside.url = Some(CanaryUrl::Refused("no".into()));
    let later = flag("search.later", vec![ring("all", everyone(), "100%")]);
    let snapshot = search(vec![outside, later]);
    let service = &snapshot.services[0];
    let decision = decide(service, &user("u1"), NOW);
    assert_eq!(named(service, &decision), "search.later");
}

#[test]
fn a_ring_s_own_variant_leads_where_that_ring_says() {
    let mut split = flag(
        "search.split",
        vec![
            ring("one", only("u1"), "100%"),
            ring("two", everyone(), "100%"),
        ],
    );
    split.url = None;
    split.variants = variants(&[("x", 1, CANARY)]);
    split.rings[0].variants = variants(&[("y", 1, Some("http://127.0.0.1:9002"))]);
    let snapshot = search(vec![split]);
    let service = &snapshot.services[0];
    let own = decide(service, &user("u1"), NOW);
    assert_eq!(
        own.variant,
        Some(VariantRef::Ring(RingIndex::new(0), VariantIndex::new(0)))
    );
    assert_eq!(named(service, &own), "search.split:y");
    assert_eq!(
        named(service, &decide(service, &user("u2"), NOW)),
        "search.split:x"
    );
}

#[test]
fn nobody_on_is_stable_for_a_reason() {
    let reason = |flags: Vec<Flag>, context: &Context<'_>| {
        let snapshot = search(flags);
        let decision = decide(&snapshot.services[0], context, NOW);
        assert_eq!((decision.assigned, decision.candidate), (STABLE, None));
        (decision.reason.kind(), decision.randomised)
    };
    let disabled = |name| {
        let mut flag = flag(name, vec![ring("all", everyone(), "100%")]);
        flag.enabled = false;
        flag
    };
    let partial = || flag("search.partial", vec![ring("few", everyone(), "0.01%")]);
    let targeted = || flag("search.targeted", vec![ring("one", only("u1"), "100%")]);
    let nobody = Context::default();
    assert_eq!(reason(vec![], &nobody), (ReasonKind::Default, false));
    assert_eq!(
        reason(vec![disabled("search.a")], &nobody),
        (ReasonKind::FlagOff, false)
    );
    assert_eq!(
        reason(vec![disabled("search.a"), targeted()], &nobody),
        (ReasonKind::Default, false)
    );
    assert_eq!(
        reason(vec![targeted(), partial()], &nobody),
        (ReasonKind::NoIdentity, false)
    );
    assert_eq!(
        reason(vec![targeted(), partial()], &user("u2")),
        (ReasonKind::Default, true)
    );
}

#[test]
fn no_id_to_choose_a_variant_by_is_stable_under_the_flag() {
    let mut ab = flag("search.ab", vec![ring("all", everyone(), "100%")]);
    ab.url = None;
    ab.variants = variants(&[("a", 1, CANARY), ("b", 1, CANARY)]);
    let snapshot = search(vec![
        ab,
        flag("search.later", vec![ring("all", everyone(), "100%")]),
    ]);
    let decision = decide(&snapshot.services[0], &Context::default(), NOW);
    assert_eq!(
        decision,
        Decision {
            assigned: STABLE,
            candidate: FIRST,
            variant: None,
            reason: Reason::Plain(ReasonKind::NoIdentity),
            randomised: false,
        }
    );
}

fn property(slot: u16, name: &str, operator: &str, value: &str) -> Condition {
    when(Field::Property(Slot(slot)), name, operator, &[value])
}

/// A segment, versions, an expression turned round, and a small percentage.
fn ranker() -> Flag {
    let team = Arc::new(Segment {
        name: "Users — Search Team".into(),
        condition: Condition::Any(vec![
            property(0, "email", "ends_with", "@example.com"),
            when(Field::UserId, "userId", "in", &["u1", "u2"]),
        ]),
    });
    let early = Condition::All(vec![
        property(1, "appVersion", "semver_gte", "10.1.0"),
        Condition::Not(Box::new(property(0, "email", "matches", "@bots\\."))),
    ]);
    let rings = vec![
        ring("team", Condition::Segment(team), "100%"),
        ring("early", early, "5%"),
    ];
    flag("search.ranker-v2", rings)
}

/// A thousand IDs; numbers, dates and addresses.
fn big() -> Flag {
    let customers: Vec<_> = (0..1_000)
        .map(|number| format!("customer-{number}"))
        .collect();
    let customers: Vec<_> = customers.iter().map(String::as_str).collect();
    let adults = Condition::All(vec![
        property(2, "age", "gte", "18"),
        property(3, "since", "after", "2020-01-01T00:00:00Z"),
        when(Field::Now, "now", "after", &["2026-01-01T00:00:00Z"]),
        when(Field::RemoteAddress, "remoteAddress", "in", &["10.0.0.0/8"]),
    ]);
    let rings = vec![
        ring(
            "customers",
            when(Field::UserId, "userId", "in", &customers),
            "100%",
        ),
        ring("adults", adults, "33.3%"),
    ];
    flag("search.big", rings)
}

/// A thousand flags, three of them of the first service.
fn elaborate() -> Snapshot {
    let mut ab = flag("search.zz-ab", vec![ring("some", everyone(), "20%")]);
    ab.rings[0].rollout.bucketing = Bucketing::unleash("search.zz-ab");
    ab.url = None;
    ab.variants = variants(&[("control", 500, None), ("treatment", 500, CANARY)]);
    let others = (0..997).map(|number| format!("other.{number}"));
    let flags = [ranker(), big(), ab]
        .into_iter()
        .chain(others.map(|name| flag(&name, vec![ring("all", everyone(), "50%")])));
    let search = service("search", &["search.ranker-v2", "search.*"]);
    snapshot(
        vec![search, service("other", &["other.*"])],
        flags.collect(),
    )
}

fn elaborate_user<'a>(id: Option<&'a str>, version: &'a str) -> Context<'a> {
    let properties = [
        "someone@test.example",
        version,
        "42",
        "2021-06-01T12:00:00+02:00",
    ];
    Context {
        user_id: id.map(Into::into),
        remote_address: [10, 1, 2, 3].into(),
        properties: properties
            .into_iter()
            .map(|value| Some(value.into()))
            .collect(),
        ..Context::default()
    }
}

const VERSIONS: [&str; 4] = [
    "10.2.0",
    "9.0.0",
    "10.1.0-SNAPSHOT.20261101+0123456789",
    "trunk",
];

#[test]
fn an_explanation_is_of_the_very_decision() {
    let snapshot = elaborate();
    let service = &snapshot.services[0];
    for number in 0..400 {
        let id = format!("customer-{}", number * 5);
        let id = (number % 7 != 0).then_some(id.as_str());
        let context = elaborate_user(id, VERSIONS[number % 4]);
        let explanation = explain(service, &context, NOW);
        assert_eq!(explanation.decision, decide(service, &context, NOW));
        let asked = explanation
            .decision
            .candidate
            .map_or(3, |index| index.position() + 1);
        assert_eq!(explanation.asked.len(), asked);
    }
}

#[test]
fn deciding_allocates_nothing() {
    let snapshot = elaborate();
    let service = &snapshot.services[0];
    assert_eq!((snapshot.flags.len(), service.candidates.len()), (1_000, 3));
    let ids: Vec<_> = (0..200)
        .map(|number| format!("customer-{}", number * 10))
        .collect();
    let ids: Vec<_> = ids
        .iter()
        .map(|id| Some(id.as_str()))
        .chain([None])
        .collect();
    let contexts: Vec<_> = ids
        .iter()
        .flat_map(|id| VERSIONS.map(|version| elaborate_user(*id, version)))
        .collect();
    // The first match of an expression on a thread makes that thread's scratch space.
    decide(service, &contexts[0], NOW);
    let mut seen = [0; 4];
    let allocated = allocation_counter::measure(|| {
        for context in &contexts {
            let decision = decide(service, context, NOW);
            seen[decision.candidate.map_or(3, CandidateIndex::position)] += 1;
        }
    });
    assert_eq!(allocated.count_total, 0);
    assert!(
        seen.iter().all(|&count| count > 0),
        "every outcome: {seen:?}"
    );
}

#[test]
fn the_counter_counts() {
    let allocated = allocation_counter::measure(|| {
        std::hint::black_box(String::from("x"));
    });
    assert_eq!(allocated.count_total, 1);
}

#[test]
fn an_explanation_reads_step_by_step() {
    let snapshot = elaborate();
    let service = &snapshot.services[0];
    let randomised = elaborate_user(Some("customer-1044"), "9.0.0");
    let targeted = elaborate_user(Some("u2"), "10.2.0");
    let nobody = elaborate_user(None, "trunk");
    let drawn = elaborate_user(Some("customer-1005"), "10.2.0");
    let texts = [&targeted, &randomised, &drawn, &nobody]
        .map(|context| explain(service, context, NOW).to_string());
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn flags_further_down_that_would_be_on_are_named() {
    let on = |name| flag(name, vec![ring("all", everyone(), "100%")]);
    let off = flag("search.b", vec![ring("none", everyone(), "0%")]);
    let snapshot = search(vec![on("search.a"), off, on("search.c")]);
    let service = &snapshot.services[0];
    let nobody = Context::default();
    let explanation = explain(service, &nobody, NOW);
    let preempted: Vec<_> = explanation
        .preempted
        .iter()
        .map(|later| {
            (
                later.candidate.position(),
                &*later.flag.name,
                &*service.deployments.get(later.deployment).name,
            )
        })
        .collect();
    assert_eq!(preempted, [(2, "search.c", "search.c")]);
    assert!(
        explanation
            .to_string()
            .ends_with("flag search.c: would be on (search.c), preempted by search.a\n")
    );
}

#[test]
fn the_reason_is_in_the_words_of_the_flags_source() {
    for (origin, reason) in [
        (Origin::Local, ReasonKind::Ring),
        (Origin::Unleash("unleash".into()), ReasonKind::Strategy),
        (Origin::LaunchDarkly("ld".into()), ReasonKind::Rule),
    ] {
        let half = ring("half", everyone(), "50%");
        let flag = Flag {
            origin,
            ..flag("search.a", vec![half, ring("rest", everyone(), "100%")])
        };
        let snapshot = search(vec![flag]);
        let service = &snapshot.services[0];
        let named = decide(service, &user("u1"), NOW);
        assert_eq!(named.reason.kind(), reason);
        assert_eq!(named.candidate, FIRST);
        let text = explain(service, &user("u1"), NOW).to_string();
        let word = reason.as_str();
        assert!(text.contains(&format!("reason: {word} \"")), "{text}");
        assert!(text.contains(&format!("\n  {word} \"half\": ")), "{text}");
    }
}

/// A LaunchDarkly flag with a rule for `u1`: where each variation leads, its rules' and fallthrough's variations, and the
/// off-variation.
fn by_rules(
    name: &str,
    leads: [Option<&str>; 3],
    rule: usize,
    fallthrough: usize,
    off: usize,
) -> Flag {
    let names = ["0", "1", "2"];
    let only_one = |index: usize| variants(&[(names[index], 1, leads[index])]);
    let serving = |name: &str, condition, index| Ring {
        variants: only_one(index),
        ..ring(name, condition, "100%")
    };
    let off = only_one(off).map(|variants| variants.list()[0].clone());
    Flag {
        origin: Origin::LaunchDarkly("launchdarkly".into()),
        url: None,
        off_variant: off.map(Box::new),
        ..flag(
            name,
            vec![
                serving("team", only("u1"), rule),
                serving("fallthrough", everyone(), fallthrough),
            ],
        )
    }
}

#[test]
fn the_off_variation_leaves_a_user_to_later_flags_and_any_other_is_a_control_arm() {
    const LEADS: [Option<&str>; 3] = [CANARY, None, None];
    let later = || flag("search.later", vec![ring("all", everyone(), "100%")]);
    let snapshot = search(vec![by_rules("search.a", LEADS, 0, 2, 2), later()]);
    let service = &snapshot.services[0];
    let (one, two) = (user("u1"), user("u2"));
    assert_eq!(named(service, &decide(service, &one, NOW)), "search.a");
    let passed_on = decide(service, &two, NOW);
    assert_eq!(named(service, &passed_on), "search.later");
    assert!(!passed_on.randomised);
    let text = explain(service, &two, NOW).to_string();
    let told = "flag search.a: off\n  rule \"team\": no\n";
    assert!(text.contains(told), "{text}");
    let told = "  off with its variation \"2\": no canary, and later flags are asked\n";
    assert!(text.contains(told), "{text}");

    let snapshot = search(vec![by_rules("search.a", LEADS, 0, 1, 2), later()]);
    let service = &snapshot.services[0];
    let control = decide(service, &two, NOW);
    assert_eq!((control.assigned, control.candidate), (STABLE, FIRST));
    assert_eq!(control.reason.kind(), ReasonKind::Rule);
}

#[test]
fn switching_a_flag_off_takes_everybody_off_its_canaries_wherever_its_off_variation_leads() {
    let mut switched_off = by_rules("search.a", [None, None, CANARY], 2, 0, 2);
    switched_off.enabled = false;
    let snapshot = search(vec![switched_off]);
    let service = &snapshot.services[0];
    let decision = decide(service, &user("u1"), NOW);
    assert_eq!((decision.assigned, decision.candidate), (STABLE, None));
    assert_eq!(decision.reason, Reason::Plain(ReasonKind::FlagOff));
}
