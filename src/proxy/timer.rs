//! Waits until a moment, for the few requests that must: they are woken by their worker's sweep, so that no timer is
//! kept by the runtime, which would look through its timers whenever it waits.
//!
//! The rules of [`super::worker_local`] hold.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::worker_local::Slots;

thread_local! {
    static SLEEPERS: RefCell<Sleepers> = RefCell::default();
}

/// The tasks that sleep.
#[derive(Default)]
struct Sleepers {
    /// When each is to be woken; `None`: it has been.
    wakers: Slots<Option<(Instant, Waker)>>,
    /// No task is to be woken before this.
    first: Option<Instant>,
}

/// Ends at the first sweep after its moment. Must stay on its worker's thread.
#[derive(Debug)]
pub(super) struct SweepTimer {
    at: Instant,
    place: Option<usize>,
}

impl SweepTimer {
    /// Sleeps until a moment.
    pub(super) fn at(moment: Instant) -> Self {
        Self {
            at: moment,
            place: None,
        }
    }
}

impl Future for SweepTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let (at, sleeper) = (self.at, Some((self.at, cx.waker().clone())));
        let place = self.place;
        self.place = SLEEPERS.with_borrow_mut(|sleepers| {
            sleepers.first = Some(sleepers.first.map_or(at, |first| first.min(at)));
            match place {
                Some(place) => {
                    if let Some(own) = sleepers.wakers.get_mut(place) {
                        *own = sleeper;
                    }
                    Some(place)
                }
                None => Some(sleepers.wakers.insert(sleeper)),
            }
        });
        Poll::Pending
    }
}

impl Drop for SweepTimer {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            SLEEPERS.with_borrow_mut(|sleepers| sleepers.wakers.remove(place));
        }
    }
}

/// Wakes every task whose moment has come.
pub(super) fn ring(now: Instant) {
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
        for sleeper in self.wakers.iter_mut() {
            if let Some((_, waker)) = sleeper.take_if(|(at, _)| *at <= now) {
                due.push(waker);
            } else if let Some((at, _)) = sleeper {
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

    use super::{SLEEPERS, SweepTimer, ring};

    #[tokio::test(flavor = "current_thread")]
    async fn a_timer_wakes_at_its_moment_and_not_before() {
        let now = Instant::now();
        assert!(SweepTimer::at(now).now_or_never().is_some());
        let mut soon = Box::pin(SweepTimer::at(now + Duration::from_millis(20)));
        let mut late = Box::pin(SweepTimer::at(now + Duration::from_secs(3600)));
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
        assert!(SLEEPERS.with_borrow(|sleepers| sleepers.wakers.is_empty()));
    }
}
