//! The time of registrations: their ends, and the clock that these are measured by.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::trail::Difference;
use super::{Publication, Registrar};
use crate::audit::actor::Actor;
use crate::audit::entry::Action;
use crate::clock;
use crate::context::Moment;
use crate::events::{EventKind, Heard};
use crate::registry::registrations::lease::Due;
use crate::registry::registrations::{ChangeError, Name};
use crate::state::{Kind, Sharing, StoreError};

/// How often it is looked whether the calendar was set.
const TICK: Duration = Duration::from_secs(1);
/// A larger difference between the calendar and the clock is a step; a smaller one is how clocks run.
const STEP_MS: u64 = 1_000;
/// Between two rounds there is a rest, so many times as long as the first took, and at most so long: what many gateways renew of many
/// leases is looked at together.
const REST: (u32, Duration) = (5, Duration::from_millis(50));

impl Registrar {
    /// Keeps the time, until the process ends.
    pub async fn follow(self) {
        let mut events = self.publisher.events().listen();
        let store = self.registrations.store();
        let mut told = store.subscribe(Kind::Registrations);
        let mut sharing = store.watch_sharing();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.mark_all();
        let mut is_stale = false;
        loop {
            let begun = Instant::now();
            is_stale |= self.follow_calendar().await;
            if is_stale {
                is_stale = !self.registrations.restate().await;
                if !is_stale {
                    tracing::info!("leases are stored by the calendar as it is set now");
                }
            }
            self.check_all();
            let next = self.settle().await;
            sleep(begun.elapsed().saturating_mul(REST.0).min(REST.1)).await;
            tokio::select! {
                _ = tick.tick() => {}
                () = sleep(until(next)) => {}
                () = self.woken.notified() => {}
                Ok(()) = told.changed() => {
                    let news = self.registrations.reread();
                    news.changed.iter().for_each(|name| self.mark(name));
                    if news.is_urgent {
                        self.publish_or_log().await;
                    }
                }
                () = changed(&mut sharing) => {
                    if self.registrations.follow_store() {
                        self.mark_all();
                        self.publish_or_log().await;
                    }
                }
                heard = events.next() => match heard {
                    None => return,
                    Some(Heard::Event(event)) => self.note_order(&event.what).await,
                    Some(Heard::Lagged(_)) => {}
                },
            }
        }
    }

    /// Has every mark say whether its lease is over.
    fn mark_all(&self) {
        let now = clock::reading();
        let mut over = BTreeSet::new();
        self.registrations.each(|(service, canary), lease| {
            if lease.is_over(now) {
                over.insert((service.to_string(), canary.to_string()));
            }
        });
        self.kills.set_leases_over(over);
    }

    /// Ends what is over, forgets what has long been, and has snapshots hear of renewals. When to look again.
    async fn settle(&self) -> Option<Moment> {
        for name in self.registrations.unstored(clock::reading()) {
            self.store_end(&name).await;
        }
        let (mut due, next) = self.registrations.due(clock::reading());
        if !self.registrations.may_end() {
            // That it is over holds here; storing it waits.
            for (name, _) in due.extract_if(.., |(_, due)| matches!(due, Due::End | Due::Forget)) {
                self.mark(&name);
            }
        }
        let is_due = !due.is_empty();
        for (name, due) in due {
            match due {
                Due::End => self.end(&name).await,
                Due::Forget => self.forget(&name).await,
                Due::Show | Due::Wait(_) => {}
            }
        }
        if is_due {
            self.publish_or_log().await;
        }
        next
    }

    async fn end(&self, name: &Name) {
        self.kills.set_lease_over(&name.0, &name.1, true);
        let ended = self.registrations.change(name, |lease| {
            let lease = lease.ok_or(())?;
            let now = clock::reading();
            if lease.record.ended_at_unix_ms.is_some() || !lease.is_over(now) {
                return Err(());
            }
            let mut record = lease.record.clone();
            record.end(lease.end(now), "lease_over", None);
            let differs = Difference::of(Some(&lease.record), Some(&record));
            Ok((Some(record), differs))
        });
        match ended.await {
            Ok((stored, differs)) => {
                self.tell(name, "lease_over", differs.url(), None);
                let own = Actor::gateway();
                self.enter(name, Action::LeaseOver, &own, differs, stored)
                    .let_go();
            }
            // Somebody has renewed it meanwhile, or ended it.
            Err(ChangeError::Refused(()) | ChangeError::Store(StoreError::Changed(_))) => {
                self.mark(name);
            }
            Err(ChangeError::Store(error)) => {
                let (service, canary) = (&*name.0, &*name.1);
                tracing::warn!(service, canary, %error, "that this lease is over cannot be stored; it is over all the same");
            }
        }
    }

    /// Has all gateways know for how long this one holds a lease.
    async fn store_end(&self, name: &Name) {
        match self.registrations.store_end(name).await {
            // Another gateway has been faster, or it is renewed.
            Ok(()) | Err(ChangeError::Refused(()) | ChangeError::Store(StoreError::Changed(_))) => {
            }
            Err(ChangeError::Store(error)) => {
                let (service, canary) = (&*name.0, &*name.1);
                tracing::warn!(service, canary, %error, "for how long this lease is held cannot be stored yet");
            }
        }
    }

    async fn forget(&self, name: &Name) {
        let forgotten = self.registrations.change(name, |lease| {
            let lease = lease.ok_or(())?;
            match lease.due(clock::reading()) {
                Due::Forget => Ok((None, Difference::of(Some(&lease.record), None))),
                Due::End | Due::Show | Due::Wait(_) => Err(()),
            }
        });
        if let Ok((stored, differs)) = forgotten.await {
            self.mark(name);
            self.tell(name, "forgotten", differs.url(), None);
            let own = Actor::gateway();
            self.enter(name, Action::Forget, &own, differs, stored)
                .let_go();
        }
    }

    /// Has the mark say what is registered now.
    fn mark(&self, name: &Name) {
        let now = clock::reading();
        let lease = self.registrations.get(name);
        let is_over = lease.is_some_and(|lease| lease.is_over(now));
        self.kills.set_lease_over(&name.0, &name.1, is_over);
    }

    /// Has the clock follow the calendar: Redis' where gateways share one. Leases have as long to run as they had, whichever way
    /// somebody sets it: of a step forward the snapshot that requests are decided on hears before it is made, of one back
    /// afterwards. Whether there was a step.
    async fn follow_calendar(&self) -> bool {
        clock::catch_up();
        self.registrations.adopt_time();
        if self.registrations.take_moved() {
            self.mark_all();
            self.publish_or_log().await;
        }
        let step = self.registrations.store().drift_ms();
        if step.unsigned_abs() < STEP_MS {
            clock::adjust(step);
            return false;
        }
        tracing::warn!(
            step_ms = step,
            "the calendar was set; leases have as long to run as they had"
        );
        if step > 0 {
            self.registrations.lead(step);
            self.publish_or_log().await;
        }
        clock::follow(step);
        self.registrations.reconsider();
        self.registrations.lead(0);
        self.publish_or_log().await;
        true
    }

    /// Notes kills and restores in the history of what is registered.
    async fn note_order(&self, what: &EventKind) {
        let EventKind::Ordered {
            service,
            flag,
            killed,
            by,
            reason,
            is_elsewhere: false,
        } = what
        else {
            return;
        };
        let name = (service.clone(), flag.clone());
        let noted = self.registrations.change(&name, |lease| {
            let mut record = lease.ok_or(())?.record.clone();
            let what = if *killed { "killed" } else { "restored" };
            record.note(clock::now(), what, Some(by), reason.as_deref());
            Ok::<_, ()>((Some(record), ()))
        });
        if let Err(ChangeError::Store(error)) = noted.await {
            tracing::warn!(%service, canary = %flag, %error, "the history of a canary cannot be stored");
        }
    }

    async fn publish_or_log(&self) {
        if let Err(error) = self.publish(Publication::Now).await {
            tracing::warn!(%error, "what is registered is not decided on yet");
        }
    }
}

/// Waits for news of the store that gateways share.
async fn changed(sharing: &mut Option<watch::Receiver<Sharing>>) {
    if let Some(known) = sharing {
        if known.changed().await.is_ok() {
            return;
        }
        *sharing = None;
    }
    std::future::pending::<()>().await;
}

/// How long it is to a moment, and not longer than that the calendar is looked at.
fn until(moment: Option<Moment>) -> Duration {
    let Some(moment) = moment else {
        return TICK;
    };
    let ms = moment.unix_ms.saturating_sub(clock::now().unix_ms);
    Duration::from_millis(u64::try_from(ms).unwrap_or_default()).min(TICK)
}
