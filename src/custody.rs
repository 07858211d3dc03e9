//! Who writes what outlives a process. While one gateway takes over from another, both run on the same `state_dir`, and exactly one of
//! them writes there: it has custody.
//!
//! Whoever writes holds the custody meanwhile. It is lent for the moment in which the other may turn out to be unable to go on, and
//! is taken back then, with everything as it was; or it is given up for good. What is to be written in between waits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Whether this process has custody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// The other process has it, and it may come.
    Awaited,
    /// It is here.
    #[default]
    Here,
    /// The other process has it for good.
    Given,
}

/// The custody of a process; clones are the same one. By default it is here, as where there is no other process.
#[derive(Clone, Debug, Default)]
pub struct Custody(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung when the standing is another, and when nobody holds it any more.
    bell: Condvar,
    /// Tells tasks of the standing.
    told: watch::Sender<Standing>,
}

#[derive(Debug, Default)]
struct State {
    standing: Standing,
    holds: usize,
}

/// Keeps the custody here for as long as it lives.
#[derive(Debug)]
#[must_use = "what is written is written while it is held"]
pub struct Hold(Custody);

impl Custody {
    /// Of a process that is to take over from another one.
    pub fn awaited() -> Self {
        let custody = Self::default();
        custody.settle(Standing::Awaited);
        custody
    }

    /// Waits until it is here, and holds it. `None`: it never will be any more.
    pub fn hold(&self) -> Option<Hold> {
        let mut state = self.state();
        while state.standing == Standing::Awaited {
            state = self
                .0
                .bell
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.held(&mut state)
    }

    /// Holds it if it is here.
    pub fn try_hold(&self) -> Option<Hold> {
        self.held(&mut self.state())
    }

    /// As [`Self::hold`], for a task.
    pub async fn to_hold(&self) -> Option<Hold> {
        let mut told = self.0.told.subscribe();
        loop {
            // The sender lives as long as this does.
            let _ = told
                .wait_for(|standing| *standing != Standing::Awaited)
                .await;
            if let Some(hold) = self.try_hold() {
                return Some(hold);
            }
            if *told.borrow_and_update() == Standing::Given {
                return None;
            }
        }
    }

    /// Waits until it is here; for ever if it never will be.
    pub async fn is_here(&self) {
        self.becomes(|standing| standing == Standing::Here).await;
    }

    /// Waits until it is wanted by the other process, or gone.
    pub async fn is_wanted(&self) {
        self.becomes(|standing| standing != Standing::Here).await;
    }

    /// Waits until it is given up.
    pub async fn is_given(&self) {
        self.becomes(|standing| standing == Standing::Given).await;
    }

    /// Whether it is given up.
    pub fn was_given(&self) -> bool {
        self.state().standing == Standing::Given
    }

    /// Takes it, for the first time or back.
    pub fn take(&self) {
        self.settle(Standing::Here);
    }

    /// Leaves it to the other process, which has it for good.
    pub fn give_up(&self) {
        self.settle(Standing::Given);
    }

    /// Lends it to the other process: nobody is given a hold from here on. Waits until nobody has one; whether that came within
    /// `patience`. If not, it is here as before.
    pub fn lend(&self, patience: Duration) -> bool {
        self.settle(Standing::Awaited);
        let end = Instant::now() + patience;
        let mut state = self.state();
        while state.holds > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                self.take();
                return false;
            }
            let waited = self.0.bell.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    async fn becomes(&self, wanted: impl Fn(Standing) -> bool) {
        let mut told = self.0.told.subscribe();
        let _ = told.wait_for(|standing| wanted(*standing)).await;
    }

    fn held(&self, state: &mut State) -> Option<Hold> {
        (state.standing == Standing::Here).then(|| {
            state.holds += 1;
            Hold(self.clone())
        })
    }

    fn settle(&self, standing: Standing) {
        let mut state = self.state();
        // What was given up does not come back.
        if state.standing != Standing::Given {
            state.standing = standing;
            self.0.told.send_replace(standing);
            self.0.bell.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let custody = &self.0;
        custody.state().holds -= 1;
        custody.0.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::Custody;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn it_is_lent_when_nobody_holds_it_any_more() {
        let custody = Custody::default();
        let hold = custody.hold().expect("custody");
        assert!(!custody.lend(Duration::ZERO), "it is held");
        assert!(
            custody.try_hold().is_some(),
            "what could not be lent is here"
        );
        let lender = custody.clone();
        let lent = thread::spawn(move || lender.lend(LONG));
        // From when it is wanted on, nobody is given it.
        while custody.try_hold().is_some() {
            thread::yield_now();
        }
        drop(hold);
        assert!(lent.join().expect("a thread"));
        assert!(custody.try_hold().is_none());
        custody.take();
        assert!(custody.hold().is_some());
    }

    #[test]
    fn who_waits_for_it_goes_on_when_it_comes_and_ends_when_it_is_given_up() {
        let custody = Custody::awaited();
        assert!(custody.to_hold().now_or_never().is_none());
        let waiting = custody.clone();
        let waiting = thread::spawn(move || waiting.hold().is_some());
        custody.take();
        assert!(waiting.join().expect("a thread"));
        assert!(custody.to_hold().now_or_never().flatten().is_some());
        assert!(custody.lend(LONG));
        let waiting = custody.clone();
        let waiting = thread::spawn(move || waiting.hold().is_none());
        custody.give_up();
        assert!(waiting.join().expect("a thread"));
        assert!(custody.to_hold().now_or_never().expect("an end").is_none());
        custody.take();
        assert!(custody.was_given(), "it does not come back");
    }
}
