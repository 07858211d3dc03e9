//! A registration with its time.

use std::mem;
use std::sync::Arc;

use serde_json::Value;

use super::record::Record;
use crate::clock::Reading;
use crate::cluster::UpstreamUrl;
use crate::config::document::Document;
use crate::context::Moment;

/// How long before the end that the running snapshot knows that snapshot is replaced, at most.
const MARGIN_MS: i64 = 5_000;
/// How long a registration is known that has come to its end.
const KEPT_MS: i64 = 3_600_000;

/// How often it is looked whether a registration can be forgotten that is still recorded elsewhere.
const LOOKED_AT_MS: i64 = 60_000;

/// An absence of the store that is no longer keeps nobody from renewing: who could not tries again.
const BRIEF_MS: i64 = 2_000;

/// By how much the clocks of gateways may differ without being wrong.
const SKEW_MS: i64 = 1_000;

/// How long ago what a gateway hears of may have happened, if it has heard all before.
const LATE_MS: i64 = 5_000;

/// A registration in memory. Its end moves with the clock: whoever sets the calendar gives no lease more time, nor less.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What is stored.
    pub record: Record,
    /// The same, to compare with.
    pub(super) stored: Value,
    /// Where the canary is; `None`: what is stored is no URL.
    pub(super) url: Option<UpstreamUrl>,
    /// Where else its flag may say that it is, because Serin wrote so.
    pub(super) written: Vec<UpstreamUrl>,
    /// The flag that it brings along.
    pub(super) fallback: Arc<Document>,
    /// By how much the clock had been moved when the record's times were written, or read for the first time.
    moved_ms: i64,
    /// Whether that is a guess: somebody wrote them by another clock.
    is_guessed: bool,
    /// When it ends although that could not be stored, as the record would have it.
    held_until_ms: Option<i64>,
    /// Since when the store that it is shared in is away, so that nobody can renew it: it does not run out meanwhile.
    waits_since: Option<Moment>,
    /// When it ends by the last snapshot that was made.
    pub(super) shown_end: Option<Moment>,
    /// What its last health check said.
    pub last_check: Option<Said>,
}

/// What a health check said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Moment,
    /// What.
    pub text: String,
}

/// What is to be done about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is over.
    End,
    /// Snapshots have yet to hear of its renewal.
    Show,
    /// It has been over for long.
    Forget,
    /// Nothing before this moment.
    Wait(Moment),
}

impl Lease {
    pub(super) fn new(record: Record, stored: Value, moved_ms: i64) -> Self {
        Self {
            url: record.url.parse().ok(),
            written: record.written(),
            fallback: Arc::new(Document::new(record.fallback())),
            record,
            stored,
            moved_ms,
            is_guessed: false,
            held_until_ms: None,
            waits_since: None,
            shown_end: None,
            last_check: None,
        }
    }

    /// The lease of a record that somebody else wrote, after what was there `before`. Who wrote it may have gone by another clock:
    /// one that was renewed in the future, or earlier than the last time, was renewed just now. So was one that is new and over, and
    /// just now has ended what ended at another time, if this `is_news`: if whatever others wrote was heard of at once.
    pub(super) fn heard(
        record: Record,
        stored: Value,
        (before, now): (Option<&Self>, Reading),
        is_news: bool,
    ) -> Self {
        let news = Self::clock_of_news(&record, before, now.moment).filter(|_| is_news);
        let other = news.or_else(|| Self::clock_of_renewal(&record, before, now));
        let moved_ms = now.moved_ms.saturating_add(other.unwrap_or_default());
        Self {
            is_guessed: other.is_some(),
            ..Self::new(record, stored, moved_ms)
        }
    }

    /// How far the clock is ahead by which its record was written, if that says that it was renewed in the future, or earlier than the
    /// last time.
    fn clock_of_renewal(record: &Record, before: Option<&Self>, now: Reading) -> Option<i64> {
        let renewed = record.renewed_at_unix_ms;
        let early_ms = renewed.saturating_sub(now.moment.unix_ms);
        let goes_back = before.is_some_and(|before| {
            let moved = now.moved_ms.saturating_sub(before.moved_ms);
            let last = before.record.renewed_at_unix_ms.saturating_add(moved);
            renewed.saturating_add(SKEW_MS) < last
        });
        (goes_back || early_ms >= SKEW_MS).then_some(early_ms)
    }

    /// How far the clock is ahead by which its record was written, if that tells of what has happened at another time than just now.
    fn clock_of_news(record: &Record, before: Option<&Self>, now: Moment) -> Option<i64> {
        let ahead = |at: i64| at.saturating_sub(now.unix_ms);
        let was_over = before.is_some_and(|before| before.record.ended_at_unix_ms.is_some());
        match record.ended_at_unix_ms {
            Some(ended) if !was_over => {
                Some(ahead(ended)).filter(|ahead| ahead.unsigned_abs() >= LATE_MS.unsigned_abs())
            }
            None if before.is_none() && ahead(record.expires_at_unix_ms) <= -LATE_MS => {
                Some(ahead(record.renewed_at_unix_ms))
            }
            _ => None,
        }
    }

    /// Has it go by a clock that this process's was moved to, by so much: what is stored was written by that, and the store was
    /// `lost` then by it.
    pub(super) fn adopt_time(&mut self, (by_ms, now): (i64, Reading), lost: Option<Reading>) {
        let (record, stored) = (self.record.clone(), mem::take(&mut self.stored));
        let heard = Self::heard(record, stored, (None, now), false);
        let is_waiting = self.waits_since.is_some();
        // What only this process knows was noted by the clock as it was.
        let moved = heard.moved_ms.saturating_sub(self.moved_ms);
        let as_written = |ms: i64| ms.saturating_add(moved).saturating_add(by_ms);
        *self = Self {
            held_until_ms: self.held_until_ms.map(as_written),
            shown_end: self.shown_end,
            last_check: self.last_check.take(),
            ..heard
        };
        if let Some(lost) = lost.filter(|_| is_waiting) {
            self.wait(lost);
        }
    }

    /// Gives up a guess at the clock that it was written by if this process's goes by that clock now: if then it was renewed a
    /// while before it was heard of.
    pub(super) fn reconsider(&mut self, now: Reading) {
        let age_ms = now.moved_ms.saturating_sub(self.moved_ms);
        let most = match self.record.ended_at_unix_ms {
            Some(_) => KEPT_MS,
            None => self.ttl_ms(),
        };
        if self.is_guessed && (-SKEW_MS..=most).contains(&age_ms) {
            self.moved_ms = now.moved_ms;
            self.is_guessed = false;
        }
    }

    /// Its record with its times as they are since the calendar was set; `None`: they are so.
    pub(super) fn restated(&self, now: Reading) -> Option<Record> {
        let moved = now.moved_ms.saturating_sub(self.moved_ms);
        if moved == 0 || self.is_guessed {
            return None;
        }
        let mut record = self.record.clone();
        let times = [
            &mut record.renewed_at_unix_ms,
            &mut record.expires_at_unix_ms,
        ];
        for time in times.into_iter().chain(&mut record.ended_at_unix_ms) {
            *time = time.saturating_add(moved);
        }
        Some(record)
    }

    /// Takes note that such a record is stored, as `stored`.
    pub(super) fn restate(&mut self, record: Record, stored: Value, now: Reading) {
        let moved = now.moved_ms.saturating_sub(self.moved_ms);
        let held = self.held_until_ms.map(|held| held.saturating_add(moved));
        self.held_until_ms = held;
        (self.record, self.stored, self.moved_ms) = (record, stored, now.moved_ms);
    }

    /// The lease of a record as it stands, for tests of the floor above.
    #[cfg(test)]
    pub(crate) fn of(record: Record, moved_ms: i64) -> Self {
        Self::new(record, Value::Null, moved_ms)
    }

    /// Takes over from what was there before what no record has.
    pub(super) fn take_over(&mut self, before: &Self) {
        if self.fallback == before.fallback {
            self.fallback.clone_from(&before.fallback);
        }
        self.shown_end = before.shown_end;
        let times = |lease: &Self| {
            let record = &lease.record;
            let renewed = (record.renewed_at_unix_ms, record.expires_at_unix_ms);
            (renewed, record.ended_at_unix_ms)
        };
        if times(self) == times(before) {
            self.moved_ms = before.moved_ms;
            self.is_guessed = before.is_guessed;
            self.held_until_ms = before.held_until_ms;
            self.waits_since = before.waits_since;
        }
        if self.record.unchecked() == before.record.unchecked() {
            self.last_check.clone_from(&before.last_check);
        }
    }

    /// Whether `after` says the same but for its time, which is not over.
    pub(super) fn is_renewed_by(&self, after: &Self) -> bool {
        let (before, after) = (&self.record, &after.record);
        let said = |record: &Record| (record.ended_at_unix_ms, record.ready);
        (&before.url, &before.by, &before.rings, &before.stickiness)
            == (&after.url, &after.by, &after.rings, &after.stickiness)
            && said(before) == said(after)
    }

    /// When it ends, or has ended; never, as things are, while it waits for its store.
    pub fn end(&self, now: Reading) -> Moment {
        match self.waits_since() {
            Some(_) => Moment { unix_ms: i64::MAX },
            None => self.planned_end(now),
        }
    }

    /// Since when it waits for the store that it is shared in, without which nobody can renew it.
    pub fn waits_since(&self) -> Option<Moment> {
        let is_ended = self.record.ended_at_unix_ms.is_some();
        self.waits_since.filter(|_| !is_ended)
    }

    /// When it ends, would end if it did not wait for its store, or has ended.
    pub fn planned_end(&self, now: Reading) -> Moment {
        let expires = self.record.expires_at_unix_ms;
        let expires = self.held_until_ms.map_or(expires, |held| held.max(expires));
        let end = self.record.ended_at_unix_ms.unwrap_or(expires);
        Moment {
            unix_ms: end.saturating_add(now.moved_ms.saturating_sub(self.moved_ms)),
        }
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Reading) -> bool {
        self.record.ended_at_unix_ms.is_some() || now.moment >= self.end(now)
    }

    /// In a word: `checking`, `ready` or `over`.
    pub fn state(&self, now: Reading) -> &'static str {
        match (self.is_over(now), self.record.ready) {
            (true, _) => "over",
            (false, true) => "ready",
            (false, false) => "checking",
        }
    }

    /// Whether snapshots must hear of its end now.
    pub fn is_urgent(&self, now: Reading) -> bool {
        self.due(now) == Due::Show
    }

    /// Keeps it for a whole TTL from now on, although that is not stored: who renewed it is alive.
    pub(super) fn hold(&mut self, now: Reading) {
        let moved = now.moved_ms.saturating_sub(self.moved_ms);
        let as_written = now.moment.unix_ms.saturating_sub(moved);
        self.held_until_ms = Some(as_written.saturating_add(self.ttl_ms()));
    }

    /// Has it wait for the store that it is shared in, which was last heard of at that moment, unless it was over by then.
    pub(super) fn wait(&mut self, lost: Reading) {
        if self.waits_since.is_none() && !self.is_over(lost) {
            self.waits_since = Some(lost.moment);
        }
    }

    /// Gives it a whole TTL from now on, if it has waited for longer than a moment or is about to end: by then who renews it has
    /// heard that the store is back.
    pub(super) fn resume(&mut self, now: Reading) {
        let Some(since) = self.waits_since.take() else {
            return;
        };
        let waited_ms = now.moment.unix_ms.saturating_sub(since.unix_ms);
        let left_ms = self
            .planned_end(now)
            .unix_ms
            .saturating_sub(now.moment.unix_ms);
        if waited_ms > BRIEF_MS || left_ms <= self.margin() {
            self.hold(now);
        }
    }

    /// Its end if that is much later than what is stored, which others will soon take for the end.
    pub(super) fn unstored_end(&self, now: Reading) -> Option<Moment> {
        let held = self.held_until_ms?;
        let end = self.planned_end(now);
        let is_later = self.record.ended_at_unix_ms.is_none()
            && self.waits_since.is_none()
            && held > self.record.expires_at_unix_ms.saturating_add(self.margin());
        let stored = end.unix_ms - held.saturating_sub(self.record.expires_at_unix_ms);
        let is_soon = now.moment.unix_ms >= stored.saturating_sub(self.margin());
        (is_later && is_soon && now.moment < end).then_some(end)
    }

    /// What is to be done about it now.
    pub fn due(&self, now: Reading) -> Due {
        let end = self.end(now);
        if self.record.ended_at_unix_ms.is_some() {
            let mut gone = after(end, KEPT_MS);
            if self.record.recorded.is_some() {
                // Its flag may still lead users there; that it is over must be known until the flag says so as well.
                gone = gone.max(after(now.moment, LOOKED_AT_MS));
            }
            return match now.moment >= gone {
                true => Due::Forget,
                false => Due::Wait(gone),
            };
        }
        if now.moment >= end {
            return Due::End;
        }
        let Some(shown) = self.shown_end.filter(|shown| *shown < end) else {
            let early = after(end, -self.margin());
            return Due::Wait(if early > now.moment { early } else { end });
        };
        match after(shown, -self.margin()) {
            early if early > now.moment => Due::Wait(early),
            _ => Due::Show,
        }
    }

    fn margin(&self) -> i64 {
        (self.ttl_ms() / 4).min(MARGIN_MS)
    }

    fn ttl_ms(&self) -> i64 {
        i64::try_from(self.record.ttl_ms).unwrap_or(i64::MAX)
    }
}

fn after(moment: Moment, ms: i64) -> Moment {
    Moment {
        unix_ms: moment.unix_ms.saturating_add(ms),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Due, KEPT_MS, Lease, Reading, Record};
    use crate::context::Moment;
    use crate::registry::registrations::record::Recorded;

    fn at(unix_ms: i64) -> Moment {
        Moment { unix_ms }
    }

    fn now(unix_ms: i64) -> Reading {
        let moment = at(unix_ms);
        Reading {
            moment,
            moved_ms: 0,
        }
    }

    /// Registered at 1,000,000 for 40 s.
    fn lease() -> Lease {
        let mut record = Record {
            ttl_ms: 40_000,
            ..Record::default()
        };
        record.renew(at(1_000_000), "ci");
        Lease::new(record, Value::Null, 0)
    }

    #[test]
    fn it_is_over_at_its_moment_and_forgotten_an_hour_later() {
        let mut lease = lease();
        assert!(!lease.is_over(now(1_039_999)));
        assert!(lease.is_over(now(1_040_000)));
        assert_eq!(lease.due(now(1_040_000)), Due::End);
        // A timer that fires late does not make it end later.
        let end = lease.end(now(1_049_000));
        lease.record.end(end, "lease_over", None);
        assert_eq!(lease.end(now(1_049_000)), at(1_040_000));
        let gone = 1_040_000 + KEPT_MS;
        assert_eq!(lease.due(now(1_050_000)), Due::Wait(at(gone)));
        assert_eq!(lease.due(now(gone)), Due::Forget);
    }

    #[test]
    fn it_is_known_for_as_long_as_its_flag_says_that_it_is_there() {
        let mut lease = lease();
        lease.record.note_recorded(Some(Recorded::default()));
        lease.record.end(at(1_040_000), "lease_over", None);
        let late = 1_040_000 + 10 * KEPT_MS;
        assert_eq!(lease.due(now(late)), Due::Wait(at(late + 60_000)));
        assert!(lease.is_over(now(late)));
        lease.record.note_recorded(None);
        assert_eq!(lease.due(now(late)), Due::Forget);
    }

    #[test]
    fn snapshots_hear_of_a_renewal_shortly_before_the_end_that_they_know() {
        let mut lease = lease();
        lease.shown_end = Some(at(1_040_000));
        assert_eq!(lease.due(now(1_000_000)), Due::Wait(at(1_035_000)));
        lease.record.renew(at(1_020_000), "ci");
        assert_eq!(lease.due(now(1_020_000)), Due::Wait(at(1_035_000)));
        assert_eq!(lease.due(now(1_035_000)), Due::Show);
        lease.shown_end = Some(lease.end(now(1_036_000)));
        assert_eq!(lease.due(now(1_036_000)), Due::Wait(at(1_055_000)));
    }

    #[test]
    fn a_calendar_that_is_set_ends_no_lease_and_revives_none() {
        const DAYS: i64 = 10 * 24 * 3_600_000;
        for step in [DAYS, -DAYS] {
            let lease = lease();
            let set = |unix_ms: i64| Reading {
                moment: at(unix_ms + step),
                moved_ms: step,
            };
            assert!(!lease.is_over(set(1_039_999)), "{step}");
            assert!(lease.is_over(set(1_040_000)), "{step}");
            // It ends before the step, and stays over.
            let mut ended = lease.clone();
            ended.record.end(at(1_041_000), "taken_back", Some("ci"));
            assert!(ended.is_over(set(1_042_000)), "{step}");
            // It is renewed after the step: a whole TTL from then on.
            let mut record = lease.record.clone();
            record.renew(set(1_030_000).moment, "ci");
            let mut renewed = Lease::new(record, Value::Null, step);
            renewed.take_over(&lease);
            assert!(!renewed.is_over(set(1_069_999)), "{step}");
            assert!(renewed.is_over(set(1_070_000)), "{step}");
        }
    }

    /// The same record, with these times, from another gateway.
    fn heard(renewed: i64, before: Option<&Lease>, now: Reading) -> Lease {
        let mut record = lease().record;
        record.renew(at(renewed), "ci");
        Lease::heard(record, Value::Null, (before, now), false)
    }

    #[test]
    fn one_that_was_written_in_the_future_has_no_more_than_its_time() {
        // Clocks differ by a little.
        assert_eq!(
            heard(1_000_500, None, now(1_000_000)).end(now(1_000_000)),
            at(1_040_500)
        );
        let early = heard(9_000_000, None, now(1_000_000));
        assert!(!early.is_over(now(1_039_999)));
        assert!(early.is_over(now(1_040_000)));
        assert_eq!(early.restated(now(1_000_000)), None);
    }

    #[test]
    fn a_renewal_by_a_clock_that_is_behind_is_one_of_this_moment() {
        let before = lease();
        let renewed = heard(500_000, Some(&before), now(1_030_000));
        assert!(!renewed.is_over(now(1_069_999)));
        assert!(renewed.is_over(now(1_070_000)));
        // One that is told late is none.
        let late = heard(1_010_000, Some(&before), now(1_060_000));
        assert!(late.is_over(now(1_060_000)));
        // Nor is one by the calendar that this clock follows as well.
        let set = Reading {
            moment: at(530_000),
            moved_ms: -500_000,
        };
        let followed = heard(500_000, Some(&before), set);
        assert_eq!(followed.end(set), at(540_000));
    }

    #[test]
    fn what_is_stored_follows_the_calendar() {
        const DAYS: i64 = 10 * 24 * 3_600_000;
        for step in [DAYS, -DAYS] {
            let mut lease = lease();
            let set = Reading {
                moment: at(1_020_000 + step),
                moved_ms: step,
            };
            assert_eq!(lease.restated(now(1_020_000)), None);
            let record = lease.restated(set).expect("other times");
            assert_eq!(record.expires_at_unix_ms, 1_040_000 + step);
            let end = lease.end(set);
            lease.restate(record.clone(), Value::Null, set);
            assert_eq!((lease.end(set), lease.restated(set)), (end, None));
            // The next process knows nothing of a step.
            let next = Lease::heard(record, Value::Null, (None, now(1_020_000 + step)), false);
            assert_eq!(next.end(now(1_020_000 + step)), end);
        }
    }

    #[test]
    fn a_guess_ends_with_the_step_that_explains_it() {
        const DAYS: i64 = 10 * 24 * 3_600_000;
        for step in [DAYS, -DAYS] {
            // Renewed at 1,020,000, heard of at 1,030,000 by a gateway that does not know of the step yet.
            let mut lease = heard(1_020_000 + step, Some(&lease()), now(1_030_000));
            let set = |moved_ms: i64| Reading {
                moment: at(1_031_000 + moved_ms),
                moved_ms,
            };
            assert_eq!(lease.end(now(1_030_000)), at(1_070_000));
            lease.reconsider(set(step / 2));
            assert_eq!(lease.end(set(0)), at(1_070_000), "another step");
            lease.reconsider(set(step));
            assert_eq!(lease.end(set(step)), at(1_060_000 + step));
        }
    }

    #[test]
    fn news_by_another_clock_is_of_this_moment() {
        const DAYS: i64 = 10 * 24 * 3_600_000;
        let news = |record: &Record, before: Option<&Lease>, now: Reading| {
            Lease::heard(record.clone(), Value::Null, (before, now), true)
        };
        for step in [DAYS, -DAYS] {
            // Registered at 1,000,000 by a clock that is to be set, or was, which this one is not, or not yet.
            let here = now(1_000_000 + step);
            let mut registered = news(&lease().record, None, here);
            assert_eq!(registered.end(here), at(1_040_000 + step), "{step}");
            assert_eq!(registered.restated(here), None);
            // Who ended it goes by that clock as well.
            let mut record = registered.record.clone();
            record.end(at(1_030_000), "taken_back", None);
            let here = now(1_030_000 + step);
            let mut ended = news(&record, Some(&registered), here);
            let gone = 1_030_000 + step + KEPT_MS;
            assert_eq!(ended.due(here), Due::Wait(at(gone)), "{step}");
            // Now this one is set, too.
            let set = Reading {
                moment: at(1_031_000),
                moved_ms: -step,
            };
            registered.reconsider(set);
            ended.reconsider(set);
            assert_eq!(registered.end(set), at(1_040_000), "{step}");
            assert_eq!(ended.end(set), at(1_030_000), "{step}");
        }
        // What is read when all that is stored is new has been over for as long as it says.
        let late = now(1_000_000 + DAYS);
        let read = Lease::heard(lease().record, Value::Null, (None, late), false);
        assert!(read.is_over(late));
        // News may be late by as much as messages are.
        assert!(news(&lease().record, None, now(1_044_999)).is_over(now(1_044_999)));
    }

    #[test]
    fn once_it_is_known_what_time_it_is_leases_end_as_it_was_written() {
        const DAYS: i64 = 10 * 24 * 3_600_000;
        for wrong in [DAYS, -DAYS] {
            let mut lease = Lease::heard(
                lease().record,
                Value::Null,
                (None, now(1_020_000 + wrong)),
                false,
            );
            lease.hold(now(1_020_000 + wrong));
            lease.adopt_time((-wrong, now(1_020_000)), None);
            assert_eq!(lease.end(now(1_020_000)), at(1_060_000), "{wrong}");
            lease.held_until_ms = None;
            assert_eq!(lease.end(now(1_020_000)), at(1_040_000), "{wrong}");
            // One that was over when its store was lost has not waited for that, whatever the clock said then.
            for (lost, waits) in [(1_030_000, true), (1_050_000, false)] {
                let mut lease = lease.clone();
                lease.waits_since = Some(at(0));
                lease.adopt_time((-wrong, now(1_060_000)), Some(now(lost)));
                assert_eq!(lease.waits_since().is_some(), waits, "{wrong}, {lost}");
            }
        }
    }

    #[test]
    fn a_store_that_is_away_gives_time_unless_it_was_for_a_moment() {
        // Lost at, back at, and when the lease ends that would end at 1,040,000.
        for (lost, back, end) in [
            (1_010_000, 1_010_500, 1_040_000),
            (1_010_000, 1_013_000, 1_053_000),
            (1_034_000, 1_036_000, 1_076_000),
            (1_030_000, 1_050_000, 1_090_000),
        ] {
            let mut lease = lease();
            lease.wait(now(lost));
            assert!(!lease.is_over(now(back)));
            lease.resume(now(back));
            assert_eq!(lease.end(now(back)), at(end), "{lost} to {back}");
        }
    }

    #[test]
    fn a_renewal_that_cannot_be_stored_holds_in_memory() {
        let mut lease = lease();
        lease.hold(now(1_030_000));
        assert!(!lease.is_over(now(1_069_999)));
        assert!(lease.is_over(now(1_070_000)));
        lease.record.end(at(1_035_000), "taken_back", Some("ci"));
        assert_eq!(lease.end(now(1_036_000)), at(1_035_000));
    }
}
