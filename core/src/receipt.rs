//! Receipts: what a client is told, signed, of who served it. Here is what one says, and when another one is due.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Stands for the user.
    pub subject: Box<str>,
    /// When it was issued, in seconds since 1970-01-01.
    pub issued: i64,
    /// From when on it is not valid, the same way.
    pub expires: i64,
    /// Who served the user, by service.
    pub served: BTreeMap<Box<str>, ServedBy>,
}

/// Who served a user of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// The deployment that answered.
    pub deployment: Box<str>,
    /// The flag that decided.
    pub flag: Option<Box<str>>,
    /// The variant that it gave.
    pub variant: Option<Box<str>>,
    /// Why the deployment was assigned.
    pub reason: Box<str>,
    /// The deployment that was assigned.
    pub assigned: Box<str>,
    /// The generation of the snapshot that decided.
    pub generation: u64,
}

/// Who answers a request now, before anything is copied.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// The service.
    pub service: &'a str,
    /// The deployment that answers.
    pub deployment: &'a str,
    /// The flag that decided.
    pub flag: Option<&'a str>,
    /// The variant that it gave.
    pub variant: Option<&'a str>,
    /// Why the deployment was assigned.
    pub reason: &'a str,
    /// The deployment that was assigned.
    pub assigned: &'a str,
    /// The generation of the snapshot that decided.
    pub generation: u64,
}

impl Receipt {
    /// Whether it is valid no more.
    pub fn is_over(&self, now: i64) -> bool {
        now >= self.expires
    }

    /// Whether more than half of its life is over.
    fn is_old(&self, now: i64) -> bool {
        let (life, age) = (
            self.expires.saturating_sub(self.issued),
            now.saturating_sub(self.issued),
        );
        age > life / 2
    }

    /// The receipt that a user gets who has `held`, a valid one of theirs, or none; `None`: it would tell nothing new. News is
    /// another deployment, another one assigned, or another flag or variant; not another reason or generation for
    /// the same. What `held` says of other services is kept. `subject` stands for a user who has none yet.
    pub fn due(
        held: Option<&Self>,
        subject: impl FnOnce() -> String,
        answering: Answering<'_>,
        now: i64,
        life: Duration,
    ) -> Option<Self> {
        let known = held.and_then(|held| held.served.get(answering.service));
        let is_news = known.is_none_or(|known| known.differs(answering));
        if !is_news && held.is_some_and(|held| !held.is_old(now)) {
            return None;
        }
        let mut served = held.map(|held| held.served.clone()).unwrap_or_default();
        served.insert(answering.service.into(), ServedBy::of(answering));
        let life = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
        Some(Self {
            subject: held.map_or_else(|| subject().into(), |held| held.subject.clone()),
            issued: now,
            // One that would live for less than a second would never be valid.
            expires: now.saturating_add(life.max(1)),
            served,
        })
    }

    /// Leaves out what it says of another service than this one; `false`: it says nothing of another one.
    pub fn shorten(&mut self, but: &str) -> bool {
        let other = self.served.keys().find(|name| ***name != *but).cloned();
        other.is_some_and(|name| self.served.remove(&name).is_some())
    }
}

impl ServedBy {
    fn of(answering: Answering<'_>) -> Self {
        Self {
            deployment: answering.deployment.into(),
            flag: answering.flag.map(Into::into),
            variant: answering.variant.map(Into::into),
            reason: answering.reason.into(),
            assigned: answering.assigned.into(),
            generation: answering.generation,
        }
    }

    fn differs(&self, answering: Answering<'_>) -> bool {
        *self.deployment != *answering.deployment
            || *self.assigned != *answering.assigned
            || self.flag.as_deref() != answering.flag
            || self.variant.as_deref() != answering.variant
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answering, Receipt};

    const DAY: Duration = Duration::from_secs(86_400);

    fn by<'a>(service: &'a str, deployment: &'a str) -> Answering<'a> {
        Answering {
            service,
            deployment,
            flag: Some("search.v2"),
            variant: None,
            reason: "ring",
            assigned: "search.v2",
            generation: 41,
        }
    }

    fn first(now: i64) -> Receipt {
        Receipt::due(None, || "u".into(), by("search", "search.v2"), now, DAY)
            .expect("a first one is news")
    }

    #[test]
    fn another_one_is_due_when_it_tells_something_new() {
        let held = first(1000);
        let due = |answering| Receipt::due(Some(&held), || "u".into(), answering, 1001, DAY);
        let same = by("search", "search.v2");
        assert_eq!(due(same), None);
        assert_eq!(
            due(Answering {
                reason: "lane",
                generation: 42,
                ..same
            }),
            None
        );
        for other in [
            Answering {
                deployment: "stable",
                ..same
            },
            Answering { flag: None, ..same },
            Answering {
                variant: Some("b"),
                ..same
            },
            Answering {
                assigned: "stable",
                ..same
            },
        ] {
            let next = due(other).expect("news");
            assert_eq!(*next.served["search"].deployment, *other.deployment);
            assert_eq!((next.issued, next.expires), (1001, 1001 + 86_400));
        }
    }

    #[test]
    fn one_past_half_of_its_life_is_replaced() {
        let held = first(1000);
        let due = |now| {
            Receipt::due(
                Some(&held),
                || "u".into(),
                by("search", "search.v2"),
                now,
                DAY,
            )
        };
        assert_eq!(due(1000 + 43_200), None);
        assert_eq!(due(1000 + 43_201).map(|next| next.issued), Some(44_201));
        // A clock that is behind the issuer's makes it no older.
        assert_eq!(due(0), None);
        assert!(!held.is_over(1000 + 86_399) && held.is_over(1000 + 86_400));
    }

    #[test]
    fn what_was_said_of_other_services_is_kept() {
        let held = first(1000);
        let mut next =
            Receipt::due(Some(&held), || "u".into(), by("cart", "stable"), 1001, DAY).unwrap();
        assert_eq!(next.served["search"], held.served["search"]);
        assert_eq!(next.served.len(), 2);
        assert!(next.shorten("cart") && !next.shorten("cart"));
        assert_eq!(
            next.served.keys().map(|name| &**name).collect::<Vec<_>>(),
            ["cart"]
        );
    }

    #[test]
    fn even_the_shortest_life_is_one() {
        let brief = Receipt::due(
            None,
            || "u".into(),
            by("search", "stable"),
            5,
            Duration::from_millis(1),
        );
        assert!(!brief.expect("news").is_over(5));
    }
}
