//! Requests that wait for their turn at a service (`queue`): each is a task at rest, which holds no thread.
//!
//! What ends wakes the next one of its own worker at once; requests of other workers look again at their worker's next
//! sweep. So nothing is shared between workers but the service's counts.
//!
//! The rules of [`super::worker_local`] hold.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::capacity::LoadPolicy;
use crate::meter::ServiceMeter;
use crate::meter::load::{Admission, Bound, Room, Waiting};

thread_local! {
    static QUEUE: RefCell<VecDeque<QueuedRequest>> = RefCell::default();
}

/// A request in the queue, in the order of coming.
struct QueuedRequest {
    meter: *const ServiceMeter,
    waker: Waker,
}

/// A request that has been let in; its end lets the next one in.
#[derive(Debug)]
pub struct Admitted(Option<Admission>);

impl Admitted {
    /// Lets a request in, if there is room and no other waits for it; else says what is full.
    pub(super) fn at_once(meter: &Arc<ServiceMeter>, room: Room) -> Result<Self, Bound> {
        let admission = Admission::enter(meter, room)?;
        if meter.load.queued() > 0 {
            // Those who came before go first.
            return Err(Bound::Requests);
        }
        Ok(Self(Some(admission)))
    }

    /// Lets a request in when its turn has come; says what is full if that takes too long, or too many wait.
    pub(super) async fn in_turn(
        meter: &Arc<ServiceMeter>,
        room: Room,
        policy: &LoadPolicy,
    ) -> Result<Self, Bound> {
        let Some(_waiting) = Waiting::in_queue(meter, policy.queue) else {
            // It may just have become free, and no request waits.
            return Admission::enter(meter, room).map(|admission| Self(Some(admission)));
        };
        let until = Instant::now() + policy.wait;
        poll_fn(|cx| match Admission::enter(meter, room) {
            Ok(admission) => Poll::Ready(Ok(Self(Some(admission)))),
            Err(bound) if Instant::now() >= until => Poll::Ready(Err(bound)),
            Err(_) => {
                let queued = QueuedRequest {
                    meter: Arc::as_ptr(meter),
                    waker: cx.waker().clone(),
                };
                QUEUE.with_borrow_mut(|queue| queue.push_back(queued));
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some(admission) = self.0.take() else {
            return;
        };
        let meter = admission.meter().clone();
        drop(admission);
        if meter.load.queued() > 0 {
            wake_next(Arc::as_ptr(&meter));
        }
    }
}

fn wake_next(meter: *const ServiceMeter) {
    let next = QUEUE.with_borrow_mut(|queue| {
        let index = queue.iter().position(|queued| queued.meter == meter)?;
        queue.remove(index)
    });
    if let Some(queued) = next {
        queued.waker.wake();
    }
}

/// Wakes all requests that wait, in order: those for whom there is no room yet queue again.
pub(super) fn look_again() {
    let queue = QUEUE.take();
    queue.into_iter().for_each(|queued| queued.waker.wake());
}
