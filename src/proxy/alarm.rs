//! Waits until a moment, for the few requests that must: they are woken by their worker's sweep, so that no timer is
//! kept by the runtime, which would look through its timers whenever it waits.
//!
//! As with [`super::deadlines`], everything here belongs to one worker's thread.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

thread_local! {
    static SLEEPERS: RefCell<Sleepers> = RefCell::default();
}

/// Those that wait, at places that stay theirs, and the places that are free.
#[derive(Default)]
struct Sleepers {
    entries: Vec<Option<(Instant, Waker)>>,
    free: Vec<usize>,
    /// Nobody is to be woken before this.
    first: Option<Instant>,
}

/// Comes to its end at the first sweep behind its moment. Must stay on its worker's thread.
#[derive(Debug)]
pub struct HealthListener {
    at: Instant,
    place: Option<usize>,
}

impl HealthListener {
    /// Waits until a moment.
    pub fn at(moment: Instant) -> Self {
        Self {
            at: moment,
            place: None,
        }
    }
}

impl Future for HealthListener {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let entry = Some((self.at, cx.waker().clone()));
        self.place = SLEEPERS.with_borrow_mut(|sleepers| {
            let at = self.at;
            sleepers.first = Some(sleepers.first.map_or(at, |first| first.min(at)));
            let place = self.place.or_else(|| sleepers.free.pop());
            let place = place.unwrap_or_else(|| {
                sleepers.entries.push(None);
                sleepers.entries.len() - 1
            });
            sleepers.entries[place] = entry;
            Some(place)
        });
        Poll::Pending
    }
}

impl Drop for HealthListener {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            SLEEPERS.with_borrow_mut(|sleepers| {
                if let Some(entry) = sleepers.entries.get_mut(place) {
                    *entry = None;
                    sleepers.free.push(place);
                }
            });
        }
    }
}

/// Wakes everybody whose moment has come.
pub fn ring(now: Instant) {
    let due = SLEEPERS.with_borrow_mut(|sleepers| sleepers.take_due(now));
    due.into_iter().for_each(Waker::wake);
}

impl Sleepers {
    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        if self.first.is_none_or(|first| now < first) {
            return due;
        }
        let mut first: Option<Instant> = None;
        for entry in &mut self.entries {
            if let Some((_, waker)) = entry.take_if(|(at, _)| *at <= now) {
                due.push(waker);
            } else if let Some((at, _)) = entry {
                first = Some(first.map_or(*at, |first| first.min(*at)));
            }
        }
        self.first = first;
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use futures_util::FutureExt as _;

    use super::{HealthListener, SLEEPERS, ring};

    #[tokio::test(flavor = "current_thread")]
    async fn an_alarm_wakes_at_its_moment_and_not_before() {
        let now = Instant::now();
        assert!(HealthListener::at(now).now_or_never().is_some());
        let mut soon = Box::pin(HealthListener::at(now + Duration::from_millis(20)));
        let mut late = Box::pin(HealthListener::at(now + Duration::from_secs(3600)));
        assert!(futures_util::poll!(&mut soon).is_pending());
        assert!(futures_util::poll!(&mut late).is_pending());
        ring(now);
        assert!(futures_util::poll!(&mut soon).is_pending());
        let sweeping = async {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                ring(Instant::now());
            }
        };
        tokio::select! {
            () = &mut soon => {}
            () = &mut late => panic!("an hour has not passed"),
            () = sweeping => {}
        }
        drop((soon, late));
        // Places are used again.
        let places = SLEEPERS.with_borrow(|sleepers| sleepers.entries.len());
        let again = HealthListener::at(now + Duration::from_secs(3600));
        assert!(again.now_or_never().is_none());
        assert_eq!(
            SLEEPERS.with_borrow(|sleepers| sleepers.entries.len()),
            places
        );
    }
}
