//! Flags that begin to take users from canaries that run: reported, because their makers may not know of the others.

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::WARNED_MS;
use crate::context::Moment;
use crate::engine::reach::Reach;
use crate::snapshot::{Candidate, Service, Snapshot};

/// How many flags are named that lose users.
const NAMED: usize = 5;

/// A flag that comes before running canaries of its service now, and did not before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    /// The service.
    pub service: Arc<str>,
    /// The flag that takes users.
    pub flag: Arc<str>,
    /// The flags that it takes them from, the first of them by name.
    pub from: Vec<Arc<str>>,
    /// How many there are of these.
    pub count: usize,
    /// How many of their users it could take.
    pub reach: Reach,
    /// Since when.
    pub at: Moment,
}

impl fmt::Display for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            flag,
            from,
            count,
            reach,
            ..
        } = self;
        let names = from.join(", ");
        write!(f, "{flag} takes users of {service} from {names}")?;
        if *count > from.len() {
            write!(f, " and {} more", count - from.len())?;
        }
        let runs = if *count == 1 {
            "which runs"
        } else {
            "which run"
        };
        write!(
            f,
            ", {runs}: it comes first and could take {reach}; to put it behind them, name them first in `canaries` or \
             give them a higher `priority`"
        )
    }
}

impl Taking {
    /// Whether people are still to be warned of it.
    pub fn is_recent(&self, now: Moment) -> bool {
        now.unix_ms.saturating_sub(self.at.unix_ms) < WARNED_MS
    }
}

/// Finds the flags that begin to take users, service by service.
pub(super) fn between(before: &Snapshot, after: &Snapshot, at: Moment) -> Vec<Arc<Taking>> {
    let services = after.services.iter();
    let both =
        services.filter_map(|service| Some((before.services.named(&service.name)?, service)));
    both.flat_map(|(old, new)| of_service(old, new, at))
        .collect()
}

fn of_service(before: &Service, after: &Service, at: Moment) -> Vec<Arc<Taking>> {
    let places: FxHashMap<&str, usize> = running(before, at)
        .map(|candidate| &*candidate.flag.name)
        .zip(0..)
        .collect();
    let now: Vec<(&Candidate, Option<usize>)> = running(after, at)
        .map(|candidate| (candidate, places.get(&*candidate.flag.name).copied()))
        .collect();
    // Nearly always: nobody is new but at the end, and nobody has changed places.
    if now.is_sorted_by_key(|(_, place)| place.unwrap_or(usize::MAX)) {
        return Vec::new();
    }
    let mut taking = Vec::new();
    for (index, (candidate, place)) in now.iter().enumerate() {
        let own = place.unwrap_or(usize::MAX);
        let later = now.iter().skip(index + 1);
        let losers = later.filter(|(_, place)| place.is_some_and(|place| place < own));
        let mut losers: Vec<Arc<str>> = losers.map(|(other, _)| other.flag.name.clone()).collect();
        if losers.is_empty() {
            continue;
        }
        let count = losers.len();
        losers.truncate(NAMED);
        taking.push(Arc::new(Taking {
            service: after.name.clone(),
            flag: candidate.flag.name.clone(),
            from: losers,
            count,
            reach: Reach::of(&candidate.flag),
            at,
        }));
    }
    taking
}

/// The candidates that could have users at a moment, in order.
fn running(service: &Service, at: Moment) -> impl Iterator<Item = &Candidate> {
    let candidates = service.candidates.iter();
    candidates.filter(move |one| one.runs() && one.withdrawal_at(at).is_none())
}

#[cfg(test)]
mod tests {
    use super::between;
    use crate::context::{Field, Moment};
    use crate::engine::reach::Reach;
    use crate::engine::{Flag, Ring};
    use crate::snapshot::fixture::{self, everyone, ring, service, snapshot, when};

    fn flag(name: &str, share: &str) -> Flag {
        fixture::flag(name, vec![ring("all", everyone(), share)])
    }

    fn told(before: Vec<Flag>, after: Vec<Flag>) -> Vec<String> {
        let of = |flags| snapshot(vec![service("s", &["s.first.*", "s.*"])], flags);
        let taking = between(&of(before), &of(after), Moment { unix_ms: 0 });
        taking.iter().map(ToString::to_string).collect()
    }

    fn said(rings: Vec<Ring>) -> String {
        Reach::of(&fixture::flag("s.f", rings)).to_string()
    }

    #[test]
    fn a_reach_is_said_in_words() {
        let all = |share: &str| ring("all", everyone(), share);
        let team = |name: &str| ring(name, when(Field::UserId, "userId", "in", &["u1"]), "100%");
        assert_eq!(said(Vec::new()), "nobody");
        assert_eq!(said(vec![all("0%")]), "nobody");
        assert_eq!(said(vec![all("20%"), all("0.5%")]), "20.5% of all users");
        assert_eq!(
            said(vec![all("60%"), all("60%"), team("team")]),
            "all users"
        );
        assert_eq!(
            said(vec![team("team")]),
            "those who meet the conditions of \"team\""
        );
        assert_eq!(
            said(vec![all("5%"), team("team"), team("pilot")]),
            "5% of all users and those who meet the conditions of \"team\" or of 1 more"
        );
        let mut off = fixture::flag("s.f", vec![all("100%")]);
        off.enabled = false;
        assert_eq!(Reach::of(&off).to_string(), "nobody");
    }

    #[test]
    fn who_comes_before_running_canaries_and_did_not_before_is_told() {
        let runs = || flag("s.m", "100%");
        let none: [&str; 0] = [];
        assert_eq!(told(vec![runs()], vec![runs()]), none);
        assert_eq!(told(vec![runs()], vec![runs(), flag("s.z", "100%")]), none);
        assert_eq!(told(vec![runs()], vec![flag("s.a", "0%"), runs()]), none);
        assert_eq!(told(vec![], vec![flag("s.a", "100%"), runs()]), none);
        let [told] = &told(vec![runs()], vec![flag("s.a", "20%"), runs()])[..] else {
            panic!("one");
        };
        let expected = "s.a takes users of s from s.m, which runs: it comes first and could take 20% of all users; ";
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn another_order_is_told_with_everybody_who_loses() {
        let many = |first: bool| {
            let mut flags: Vec<Flag> = (0..7).map(|n| flag(&format!("s.m{n}"), "1%")).collect();
            let mut last = flag("s.z", "1%");
            last.priority = i32::from(first);
            flags.push(last);
            flags
        };
        let [told] = &told(many(false), many(true))[..] else {
            panic!("one");
        };
        let expected =
            "s.z takes users of s from s.m0, s.m1, s.m2, s.m3, s.m4 and 2 more, which run: ";
        assert!(told.starts_with(expected), "{told}");
    }
}
