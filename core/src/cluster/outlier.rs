//! Outlier detection: an endpoint that keeps failing gets no requests for a while, as users' own requests show it.
//!
//! A failure may be the request's own: what one user's requests do must not take an endpoint from all the others. So of
//! the failures that one user's requests meet in a row, only the first counts, and where users are known it takes two of
//! them to eject. That no connection can be made is no request's doing: it counts whoever asked.
//!
//! An ejection ends in a trial: now and then one of the users' requests goes there, and three good answers bring the
//! endpoint back, slowly at first. A failure ejects it again, for longer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::phase::{Ejection, EjectionRule, Phase, PhaseCell, PhaseWord};
use super::policy::OutlierPolicy;
use super::window::Window;
use crate::canary::Cause;

/// How long an endpoint that is back gets less than its share, growing evenly.
pub const SLOW_START: Duration = Duration::from_secs(10);
/// The share that it begins with, in thousandths.
const FIRST_SHARE: u64 = 100;
/// Good answers in a row that end a trial.
const TRIALS: u32 = 3;
/// Between two requests that an endpoint on trial gets, in milliseconds.
const TRIAL_PAUSE: u64 = 200;
/// How much later the user whose request failed there last gets one, in milliseconds: meanwhile others may show that it
/// was the request, however often that user asks.
const SUSPECT_PAUSE: u64 = 2000;
/// Whose failures it takes to eject, where users are known.
const WITNESSES: u32 = 2;
/// An ejection lasts at most this many times as long as the first.
const MOST_TIMES: u8 = 10;

/// What outlier detection knows of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Outlier {
    /// The first moment that anything was known at; times are counted from it.
    epoch: OnceLock<Instant>,
    phase: PhaseCell,
    /// Failures since the last good answer.
    consecutive: AtomicU32,
    /// Those of them that count.
    telling: AtomicU32,
    /// Stands for the user whose request failed last, of the users who are known; 0: there was none.
    last_failed: AtomicU64,
    window: Window,
    /// Good answers of the trial under way.
    good: AtomicU32,
    /// When the next request of a trial may go there.
    next_trial: AtomicU64,
}

/// What an endpoint may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutlierState {
    Full,
    /// This many thousandths of its share.
    Warming(u32),
    Trial,
    Ejected,
}

/// A failure, and whose request met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) failure: Cause,
    /// Stands for the user, if one is known and the request may have had a part in it.
    pub(super) user: Option<u64>,
}

impl Evidence {
    /// How many failures that count must there be.
    fn quorum(self) -> u32 {
        if self.user.is_some() { WITNESSES } else { 1 }
    }
}

/// What the end of an attempt calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Eject(EjectionRule, Cause),
    Return,
}

impl Outlier {
    fn millis(&self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_init(|| now);
        let since = now.saturating_duration_since(epoch);
        since.as_secs() * 1000 + u64::from(since.subsec_millis())
    }

    /// What an attempt that begins now sees, and must see again when it ends to say anything.
    pub(super) fn word(&self) -> PhaseWord {
        self.phase.load()
    }

    pub(super) fn fitness(&self, now: Instant) -> OutlierState {
        match self.phase.load().into() {
            Phase::Settled => OutlierState::Full,
            Phase::Ejected { until, .. } if self.millis(now) < until => OutlierState::Ejected,
            Phase::Ejected { .. } => OutlierState::Trial,
            Phase::Returned { since, .. } => {
                let age = self.millis(now).saturating_sub(since);
                let share = age * 1000 / SLOW_START.as_millis() as u64;
                if share >= 1000 {
                    OutlierState::Full
                } else {
                    OutlierState::Warming(share.max(FIRST_SHARE) as u32)
                }
            }
        }
    }

    /// The ejection that is in force or on trial, and how long it still lasts.
    pub(super) fn ejection(&self, now: Instant) -> Option<(Ejection, Duration)> {
        match self.phase.load().into() {
            Phase::Ejected { until, ejection } => {
                let left = until.saturating_sub(self.millis(now));
                Some((ejection, Duration::from_millis(left)))
            }
            Phase::Settled | Phase::Returned { .. } => None,
        }
    }

    /// Takes the turn to send a request of this user to an endpoint on trial; there is one every so often.
    pub(super) fn take_trial(&self, user: Option<u64>, now: Instant) -> bool {
        let millis = self.millis(now);
        let next = self.next_trial.load(Ordering::Relaxed);
        let is_suspect =
            user.is_some_and(|user| named(user) == self.last_failed.load(Ordering::Relaxed));
        millis >= next + if is_suspect { SUSPECT_PAUSE } else { 0 }
            && self
                .next_trial
                .compare_exchange(
                    next,
                    millis + TRIAL_PAUSE,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// How many attempts in a row have failed since anything about the endpoint changed.
    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.consecutive.load(Ordering::Relaxed)
    }

    /// Takes in how an attempt ended that began when `seen` stood. One that began before the last change says
    /// nothing about the time after it.
    pub(super) fn judge(
        &self,
        seen: PhaseWord,
        evidence: Option<Evidence>,
        policy: &OutlierPolicy,
        now: Instant,
    ) -> Option<Verdict> {
        if self.phase.load() != seen {
            return None;
        }
        let millis = self.millis(now);
        match (seen.into(), evidence) {
            // Stable is asked all the same when there is nothing better; its time is not cut short by that.
            (Phase::Ejected { until, .. }, _) if millis < until => None,
            // One user's failure alone says nothing: neither that it is ill still, nor that it is well.
            (Phase::Ejected { .. }, Some(evidence)) => {
                let telling = self.telling(evidence)?;
                let relapse = Verdict::Eject(EjectionRule::Relapse, evidence.failure);
                (telling >= evidence.quorum()).then_some(relapse)
            }
            (Phase::Ejected { .. }, None) => {
                let good = self.good.fetch_add(1, Ordering::Relaxed) + 1;
                (good >= TRIALS).then_some(Verdict::Return)
            }
            (Phase::Settled | Phase::Returned { .. }, Some(evidence)) => {
                let rule = self.count(evidence, millis, policy)?;
                Some(Verdict::Eject(rule, evidence.failure))
            }
            (Phase::Settled | Phase::Returned { .. }, None) => {
                self.window.count(millis, length(policy), false);
                // Nearly always it is 0 already, and a store would take the line from the other threads.
                if self.consecutive.load(Ordering::Relaxed) != 0 {
                    self.consecutive.store(0, Ordering::Relaxed);
                    self.telling.store(0, Ordering::Relaxed);
                }
                None
            }
        }
    }

    fn count(
        &self,
        evidence: Evidence,
        millis: u64,
        policy: &OutlierPolicy,
    ) -> Option<EjectionRule> {
        self.consecutive.fetch_add(1, Ordering::Relaxed);
        let telling = self.telling(evidence)?;
        self.window.count(millis, length(policy), true);
        let (most, quorum) = (policy.consecutive_failures, evidence.quorum());
        if most > 0 && telling >= most.max(quorum) {
            return Some(EjectionRule::ConsecutiveFailures);
        }
        let ratio = u64::from(policy.error_ratio.hundredths());
        let tally = self.window.tally(millis, length(policy));
        let too_many = ratio > 0
            && tally.failures >= u64::from(quorum)
            && tally.attempts >= u64::from(policy.min_requests)
            && tally.failures * 10_000 >= ratio * tally.attempts;
        too_many.then_some(EjectionRule::ErrorRatio)
    }

    /// How many failures count since the last good answer, this one included; `None`: this one does not.
    fn telling(&self, evidence: Evidence) -> Option<u32> {
        let is_repeated = evidence.user.is_some_and(|user| {
            let user = named(user);
            self.last_failed.swap(user, Ordering::Relaxed) == user
        });
        (!is_repeated).then(|| self.telling.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Ejects the endpoint, unless something has changed since `seen`.
    pub(super) fn eject(
        &self,
        seen: PhaseWord,
        (rule, failure): (EjectionRule, Cause),
        policy: &OutlierPolicy,
        now: Instant,
    ) -> bool {
        let millis = self.millis(now);
        let eject_for = policy.eject_for.as_millis() as u64;
        let earlier = match seen.into() {
            Phase::Settled => 0,
            Phase::Ejected { ejection, .. } => ejection.times,
            // One is forgiven for every `eject_for` that went well.
            Phase::Returned { since, times } => {
                let well = millis.saturating_sub(since) / eject_for.max(1);
                times.saturating_sub(u8::try_from(well).unwrap_or(u8::MAX))
            }
        };
        let times = earlier.saturating_add(1).min(MOST_TIMES);
        let ejected = Phase::Ejected {
            until: millis + eject_for * u64::from(times),
            ejection: Ejection {
                rule,
                failure,
                times,
            },
        };
        let done = self.phase.replace(seen, ejected);
        if done {
            self.start_anew();
        }
        done
    }

    /// Ends a trial that went well, unless something has changed since `seen`.
    pub(super) fn bring_back(&self, seen: PhaseWord, now: Instant) -> bool {
        let times = match seen.into() {
            Phase::Ejected { ejection, .. } => ejection.times,
            Phase::Returned { times, .. } => times,
            Phase::Settled => 0,
        };
        let since = self.millis(now);
        let done = self.phase.replace(seen, Phase::Returned { since, times });
        if done {
            self.start_anew();
        }
        done
    }

    /// Begins a slow start, as after an ejection, for an endpoint that is not ejected.
    pub(super) fn warm_up(&self, now: Instant) {
        let seen = self.phase.load();
        if !matches!(seen.into(), Phase::Ejected { .. }) {
            self.bring_back(seen, now);
        }
    }

    fn start_anew(&self) {
        self.consecutive.store(0, Ordering::Relaxed);
        self.telling.store(0, Ordering::Relaxed);
        self.last_failed.store(0, Ordering::Relaxed);
        self.good.store(0, Ordering::Relaxed);
        self.next_trial.store(0, Ordering::Relaxed);
        self.window.clear();
    }
}

/// What stands for a user here, where 0 stands for nobody.
fn named(user: u64) -> u64 {
    user.max(1)
}

/// How far back the error ratio looks, in milliseconds.
fn length(policy: &OutlierPolicy) -> u64 {
    policy.window.as_millis() as u64
}

#[cfg(test)]
mod tests;
