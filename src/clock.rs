//! The one place where the calendar is read; everything below takes the moment as an argument.
//!
//! The clock runs evenly from the process's start. When the system's calendar is set, forward or back, this clock
//! follows only when [`follow`] says so: what has a time to run, a lease, gets the step beforehand. Time in which the machine was
//! suspended has passed like any other.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::context::Moment;

/// When the process first asked, and what the calendar said then.
static START: LazyLock<(Instant, i64)> = LazyLock::new(|| {
    LazyLock::force(&UP_BEFORE_MS);
    (Instant::now(), calendar_ms())
});
/// For how long the machine had been up by then, if it says so.
static UP_BEFORE_MS: LazyLock<Option<i64>> = LazyLock::new(machine_up_ms);
/// By how much the clock was moved since.
static MOVED_MS: AtomicI64 = AtomicI64::new(0);
/// The part of that that was steps, which what has a time to run follows.
static STEPPED_MS: AtomicI64 = AtomicI64::new(0);
/// How long the machine has been suspended since the process first asked.
static SUSPENDED_MS: AtomicI64 = AtomicI64::new(0);

/// What is shorter is no suspension: the clocks that tell of it are not read at one moment.
const SUSPENSION_MS: i64 = 1_000;

/// A moment, and by how much the calendar had been set by then since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The moment.
    pub moment: Moment,
    /// The sum of all steps.
    pub moved_ms: i64,
}

/// Now.
pub fn now() -> Moment {
    reading().moment
}

/// Now, for what has a time to run whatever the calendar does.
pub fn reading() -> Reading {
    let (start, calendar) = *START;
    let moved_ms = MOVED_MS.load(Ordering::Relaxed);
    Reading {
        moment: Moment {
            unix_ms: calendar
                .saturating_add(ms_since(start))
                .saturating_add(moved_ms),
        },
        moved_ms: STEPPED_MS.load(Ordering::Relaxed),
    }
}

/// How long the process has been running, by no calendar.
pub fn uptime_ms() -> i64 {
    ms_since(START.0).saturating_add(SUSPENDED_MS.load(Ordering::Relaxed))
}

/// Adds the time in which the machine was suspended, which has truly passed: leases run out in it.
pub fn catch_up() {
    let suspended = suspended_ms().unwrap_or_default();
    let more = suspended.saturating_sub(SUSPENDED_MS.load(Ordering::Relaxed));
    if more >= SUSPENSION_MS {
        SUSPENDED_MS.fetch_add(more, Ordering::Relaxed);
        adjust(more);
    }
}

/// How far this machine's calendar is ahead of this clock.
pub fn drift_ms() -> i64 {
    calendar_ms().saturating_sub(now().unix_ms)
}

/// Moves the clock by as little as clocks differ: a lease ends at its moment all the same.
pub fn adjust(by_ms: i64) {
    MOVED_MS.fetch_add(by_ms, Ordering::Relaxed);
}

/// Moves the clock by a step, and with it the end of all that has a time to run.
pub fn follow(step_ms: i64) {
    // A reader in between takes an end for later, never for earlier.
    if step_ms > 0 {
        STEPPED_MS.fetch_add(step_ms, Ordering::SeqCst);
        MOVED_MS.fetch_add(step_ms, Ordering::SeqCst);
    } else {
        MOVED_MS.fetch_add(step_ms, Ordering::SeqCst);
        STEPPED_MS.fetch_add(step_ms, Ordering::SeqCst);
    }
}

fn ms_since(start: Instant) -> i64 {
    let elapsed = start.elapsed();
    let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_mul(1000) + i64::from(elapsed.subsec_millis())
}

/// For how long the machine has been suspended since the process first asked: it was up for longer than the process's own clock,
/// which stands still meanwhile, says.
fn suspended_ms() -> Option<i64> {
    let running_ms = ms_since(START.0);
    let up_ms = machine_up_ms()?.saturating_sub((*UP_BEFORE_MS)?);
    Some(up_ms.saturating_sub(running_ms))
}

/// For how long the machine has been up, suspended or not: the first number of `/proc/uptime`, in seconds.
fn machine_up_ms() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let (seconds, hundredths): (i64, i64) = (seconds.parse().ok()?, hundredths.parse().ok()?);
    seconds.checked_mul(1_000)?.checked_add(hundredths * 10)
}

fn calendar_ms() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
