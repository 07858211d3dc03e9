//! The thread that makes snapshots. All are made on one thread, since each thread has a heap of its own: what one allocates and another
//! frees stays with the first until that allocates again, and of threads that seldom do, each would keep several snapshots' worth.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::sync::oneshot;

use super::builder::SnapshotBuilder;
use super::{PublishError, Stopped};

/// Something that the thread is to do.
type Job = Box<dyn FnOnce(&mut SnapshotBuilder) + Send>;

/// The way to the thread, which ends when nobody can send it anything any more; clones lead to the same one.
#[derive(Clone, Debug)]
pub(super) struct SnapshotThread(Sender<Job>);

impl SnapshotThread {
    /// Starts it.
    pub(super) fn start(mut builder: SnapshotBuilder) -> Self {
        let (jobs, received) = channel::<Job>();
        let started = thread::Builder::new()
            .name("serin-snapshots".to_owned())
            .spawn(move || received.into_iter().for_each(|job| job(&mut builder)));
        if let Err(error) = started {
            // Every update says so, too: it is refused.
            tracing::error!("no snapshot can be made, since no thread can be started: {error}");
        }
        Self(jobs)
    }

    /// Has it do something, after all that it was asked for before.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SnapshotBuilder) -> T + Send + 'static,
    ) -> Result<T, PublishError> {
        let (answer, answered) = oneshot::channel();
        let job = move |builder: &mut SnapshotBuilder| {
            // Whoever asked may have gone away.
            drop(answer.send(catch_unwind(AssertUnwindSafe(|| work(builder)))));
        };
        self.0.send(Box::new(job)).map_err(|_| Stopped)?;
        let done = answered.await.map_err(|_| Stopped)?;
        done.map_err(|panic| {
            let why = message(&*panic);
            tracing::error!("a snapshot could not be made: {why}; what runs stays");
            PublishError::Failed(why.into())
        })
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message")
}
