//! Which of a listener's connections wait for their clients, and which of them makes room for a new one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    open: Mutex<Vec<Arc<Place>>>,
    order: Arc<WaitingOrder>,
}

/// Who began to wait before whom.
#[derive(Debug, Default)]
struct WaitingOrder {
    next: AtomicU64,
    /// Rung when a connection ends, or begins to wait.
    changed: Notify,
}

/// One of them, as those see it who know what it is doing.
#[derive(Debug)]
pub(super) struct Place {
    is_local: bool,
    /// When it began to wait for its client, in [`WaitingOrder`]; 0: the gateway is at work for it.
    waits_since: AtomicU64,
    lost: Notify,
    order: Arc<WaitingOrder>,
}

/// A place that is held; dropped, it is free.
#[derive(Debug)]
pub(super) struct Claim {
    place: Arc<Place>,
    places: Arc<Places>,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
            order: Arc::default(),
        })
    }

    /// A place for a new connection, whose client is waited for. Where there is none left, the client that has been
    /// waited for longest loses its own, those on this machine after all others; as long as the gateway is at work for
    /// every one, the newcomer waits.
    pub(super) async fn take(self: &Arc<Self>, is_local: bool) -> Claim {
        loop {
            if let Some(claim) = self.try_take(is_local) {
                return claim;
            }
            // A ring that came between the two is kept.
            self.order.changed.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>, is_local: bool) -> Option<Claim> {
        let mut open = self.lock();
        if open.len() >= self.most {
            let waiting = open.iter().enumerate().filter_map(|(index, place)| {
                let since = place.waits_since.load(Ordering::Acquire);
                (since != 0).then_some(((place.is_local, since), index))
            });
            let (_, longest) = waiting.min()?;
            open.remove(longest).lost.notify_one();
        }
        let place = Arc::new(Place {
            is_local,
            waits_since: AtomicU64::new(0),
            lost: Notify::new(),
            order: self.order.clone(),
        });
        place.waits();
        open.push(place.clone());
        Some(Claim {
            place,
            places: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The client has said what it wants.
    pub(super) fn works(&self) {
        self.waits_since.store(0, Ordering::Release);
    }

    /// The client is waited for; since when, if it already was.
    pub(super) fn waits(&self) {
        if self.waits_since.load(Ordering::Acquire) == 0 {
            let now = self.order.next.fetch_add(1, Ordering::Relaxed) + 1;
            self.waits_since.store(now, Ordering::Release);
            self.order.changed.notify_one();
        }
    }
}

impl Claim {
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Comes true when another connection has been given the place.
    pub(super) async fn is_lost(&self) {
        self.place.lost.notified().await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = self.places.lock();
        open.retain(|place| !Arc::ptr_eq(place, &self.place));
        drop(open);
        self.places.order.changed.notify_one();
    }
}
