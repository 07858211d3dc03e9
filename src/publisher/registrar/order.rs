//! What a pipeline says of its canary, and what that makes of what was registered before.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Reading;
use crate::cluster::UpstreamUrl;
use crate::registry::registrations::lease::Lease;
use crate::registry::registrations::record::{About, Record, Target};

/// A registration, as it is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// The service.
    pub service: Arc<str>,
    /// The canary's name: its flag's.
    pub name: Arc<str>,
    /// Where the canary is.
    pub url: UpstreamUrl,
    /// The path that its first health check asks for; `None`: a connection is enough.
    pub health_path: Option<String>,
    /// What people say of it.
    pub about: About,
    /// Whose canary it is where no flag has its name.
    pub rings: Option<Value>,
    /// By what these rings keep users.
    pub stickiness: Option<String>,
    /// How long it lasts that is not renewed; `None`: as the configuration says.
    pub ttl: Option<Duration>,
}

/// What an order has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// There was none before, or it was over.
    Registered,
    /// It has more time.
    Renewed,
    /// Something else is said of it.
    Changed,
    /// It moves once the new place is ready.
    Moving,
}

impl Effect {
    /// The word for it, in events and in the history.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Renewed => "renewed",
            Self::Changed => "changed",
            Self::Moving => "moving",
        }
    }
}

impl Order {
    fn target(&self) -> Target {
        Target {
            url: self.url.to_string(),
            health_path: self.health_path.clone(),
        }
    }

    /// What is registered once it is carried out.
    pub(super) fn applied(
        &self,
        ttl: Duration,
        before: Option<&Lease>,
        (now, by): (Reading, &str),
    ) -> (Record, Effect) {
        let running = before.filter(|lease| !lease.is_over(now));
        let mut record = match running {
            Some(lease) => lease.record.clone(),
            None => self.first(before, now),
        };
        let said = record.clone();
        record.about = self.about.clone();
        record.rings.clone_from(&self.rings);
        record.stickiness.clone_from(&self.stickiness);
        record.ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let is_moving = running.is_some() && self.go_to(&mut record);
        let effect = match running {
            None => Effect::Registered,
            Some(_) if is_moving => Effect::Moving,
            Some(_) if record != said => Effect::Changed,
            Some(_) => Effect::Renewed,
        };
        if effect != Effect::Renewed {
            let url = self.url.to_string();
            record.note(now.moment, effect.as_str(), Some(by), Some(&url));
        }
        record.renew(now.moment, by);
        (record, effect)
    }

    /// One that begins now, with the history of an earlier one.
    fn first(&self, before: Option<&Lease>, now: Reading) -> Record {
        let before = before.map(|lease| lease.record.clone());
        let before = before.unwrap_or_default();
        Record {
            url: self.url.to_string(),
            health_path: self.health_path.clone(),
            registered_at_unix_ms: now.moment.unix_ms,
            recorded: before.recorded,
            recorded_before: before.recorded_before,
            history: before.history,
            further: before.further,
            ..Record::default()
        }
    }

    /// Leads a running registration to the URL of the order. Whether it moves there only once that is ready.
    fn go_to(&self, record: &mut Record) -> bool {
        let target = self.target();
        if target.url == record.url {
            record.health_path = target.health_path;
            record.next = None;
            return false;
        }
        if !record.ready {
            record.url = target.url;
            record.health_path = target.health_path;
            return false;
        }
        let is_news = record.next.as_ref() != Some(&target);
        record.next = Some(target);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Effect, Order};
    use crate::clock::Reading;
    use crate::context::Moment;
    use crate::registry::registrations::lease::Lease;
    use crate::registry::registrations::record::{About, Record};

    const TTL: Duration = Duration::from_secs(60);

    fn order(url: &str) -> Order {
        Order {
            service: "search".into(),
            name: "search.a".into(),
            url: url.parse().unwrap(),
            health_path: None,
            about: About::default(),
            rings: None,
            stickiness: None,
            ttl: None,
        }
    }

    fn at(unix_ms: i64) -> Reading {
        Reading {
            moment: Moment { unix_ms },
            moved_ms: 0,
        }
    }

    fn apply(order: &Order, before: Option<Record>, now: i64) -> (Record, Effect) {
        let before = before.map(|record| Lease::of(record, 0));
        order.applied(TTL, before.as_ref(), (at(now), "ci"))
    }

    #[test]
    fn the_same_again_renews_and_something_else_is_noted() {
        let first = order("http://127.0.0.1:1");
        let (record, effect) = apply(&first, None, 1000);
        assert_eq!(effect, Effect::Registered);
        assert_eq!(record.expires_at_unix_ms, 61_000);
        let (renewed, effect) = apply(&first, Some(record.clone()), 2000);
        assert_eq!(effect, Effect::Renewed);
        assert_eq!(
            (renewed.expires_at_unix_ms, renewed.registered_at_unix_ms),
            (62_000, 1000)
        );
        assert_eq!(renewed.history, record.history);
        let mut other = first.clone();
        other.about.commit = Some("4f1c2ab".to_owned());
        let (changed, effect) = apply(&other, Some(renewed), 3000);
        assert_eq!((effect, changed.history.len()), (Effect::Changed, 2));
    }

    #[test]
    fn a_ready_canary_moves_later_and_one_that_is_checked_at_once() {
        let (checking, _) = apply(&order("http://127.0.0.1:1"), None, 1000);
        let elsewhere = order("http://127.0.0.1:2");
        let (moved, effect) = apply(&elsewhere, Some(checking.clone()), 2000);
        assert_eq!(
            (effect, &*moved.url),
            (Effect::Changed, "http://127.0.0.1:2")
        );
        let ready = Record {
            ready: true,
            ..checking
        };
        let (moving, effect) = apply(&elsewhere, Some(ready), 2000);
        assert_eq!(
            (effect, &*moving.url),
            (Effect::Moving, "http://127.0.0.1:1")
        );
        assert_eq!(
            moving.unchecked().map(|next| next.url),
            Some("http://127.0.0.1:2".to_owned())
        );
        // Said again, it is a renewal; taken back, it stays where it is.
        let (again, effect) = apply(&elsewhere, Some(moving), 3000);
        assert_eq!(effect, Effect::Renewed);
        let (back, effect) = apply(&order("http://127.0.0.1:1"), Some(again), 4000);
        assert_eq!((effect, back.next), (Effect::Changed, None));
    }

    #[test]
    fn one_that_is_over_begins_anew_with_its_history() {
        let first = order("http://127.0.0.1:1");
        let (record, _) = apply(&first, None, 1000);
        let (again, effect) = apply(&first, Some(record), 61_000);
        assert_eq!(effect, Effect::Registered);
        assert_eq!(
            (again.registered_at_unix_ms, again.history.len()),
            (61_000, 2)
        );
        assert!(!again.ready);
    }
}
