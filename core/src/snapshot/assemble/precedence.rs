//! One list of flags out of every source's: of several flags with one name, that of the first source counts.

use std::sync::Arc;

use crate::engine::Flag;

/// How many flags a warning names.
const NAMED: usize = 5;

/// The flags of one source, by name.
pub(super) struct Ranked<'a> {
    /// Who has them, for people.
    pub(super) source: &'a str,
    /// The flags.
    pub(super) flags: &'a [Arc<Flag>],
}

/// Merges the lists, the most important of which comes first; says in words whose flags are not used.
pub(super) fn merge(lists: &[Ranked<'_>]) -> (Vec<Arc<Flag>>, Vec<String>) {
    let count = lists.iter().map(|list| list.flags.len()).sum();
    let mut all: Vec<(&Arc<Flag>, usize)> = Vec::with_capacity(count);
    for (rank, list) in lists.iter().enumerate() {
        all.extend(list.flags.iter().map(|flag| (flag, rank)));
    }
    // Runs that are sorted are merged, not sorted again; equal names stay in their sources' order.
    all.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    let mut merged: Vec<Arc<Flag>> = Vec::with_capacity(count);
    let mut winner = 0;
    let mut shadowed: Vec<(usize, usize, Vec<&str>)> = Vec::new();
    for (flag, rank) in all {
        if merged.last().is_some_and(|last| last.name == flag.name) {
            let place = |(by, of, _): &(usize, usize, Vec<&str>)| (*by, *of) == (winner, rank);
            match shadowed.iter_mut().find(|known| place(known)) {
                Some((_, _, names)) => names.push(&flag.name),
                None => shadowed.push((winner, rank, vec![&flag.name])),
            }
        } else {
            winner = rank;
            merged.push(flag.clone());
        }
    }
    shadowed.sort_by_key(|(by, of, _)| (*of, *by));
    let told = |(by, of, names): &(usize, usize, Vec<&str>)| {
        let source = |rank: usize| lists.get(rank).map_or("", |list| list.source);
        format!(
            "{} of {} not used, because {} comes first and has the same: {}",
            if names.len() == 1 { "a flag" } else { "flags" },
            format_args!(
                "{} {}",
                source(*of),
                if names.len() == 1 { "is" } else { "are" }
            ),
            source(*by),
            listed(names)
        )
    };
    let warnings = shadowed.iter().map(told).collect();
    (merged, warnings)
}

/// Adds those flags of `others`, which are sorted by name, whose names no flag has. Of the others nothing is said: they
/// stand in for flags that are still to come.
pub(super) fn fill_in(flags: &mut Vec<Arc<Flag>>, others: &[Arc<Flag>]) {
    let is_missing = |other: &&Arc<Flag>| {
        let place = flags.binary_search_by(|flag| flag.name.cmp(&other.name));
        place.is_err()
    };
    let missing: Vec<Arc<Flag>> = others.iter().filter(is_missing).cloned().collect();
    if !missing.is_empty() {
        flags.extend(missing);
        flags.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

fn listed(names: &[&str]) -> String {
    match names.get(..NAMED) {
        Some(first) if names.len() > NAMED => {
            format!("{} and {} more", first.join(", "), names.len() - NAMED)
        }
        _ => names.join(", "),
    }
}
