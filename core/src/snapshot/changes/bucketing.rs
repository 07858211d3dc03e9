//! Whether a flag that is on before and after still hashes its users to the same places.

use std::sync::Arc;

use crate::context::Field;
use crate::context::schema::ContextSchema;
use crate::engine::{Bucketing, Flag, Ring, Rollout, Stickiness, Variants};
use crate::flag::Share;

/// One ring, or the flag's own variants, whose users find themselves elsewhere.
#[derive(Debug)]
pub(super) struct Moved {
    /// The ring's name; `None`: the flag's own variants.
    pub(super) ring: Option<Arc<str>>,
    /// What is different.
    pub(super) why: Vec<String>,
}

/// A flag and the names of the fields that it may be sticky to.
type Named<'a> = (&'a Flag, &'a ContextSchema);

/// Compares one flag with what became of it. A flag that was off, or is off now, moves nobody silently; nor does one
/// whose percentage only grows.
pub(super) fn compare(one: Named<'_>, other: Named<'_>) -> Vec<Moved> {
    let ((old, _), (new, _)) = (one, other);
    if !(old.enabled && new.enabled) {
        return Vec::new();
    }
    let mut moved = Vec::new();
    if let (Some(before), Some(after)) = (&old.variants, &new.variants) {
        let why = variants((before, one.1), (after, other.1));
        moved.extend(told(None, why));
    }
    let pairs = pairs(&old.rings, &new.rings);
    // A ring that is switched off moves its users in so many words.
    let on = |(before, after): &&(&Ring, &Ring)| before.enabled && after.enabled;
    for (before, after) in pairs.iter().filter(on) {
        let mut why = rollout((&before.rollout, one.1), (&after.rollout, other.1));
        why.extend(drawn((before, one), (after, other)));
        moved.extend(told(Some(after.name.clone()), why));
    }
    if order_matters(&old.rings, &pairs, &new.rings) {
        let why = vec![
            "its rings, some of which have variants of their own, are asked in another order"
                .to_owned(),
        ];
        moved.extend(told(None, why));
    }
    moved
}

fn told(ring: Option<Arc<str>>, why: Vec<String>) -> Option<Moved> {
    (!why.is_empty()).then_some(Moved { ring, why })
}

/// A ring and its position.
type Placed<'a> = (usize, &'a Ring);

/// The rings that are the same ones. Names need not tell: a strategy without a title is called by its position. So
/// rings that say the same come first, then those of one name, then those at one position.
fn pairs<'a>(old: &'a [Ring], new: &'a [Ring]) -> Vec<(&'a Ring, &'a Ring)> {
    let alike: [fn(Placed<'_>, Placed<'_>) -> bool; 3] = [
        |(_, one), (_, other)| {
            one.condition == other.condition
                && one.rollout == other.rollout
                && one.variants == other.variants
        },
        |(_, one), (_, other)| one.name == other.name,
        |(one, _), (other, _)| one == other,
    ];
    let mut left: Vec<_> = old.iter().enumerate().collect();
    let mut unmet: Vec<_> = new.iter().enumerate().collect();
    let mut pairs = Vec::new();
    for is_same in alike {
        unmet.retain(|&after| {
            let found = left.iter().position(|&before| is_same(before, after));
            pairs.extend(found.map(|found| (left.remove(found).1, after.1)));
            found.is_none()
        });
    }
    pairs
}

/// Whether rings with variants of their own are asked in another order, so that users of several get another's.
fn order_matters(old: &[Ring], pairs: &[(&Ring, &Ring)], new: &[Ring]) -> bool {
    let own = pairs.iter().filter(|(before, _)| before.variants.is_some());
    let mut places: Vec<_> = pairs
        .iter()
        .map(|(before, after)| (place(new, after), place(old, before)))
        .collect();
    places.sort_unstable();
    own.count() > 0 && !places.is_sorted_by_key(|(_, before)| *before)
}

fn place(rings: &[Ring], ring: &Ring) -> Option<usize> {
    rings.iter().position(|other| std::ptr::eq(other, ring))
}

fn rollout(one: (&Rollout, &ContextSchema), other: (&Rollout, &ContextSchema)) -> Vec<String> {
    let (before, after) = (one.0, other.0);
    let mut why = Vec::new();
    if after.share < before.share {
        why.push(format!(
            "its rollout is {}, was {}",
            after.share, before.share
        ));
    }
    let partial = |rollout: &Rollout| rollout.share != Share::NONE && rollout.share != Share::ALL;
    let hashed = partial(before) && partial(after);
    if hashed && before.bucketing != after.bucketing {
        why.push(rehashed("its", &before.bucketing, &after.bucketing));
    }
    let reaches = before.share != Share::NONE && after.share != Share::NONE;
    if hashed || reaches && (before.needs_id || after.needs_id) {
        why.extend(stickiness(
            (before.stickiness, one.1),
            (after.stickiness, other.1),
        ));
    }
    why
}

/// Compares what two rings give their users, where one of them has variants of its own.
fn drawn((before, one): (&Ring, Named<'_>), (after, other): (&Ring, Named<'_>)) -> Vec<String> {
    let given = |ring: &'_ Ring| ring.variants.is_some();
    let gained = one.0.variants.is_some() != other.0.variants.is_some();
    if !(given(before) || given(after) || gained) {
        return Vec::new();
    }
    let old = before.variants.as_ref().or(one.0.variants.as_ref());
    let new = after.variants.as_ref().or(other.0.variants.as_ref());
    match (old, new) {
        (Some(old), Some(new)) => variants((old, one.1), (new, other.1)),
        (None, Some(new)) => vec![format!("it has variants now: {}", listed(new))],
        (Some(old), None) => vec![format!("it has no variants any more, had {}", listed(old))],
        (None, None) => Vec::new(),
    }
}

fn variants(one: (&Variants, &ContextSchema), other: (&Variants, &ContextSchema)) -> Vec<String> {
    let (before, after) = (one.0, other.0);
    let mut why = Vec::new();
    if !possible(before).eq(possible(after)) {
        let same_only = before.only().is_some()
            && after.only().is_some()
            && possible(before).map(first).eq(possible(after).map(first));
        if !same_only {
            why.push(format!(
                "its variants are {}, were {}",
                listed(after),
                listed(before)
            ));
        }
    }
    if before.only().is_none() && after.only().is_none() {
        if before.bucketing() != after.bucketing() {
            why.push(rehashed(
                "its variants'",
                before.bucketing(),
                after.bucketing(),
            ));
        }
        let changed = stickiness((before.stickiness(), one.1), (after.stickiness(), other.1));
        why.extend(changed.map(|changed| format!("its variants: {changed}")));
    }
    why
}

/// How IDs are hashed, after and before.
fn rehashed(whose: &str, before: &Bucketing, after: &Bucketing) -> String {
    match (before.unleash_group(), after.unleash_group()) {
        (Some(before), Some(after)) => format!("{whose} group is {after:?}, was {before:?}"),
        _ => format!("{whose} users are bucketed {after}, were {before}"),
    }
}

/// The variants that some user could get, as they are laid out.
fn possible(variants: &Variants) -> impl Iterator<Item = (&str, u32)> {
    let possible = variants.possible();
    possible.map(|(_, variant)| (&*variant.name, variant.weight))
}

fn first<T, U>((first, _): (T, U)) -> T {
    first
}

fn listed(variants: &Variants) -> String {
    let names: Vec<String> = possible(variants)
        .map(|(name, weight)| format!("{name} {weight}"))
        .collect();
    names.join(", ")
}

fn stickiness(
    (before, old): (Stickiness, &ContextSchema),
    (after, new): (Stickiness, &ContextSchema),
) -> Option<String> {
    let (before, after) = (sticky_to(before, old), sticky_to(after, new));
    (before != after).then(|| format!("it is sticky to {after}, was to {before}"))
}

/// Slots may stand for other properties in another snapshot; names do not.
fn sticky_to(stickiness: Stickiness, vocabulary: &ContextSchema) -> String {
    match stickiness {
        Stickiness::Default => "default".to_owned(),
        Stickiness::Field(Field::UserId) => "userId".to_owned(),
        Stickiness::Field(Field::SessionId) => "sessionId".to_owned(),
        Stickiness::Field(Field::Property(slot)) => {
            let name = vocabulary.names().get(usize::from(slot.0));
            name.map_or_else(|| format!("property {}", slot.0), ToString::to_string)
        }
        Stickiness::Field(Field::RemoteAddress) => "remoteAddress".to_owned(),
        Stickiness::Field(Field::Now | Field::Constant) | Stickiness::Nothing => {
            "nothing".to_owned()
        }
    }
}
