//! What a worker's thread keeps for itself, and the rules that hold for all of it.
//!
//! A worker is one thread with one single-threaded runtime. Its tables are thread-locals, so that nothing on a request's
//! way takes a lock, and so that the sweep finds them without being handed anything:
//!
//! | table | in | keyed by | who looks through it |
//! |---|---|---|---|
//! | deadlines of sockets | [`super::deadlines`] | place (held by its `DeadlineGuard`) | the sweep |
//! | tasks that sleep | [`super::timer`] | place (held by its `SweepTimer`) | the sweep |
//! | requests in a service's queue | [`super::queue`] | order of coming | the sweep, and each request that leaves the service |
//! | upstreams' connections at rest | `pingora::idle` | the socket's number | the sweep, and the next user of the socket |
//! | bodies on their way upstream | `pingora::uploads` | place (held by its `Upload`) | the sweep |
//! | requests under way on canaries | `pingora::under_way` | place (held by its `UnderWayGuard`) | the sweep |
//! | makers of connections | `pingora::connect` | the service's meter | every attempt |
//! | certificates for upstreams | `pingora::upstream_tls` | what a service states of TLS | every attempt over TLS |
//!
//! Beside them stands one task-local: the connection that a task serves, over HTTP/1, where a task serves one
//! (`ClientConnection::current` in [`super::client`]). Over HTTP/2 a task serves one request, and `current` is `None`.
//!
//! The rules:
//!
//! 1. **Guards stay on their thread.** A guard names a place in its own thread's table; dropped elsewhere, it would free
//!    another's. No future of a connection ever leaves its worker, since its runtime has one thread.
//! 2. **A guard ends before its socket**, unless it knows both addresses of the connection
//!    (`deadlines::ConnectionAddrs`). A number goes to the next socket as soon as one is closed; between a look and a
//!    `shutdown` nothing can be closed, because both happen on the one thread that closes. Where pingora may close a
//!    socket without our doing, the sweep compares the addresses first, and leaves the number alone if it connects others.
//! 3. **A table that is keyed by numbers knows whose the number was**: an entry holds a weak reference to the
//!    connection's owner, and one that cannot be upgraded, or is another's, stands for a connection that has gone.
//! 4. **No table is borrowed across a wait, nor while something else is called that may borrow it**: wakers are taken out
//!    first and woken after the borrow has ended.
//! 5. **Only the sweep acts on time.** Nothing here sets a timer with the runtime; what is due is noticed up to one
//!    interval late ([`super::sweep::SWEEP_INTERVAL`]).
//!
//! `tests/it/floors.rs` holds this list to be complete.

/// Values at places that stay theirs; places that became free are used again.
#[derive(Debug)]
pub(super) struct Slots<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Puts a value in a free place.
    pub(super) fn insert(&mut self, value: T) -> usize {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index)
        {
            *place = Some(value);
            return index;
        }
        self.places.push(Some(value));
        self.places.len() - 1
    }

    /// The value at a place.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.places.get_mut(index)?.as_mut()
    }

    /// Frees a place.
    pub(super) fn remove(&mut self, index: usize) {
        if let Some(place) = self.places.get_mut(index) {
            *place = None;
            self.free.push(index);
        }
    }

    /// Whether every place is free.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// All values.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn places_stay_and_are_used_again() {
        let mut slots = Slots::default();
        let (a, b) = (slots.insert('a'), slots.insert('b'));
        slots.remove(a);
        assert_eq!(slots.get_mut(a), None);
        assert_eq!(slots.get_mut(b), Some(&mut 'b'));
        assert_eq!(slots.insert('c'), a);
        assert!(slots.iter_mut().map(|each| *each).eq(['c', 'b']));
        slots.remove(a);
        slots.remove(b);
        assert!(slots.is_empty() && slots.get_mut(7).is_none());
        assert_eq!(slots.places.len(), 2);
    }
}
