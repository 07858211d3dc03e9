//! What a worker does again and again beside serving: one look, every [`SWEEP_INTERVAL`], through all that was put off.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::serving::ServeHttp;
use super::{deadlines, queue, timer};

/// How late, at most, a deadline is noticed.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

/// Sweeps whenever `tick` says so, for as long as its worker runs.
pub(super) async fn sweep<S: ServeHttp>(tick: Arc<Notify>, server: Arc<S>) {
    loop {
        tick.notified().await;
        let now = Instant::now();
        deadlines::expire(now);
        server.sweep(now);
        timer::ring(now);
        queue::look_again();
    }
}

/// Tells sweeps to look, from a thread of its own, until the last of them is gone. A timer of tokio's in a worker would
/// be much simpler, and make it read the clock and look through its timers whenever it waits: twice a request.
pub(super) fn tick(mut sweeps: Vec<Weak<Notify>>) -> io::Result<()> {
    let told = |sweep: &Weak<Notify>| {
        let sweep = sweep.upgrade();
        sweep.is_some_and(|sweep| {
            sweep.notify_one();
            true
        })
    };
    let ticking = move || {
        while !sweeps.is_empty() {
            std::thread::sleep(SWEEP_INTERVAL);
            sweeps.retain(told);
        }
    };
    let thread = std::thread::Builder::new().name("serin-clock".to_owned());
    thread.spawn(ticking).map(drop)
}
