use std::sync::Arc;

use super::Changes;
use crate::context::{Field, Moment, Slot};
use crate::engine::{Bucketing, Flag, Stickiness, Variants};
use crate::identity::{Place, Property, Source, Trust};
use crate::snapshot::Snapshot;
use crate::snapshot::fixture::{assembled, config, everyone, flag, ring, service, variants};

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};
const DAY_MS: i64 = 24 * 3600 * 1000;

fn with(flags: Vec<Flag>) -> Snapshot {
    assembled(&config(vec![service("s", &["s.*"])], flags))
}

fn rolled(name: &str, share: &str) -> Flag {
    flag(name, vec![ring("all", everyone(), share)])
}

/// How `shape` moves the users of a flag with a rollout of 50 % and three variants.
fn moved(shape: impl FnOnce(&mut Flag)) -> Vec<String> {
    moved_between(|_| {}, shape)
}

fn moved_between(before: impl FnOnce(&mut Flag), after: impl FnOnce(&mut Flag)) -> Vec<String> {
    let base = || {
        let mut flag = rolled("s.f", "50%");
        flag.variants = variants(&[("a", 500, None), ("b", 500, None), ("c", 0, None)]);
        flag
    };
    let (mut old, mut new) = (base(), base());
    before(&mut old);
    after(&mut new);
    let changes = Changes::between(&with(vec![old]), &with(vec![new]), NOW);
    changes.rebucketed.iter().map(ToString::to_string).collect()
}

fn regrouped(list: Option<Variants>, group: &str, stickiness: Stickiness) -> Option<Variants> {
    Variants::new(list?.list().to_vec(), Bucketing::unleash(group), stickiness)
}

#[test]
fn flags_come_change_and_go() {
    let kept = Arc::new(rolled("s.c", "5%"));
    let snapshot = |names: &[&str]| {
        let mut config = config(vec![service("s", &["s.*"])], Vec::new());
        config.flags = names
            .iter()
            .map(|name| Arc::new(rolled(name, "5%")))
            .collect();
        config.flags.push(kept.clone());
        config.flags.sort_by(|one, other| one.name.cmp(&other.name));
        assembled(&config)
    };
    let (before, after) = (
        snapshot(&["s.a", "s.b", "s.d"]),
        snapshot(&["s.b", "s.bb", "s.e"]),
    );
    let changes = Changes::between(&before, &after, NOW);
    let names = |names: &[Arc<str>]| names.join(" ");
    assert_eq!(names(&changes.added), "s.bb s.e");
    assert_eq!(names(&changes.changed), "s.b");
    assert_eq!(names(&changes.removed), "s.a s.d");
    assert!(changes.rebucketed.is_empty());
    assert!(Changes::between(&after, &after, NOW).is_empty());
}

#[test]
fn what_moves_users_is_said() {
    assert_eq!(
        moved(|flag| flag.rings[0].rollout.share = "20%".parse().unwrap()),
        ["the running flag s.f buckets its users anew in \"all\": its rollout is 20%, was 50%"]
    );
    let told = moved(|flag| {
        flag.rings[0].rollout.bucketing = Bucketing::unleash("other");
        flag.rings[0].rollout.stickiness = Stickiness::Field(Field::SessionId);
    });
    assert_eq!(
        told,
        [
            "the running flag s.f buckets its users anew in \"all\": its group is \"other\", was \"group\"; \
          it is sticky to sessionId, was to default"
        ]
    );
    let told = moved(|flag| flag.variants = variants(&[("a", 600, None), ("b", 400, None)]));
    assert_eq!(
        told,
        [
            "the running flag s.f buckets its users anew: its variants are a 600, b 400, were a 500, b 500"
        ]
    );
    let told = moved(|flag| {
        let sticky = Stickiness::Field(Field::UserId);
        flag.variants = regrouped(flag.variants.take(), "other", sticky);
    });
    assert_eq!(
        told,
        [
            "the running flag s.f buckets its users anew: its variants' group is \"other\", was \"group\"; \
          its variants: it is sticky to userId, was to default"
        ]
    );
    let told = moved(|flag| flag.variants = None);
    assert_eq!(
        told,
        [
            "the running flag s.f buckets its users anew in \"all\": it has no variants any more, had a 500, b 500"
        ]
    );
    let told = moved(|flag| flag.rings[0].variants = variants(&[("c", 1, None)]));
    assert_eq!(
        told,
        [
            "the running flag s.f buckets its users anew in \"all\": its variants are c 1, were a 500, b 500"
        ]
    );
}

#[test]
fn a_ring_that_is_renamed_is_still_compared() {
    let told = moved(|flag| {
        flag.rings[0] = ring("everybody", everyone(), "10%");
    });
    assert_eq!(
        told,
        [
            "the running flag s.f buckets its users anew in \"everybody\": its rollout is 10%, was 50%"
        ]
    );
}

#[test]
fn a_ring_that_is_switched_off_or_on_again_moves_nobody_silently() {
    let none = Vec::<String>::new();
    assert_eq!(moved(|flag| flag.rings[0].enabled = false), none);
    let off = |flag: &mut Flag| flag.rings[0].enabled = false;
    assert_eq!(moved_between(off, |_| {}), none);
}

#[test]
fn rings_are_known_by_what_they_say_before_what_they_are_called() {
    let strategy = |number: usize, share: &str| {
        let name = format!("flexibleRollout {number}");
        ring(&name, everyone(), share)
    };
    // The first of two goes, and the second is called like it.
    let told = moved_between(
        |flag| flag.rings = vec![strategy(1, "50%"), strategy(2, "20%")],
        |flag| flag.rings = vec![strategy(1, "20%")],
    );
    assert_eq!(told, Vec::<String>::new());
    // They change places: that matters where they have variants of their own.
    let rings = |own: bool| {
        let mut rings = vec![strategy(1, "50%"), strategy(2, "20%")];
        rings[0].variants = variants(&[("c", 1, None)]).filter(|_| own);
        rings
    };
    let swap = |own| {
        moved_between(
            move |flag| flag.rings = rings(own),
            move |flag| flag.rings = rings(own).into_iter().rev().collect(),
        )
    };
    assert_eq!(swap(false), Vec::<String>::new());
    assert_eq!(
        swap(true),
        [
            "the running flag s.f buckets its users anew: its rings, some of which have variants of their own, are asked \
          in another order"
        ]
    );
}

#[test]
fn what_moves_nobody_is_not_said() {
    let none = Vec::<String>::new();
    assert_eq!(moved(|_| {}), none);
    assert_eq!(
        moved(|flag| flag.rings[0].rollout.share = "60%".parse().unwrap()),
        none
    );
    assert_eq!(moved(|flag| flag.enabled = false), none);
    assert_eq!(
        moved_between(|flag| flag.enabled = false, |flag| flag.variants = None),
        none
    );
    assert_eq!(moved(|flag| flag.url = None), none);
    assert_eq!(
        moved(|flag| flag.rings.push(ring("more", everyone(), "1%"))),
        none
    );
    // A variant that nobody can draw is none.
    assert_eq!(
        moved(|flag| flag.variants = variants(&[("a", 500, None), ("b", 500, None)])),
        none
    );
    // Everybody is in, whatever is hashed.
    let all = |flag: &mut Flag| {
        flag.variants = None;
        flag.rings[0].rollout.share = "100%".parse().unwrap();
    };
    let regroup = |flag: &mut Flag| {
        all(flag);
        flag.rings[0].rollout.bucketing = Bucketing::unleash("other");
    };
    assert_eq!(moved_between(all, regroup), none);
    // The only variant is drawn whatever its weight.
    let only = |weight| move |flag: &mut Flag| flag.variants = variants(&[("a", weight, None)]);
    assert_eq!(moved_between(only(1), only(1000)), none);
}

#[test]
fn a_property_is_known_by_its_name_not_by_its_slot() {
    let with_properties = |names: &[&str], slot: u16| {
        let mut flag = rolled("s.f", "50%");
        flag.rings[0].rollout.stickiness = Stickiness::Field(Field::Property(Slot(slot)));
        let mut config = config(vec![service("s", &["s.*"])], vec![flag]);
        let property = |name: &&str| Property {
            name: (*name).into(),
            source: Source {
                place: Place::Query((*name).into()),
                trust: Trust::Anyone,
            },
        };
        config.identity.properties = names.iter().map(property).collect();
        assembled(&config)
    };
    let before = with_properties(&["customerId"], 0);
    let moved = with_properties(&["region", "customerId"], 1);
    assert!(Changes::between(&before, &moved, NOW).rebucketed.is_empty());
    let other = with_properties(&["region", "customerId"], 0);
    let changes = Changes::between(&before, &other, NOW);
    assert_eq!(
        changes.rebucketed[0].why,
        "it is sticky to region, was to customerId"
    );
}

#[test]
fn a_warning_stays_until_its_flag_changes_again_or_a_day_is_over() {
    let before = with(vec![rolled("s.a", "50%"), rolled("s.b", "50%")]);
    let config_of = |share: &str| {
        let flags = vec![rolled("s.a", share), rolled("s.b", share)];
        config(vec![service("s", &["s.*"])], flags)
    };
    let mut less = assembled(&config_of("20%"));
    let changes = Changes::between(&before, &less, NOW);
    less.rebucketed = changes.warned(&before, NOW);
    assert_eq!(less.rebucketed.len(), 2);

    let mut next = config_of("20%");
    next.flags[1] = less.flags[1].clone();
    let next = assembled(&next);
    let later = |hours: i64| Moment {
        unix_ms: NOW.unix_ms + hours * 3600 * 1000,
    };
    let changes = Changes::between(&less, &next, later(1));
    let kept = changes.warned(&less, later(1));
    assert_eq!((kept.len(), &*kept[0].flag), (1, "s.b"));
    assert!(kept[0].is_recent(later(23)));
    let over = Moment {
        unix_ms: NOW.unix_ms + DAY_MS,
    };
    assert!(!kept[0].is_recent(over));
    assert!(changes.warned(&less, over).is_empty());
}
