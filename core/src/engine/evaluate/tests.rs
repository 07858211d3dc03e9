use super::Evaluation;
use crate::context::{Context, Field, Moment};
use crate::engine::bucketing::rollout_position;
use crate::engine::condition::{Condition, Constraint, Operator};
use crate::engine::reach::Reach;
use crate::engine::trace::Silent;
use crate::engine::{
    Bucketing, Dependency, Flag, LaunchDarklySalt, ParentState, Ring, RingIndex, Rollout,
    Stickiness, Variant, VariantIndex, VariantRef, Variants,
};
use crate::flag::Share;

fn ring(condition: Condition, hundredths: u16) -> Ring {
    Ring {
        name: "ring".into(),
        enabled: true,
        condition,
        rollout: Rollout {
            share: Share::new(hundredths).expect("a share"),
            bucketing: Bucketing::unleash("group"),
            stickiness: Stickiness::Default,
            needs_id: false,
        },
        variants: None,
    }
}

fn everyone() -> Condition {
    Condition::All(vec![])
}

fn users(ids: &[&str]) -> Condition {
    let constraint = Constraint::new(Field::UserId, "userId".into(), Operator::In, ids, false);
    Condition::Test(constraint.expect("a constraint"))
}

fn flag(rings: Vec<Ring>) -> Flag {
    Flag {
        rings,
        ..Flag::new("flag")
    }
}

fn variants(weights: &[(&str, u32)]) -> Option<Variants> {
    let variant = |(name, weight): &(&str, u32)| Variant {
        name: (*name).into(),
        weight: *weight,
        url: None,
        service: None,
        payload: None,
        nearly: None,
    };
    let list = weights.iter().map(variant).collect();
    Variants::new(list, Bucketing::unleash("group"), Stickiness::Default)
}

fn user(id: &str) -> Context<'_> {
    Context {
        user_id: Some(id.into()),
        ..Context::default()
    }
}

fn evaluate(flag: &Flag, context: &Context<'_>) -> Evaluation {
    flag.evaluate(context, Moment { unix_ms: 0 }, &mut Silent)
}

/// An ID whose position in the group lies in the given range.
fn id_at(range: std::ops::Range<u16>) -> String {
    (0..)
        .map(|number| format!("u{number}"))
        .find(|id| range.contains(&rollout_position("group", id)))
        .expect("IDs do not run out")
}

const OFF: Evaluation = Evaluation {
    on: false,
    ring: None,
    variant: None,
    randomised: false,
    missing_id: false,
};

fn on(ring: usize) -> Evaluation {
    Evaluation {
        on: true,
        ring: Some(RingIndex::new(ring)),
        ..OFF
    }
}

#[test]
fn a_flag_is_off_when_disabled_or_without_rings() {
    let mut disabled = flag(vec![ring(everyone(), 10_000)]);
    assert_eq!(evaluate(&disabled, &user("u1")), on(0));
    disabled.enabled = false;
    assert_eq!(evaluate(&disabled, &user("u1")), OFF);
    assert_eq!(evaluate(&flag(vec![]), &user("u1")), OFF);
}

#[test]
fn the_first_ring_that_holds_decides() {
    let flag = flag(vec![
        ring(users(&["u1"]), 10_000),
        ring(users(&["u1", "u2"]), 10_000),
    ]);
    assert_eq!(evaluate(&flag, &user("u1")), on(0));
    assert_eq!(evaluate(&flag, &user("u2")), on(1));
    assert_eq!(evaluate(&flag, &user("u3")), OFF);
}

#[test]
fn a_percentage_randomises_those_it_takes_and_those_it_misses() {
    let flag = flag(vec![ring(everyone(), 500)]);
    let randomised = |evaluation| Evaluation {
        randomised: true,
        ..evaluation
    };
    assert_eq!(evaluate(&flag, &user(&id_at(0..500))), randomised(on(0)));
    assert_eq!(evaluate(&flag, &user(&id_at(500..10_000))), randomised(OFF));
}

#[test]
fn a_user_whose_conditions_fail_is_not_randomised() {
    let flag = flag(vec![ring(users(&["someone"]), 500)]);
    assert_eq!(evaluate(&flag, &user(&id_at(500..10_000))), OFF);
}

#[test]
fn a_user_whom_a_later_ring_takes_anyway_is_not_randomised() {
    let hit = id_at(0..500);
    let anyway = flag(vec![
        ring(everyone(), 500),
        ring(everyone(), 5_000),
        ring(users(&[&hit]), 10_000),
    ]);
    assert_eq!(evaluate(&anyway, &user(&hit)), on(0));
    let missed = id_at(5_000..10_000);
    let targeted = flag(vec![ring(everyone(), 500), ring(users(&[&missed]), 10_000)]);
    assert_eq!(evaluate(&targeted, &user(&missed)), on(1));
}

#[test]
fn without_an_id_a_percentage_is_off_and_everybody_is_everybody() {
    let nobody = Context::default();
    let missing = Evaluation {
        missing_id: true,
        ..OFF
    };
    assert_eq!(
        evaluate(&flag(vec![ring(everyone(), 9_999)]), &nobody),
        missing
    );
    assert_eq!(
        evaluate(&flag(vec![ring(users(&["u1"]), 9_999)]), &nobody),
        OFF
    );
    assert_eq!(evaluate(&flag(vec![ring(everyone(), 0)]), &nobody), OFF);
    assert_eq!(
        evaluate(&flag(vec![ring(everyone(), 10_000)]), &nobody),
        on(0)
    );

    let mut needs_id = flag(vec![ring(everyone(), 10_000)]);
    needs_id.rings[0].rollout.needs_id = true;
    assert_eq!(evaluate(&needs_id, &nobody), missing);
    assert_eq!(evaluate(&needs_id, &user("u1")), on(0));
}

#[test]
fn the_default_id_is_the_user_s_else_the_session_s() {
    let (hit, missed) = (id_at(0..500), id_at(500..10_000));
    let flag = flag(vec![ring(everyone(), 500)]);
    let both = |user: &str, session: &str| {
        let context = Context {
            user_id: Some(user.to_owned().into()),
            session_id: Some(session.to_owned().into()),
            ..Context::default()
        };
        evaluate(&flag, &context).on
    };
    assert!(both(&hit, &missed) && !both(&missed, &hit));
    assert!(both("", &hit) && !both("", &missed));
}

#[test]
fn a_ring_s_own_variants_go_before_the_flag_s() {
    let mut flag = flag(vec![ring(users(&["u1"]), 10_000), ring(everyone(), 10_000)]);
    flag.variants = variants(&[("shared", 1)]);
    flag.rings[0].variants = variants(&[("own", 1)]);
    let only = VariantIndex::new(0);
    assert_eq!(
        evaluate(&flag, &user("u1")).variant,
        Some(VariantRef::Ring(RingIndex::new(0), only))
    );
    let shared = evaluate(&flag, &user("u2"));
    assert_eq!(shared.variant, Some(VariantRef::Flag(only)));
    assert!(!shared.randomised, "one variant is no choice");
}

#[test]
fn several_variants_randomise_and_take_an_id() {
    let mut flag = flag(vec![ring(everyone(), 10_000)]);
    flag.variants = variants(&[("a", 500), ("b", 500), ("never", 0)]);
    let mut counts = [0; 3];
    for number in 0..1_000 {
        let evaluation = evaluate(&flag, &user(&number.to_string()));
        assert!(evaluation.randomised);
        let Some(VariantRef::Flag(variant)) = evaluation.variant else {
            panic!("{evaluation:?}")
        };
        counts[variant.position()] += 1;
    }
    assert!(
        counts[0] > 400 && counts[1] > 400 && counts[2] == 0,
        "{counts:?}"
    );

    let nobody = evaluate(&flag, &Context::default());
    assert_eq!(
        nobody,
        Evaluation {
            missing_id: true,
            ..on(0)
        }
    );
    flag.variants = variants(&[("a", 1_000), ("never", 0)]);
    let only = evaluate(&flag, &Context::default());
    assert!(only.variant.is_some() && !only.missing_id);
}

#[test]
fn a_ramp_in_the_smallest_steps_only_adds_users() {
    for number in 0..40 {
        let id = format!("user-{number}");
        let context = user(&id);
        let mut flag = flag(vec![ring(everyone(), 0)]);
        let mut was_on = false;
        for hundredths in 0..=10_000 {
            flag.rings[0].rollout.share = Share::new(hundredths).expect("a share");
            let is_on = evaluate(&flag, &context).on;
            assert!(is_on || !was_on, "{id} lost at {hundredths}");
            was_on = is_on;
        }
        assert!(was_on, "{id} is in 100 %");
    }
}

#[test]
fn a_hundredth_of_a_percent_is_possible() {
    let flag = flag(vec![ring(everyone(), 1)]);
    let ids = (0..100_000).map(|number| format!("user-{number}"));
    let count = ids.filter(|id| evaluate(&flag, &user(id)).on).count();
    assert!((3..=25).contains(&count), "{count} of 100,000 users");
}

fn variation(name: &str) -> Variant {
    let variants = variants(&[(name, 1)]).expect("variants");
    variants.list()[0].clone()
}

/// A flag whose off-variation is called `off`.
fn switched(rings: Vec<Ring>) -> Flag {
    Flag {
        off_variant: Some(Box::new(variation("off"))),
        ..flag(rings)
    }
}

fn giving(variants: Option<Variants>, ring: Ring) -> Ring {
    Ring { variants, ..ring }
}

#[test]
fn a_flag_that_is_off_gives_its_off_variation_whatever_turned_it_off() {
    let off = Evaluation {
        variant: Some(VariantRef::Off),
        ..OFF
    };
    let nobody = switched(vec![ring(users(&["u2"]), 10_000)]);
    assert_eq!(evaluate(&nobody, &user("u1")), off);
    let disabled = Flag {
        enabled: false,
        ..switched(vec![ring(everyone(), 10_000)])
    };
    assert_eq!(evaluate(&disabled, &user("u1")), off);
    let dependent = Flag {
        dependencies: vec![Dependency {
            name: "gone".into(),
            parent: Err("there is no such flag"),
            state: ParentState::On,
            variants: Vec::new(),
        }],
        ..switched(vec![ring(everyone(), 10_000)])
    };
    assert_eq!(evaluate(&dependent, &user("u1")), off);
    let named = dependent.variant(VariantRef::Off);
    assert_eq!(named.map(|variant| &*variant.name), Some("off"));
}

#[test]
fn a_ring_that_gives_the_off_variation_leaves_the_flag_off_and_ends_the_search() {
    let flag = switched(vec![
        giving(variants(&[("off", 1)]), ring(users(&["u1"]), 10_000)),
        giving(variants(&[("new", 1)]), ring(everyone(), 10_000)),
    ]);
    let excluded = Evaluation {
        ring: Some(RingIndex::new(0)),
        variant: Some(VariantRef::Off),
        ..OFF
    };
    assert_eq!(evaluate(&flag, &user("u1")), excluded);
    let (ring, first) = (RingIndex::new(1), VariantIndex::new(0));
    let given = Evaluation {
        variant: Some(VariantRef::Ring(ring, first)),
        ..on(1)
    };
    assert_eq!(evaluate(&flag, &user("u2")), given);
}

#[test]
fn a_weighted_off_variation_is_a_percentage_of_users() {
    let weighted = Variants::as_served(
        [("new", 5_000), ("off", 95_000)]
            .map(|(name, weight)| Variant {
                weight,
                ..variation(name)
            })
            .into(),
        Bucketing::LaunchDarkly(LaunchDarklySalt::Seed(7)),
        Stickiness::Default,
        Vec::new(),
    );
    let flag = switched(vec![giving(weighted, ring(everyone(), 10_000))]);
    let ids: Vec<_> = (0..1_000).map(|number| format!("u{number}")).collect();
    let evaluations = ids.iter().map(|id| evaluate(&flag, &user(id)));
    let evaluations: Vec<_> = evaluations.collect();
    assert!(evaluations.iter().all(|one| one.randomised));
    let on = evaluations.iter().filter(|one| one.on).count();
    assert!((30..80).contains(&on), "{on} of 1,000 users");
    assert_eq!(Reach::of(&flag).to_string(), "5% of all users");
    let only_off = giving(variants(&[("off", 1)]), ring(everyone(), 10_000));
    let off = switched(vec![only_off]);
    assert!(!off.can_be_on());
    assert_eq!(Reach::of(&off).to_string(), "nobody");
}

#[test]
fn a_ring_that_is_switched_off_leaves_the_others_and_their_buckets_as_they_are() {
    let off = |ring: Ring| Ring {
        enabled: false,
        ..ring
    };
    let rings = || [ring(users(&["ann"]), 10_000), ring(everyone(), 2_500)];
    let [team, quarter] = rings();
    let whole = flag(vec![team, quarter]);
    let [team, quarter] = rings();
    let without_team = flag(vec![off(team), quarter]);
    let [team, quarter] = rings();
    let without_quarter = flag(vec![team, off(quarter)]);
    let on = |flag: &Flag, id: &str| {
        let evaluation = flag.evaluate(&user(id), Moment { unix_ms: 0 }, &mut Silent);
        evaluation.ring.map(RingIndex::position)
    };
    let mut taken = 0;
    for number in 0..1_000 {
        let id = format!("u{number}");
        let before = on(&whole, &id);
        assert_eq!(on(&without_team, &id), before, "{id}");
        assert_eq!(on(&without_quarter, &id), None, "{id}");
        taken += usize::from(before.is_some());
    }
    assert!((200..300).contains(&taken), "{taken}");
    let by_percentage = rollout_position("group", "ann") < 2_500;
    assert_eq!(on(&whole, "ann"), Some(0));
    assert_eq!(on(&without_team, "ann"), by_percentage.then_some(1));
    assert_eq!(on(&without_quarter, "ann"), Some(0));
    let [team, quarter] = rings();
    let none = flag(vec![off(team), off(quarter)]);
    assert!(!none.can_be_on() && whole.can_be_on());
    assert_eq!(Reach::of(&none).to_string(), "nobody");
    assert_eq!(
        Reach::of(&without_quarter).to_string(),
        "those who meet the conditions of \"ring\""
    );
}
