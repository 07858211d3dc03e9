//! How far the gateway has come on its way to its end: one stage, set in one place, on which every part waits that has
//! to do something about it.
//!
//! | stage | who does what |
//! |---|---|
//! | [`Stage::Serving`] | everything takes requests |
//! | [`Stage::Announced`] | `/readyz` says 503, so that load balancers go elsewhere; every response is its connection's last; streams of the client API end; HTTP/2 connections get GOAWAY |
//! | [`Stage::Draining`] | the acceptor takes no further connection and hands over those that the kernel has accepted; workers close connections without a request |
//! | [`Stage::Cut`] | workers drop the connections that are left, and end |
//! | [`Stage::Ended`] | the admin API answers its last requests and ends |
//!
//! A gateway whose sockets another process has taken over ([`Drain::hand_over`]) accepts no further connection from then on, and leaves
//! those that wait to that one; then it goes through the stages as any other.
//!
//! Stages only go forward. The composition root (`gateway`) and `proxy::workers` advance them; all others look or wait.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

/// A stage of the end, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everything takes requests.
    #[default]
    Serving,
    /// The end is near: clients should go elsewhere.
    Announced,
    /// Nothing is accepted any more; requests under way go on.
    Draining,
    /// The time for requests is over.
    Cut,
    /// Traffic has ended.
    Ended,
}

/// Moves the stage on. Dropping it is the end, too.
#[derive(Debug, Default)]
pub struct Drain {
    stage: watch::Sender<Stage>,
    /// The sockets that another process has taken over; `None`: there is no such process.
    handed_over: watch::Sender<Option<Arc<[SocketAddr]>>>,
}

/// Looks at the stage, and waits for later ones.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    stage: watch::Receiver<Stage>,
    handed_over: watch::Receiver<Option<Arc<[SocketAddr]>>>,
}

impl Drain {
    /// Moves on to a stage. An earlier one than the current changes nothing.
    pub fn advance(&self, stage: Stage) {
        self.stage.send_if_modified(|current| {
            let later = stage > *current;
            if later {
                *current = stage;
            }
            later
        });
    }

    /// For a part that has to react.
    pub fn watch(&self) -> DrainWatch {
        DrainWatch {
            stage: self.stage.subscribe(),
            handed_over: self.handed_over.subscribe(),
        }
    }

    /// Leaves accepting to another process, which has the sockets that are bound to `addresses`.
    pub fn hand_over(&self, addresses: Arc<[SocketAddr]>) {
        self.handed_over.send_replace(Some(addresses));
    }
}

impl DrainWatch {
    /// Whether the stage, or a later one, has been reached.
    #[inline]
    pub fn has_reached(&self, stage: Stage) -> bool {
        *self.stage.borrow() >= stage
    }

    /// Waits until the stage, or a later one, has been reached.
    pub async fn reached(&mut self, stage: Stage) {
        // An error is a dropped `Drain`: the process is ending without stages.
        let _ = self.stage.wait_for(|current| *current >= stage).await;
    }

    /// Waits until nothing is to be accepted any more: another process does it, or nobody.
    pub async fn ends_accepting(&mut self) {
        let Self { stage, handed_over } = self;
        tokio::select! {
            _ = stage.wait_for(|current| *current >= Stage::Draining) => {}
            _ = handed_over.wait_for(Option::is_some) => {}
        }
    }

    /// Whether another process has taken over the socket that is bound to this address.
    pub fn is_handed_over(&self, address: SocketAddr) -> bool {
        let addresses = self.handed_over.borrow();
        addresses
            .as_ref()
            .is_some_and(|addresses| addresses.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::{Drain, Stage};

    #[test]
    fn stages_go_forward_only_and_wake_those_who_wait() {
        let drain = Drain::default();
        let mut watch = drain.watch();
        assert!(!watch.has_reached(Stage::Announced));
        assert!(watch.reached(Stage::Draining).now_or_never().is_none());
        drain.advance(Stage::Cut);
        drain.advance(Stage::Announced);
        for stage in [
            Stage::Serving,
            Stage::Announced,
            Stage::Draining,
            Stage::Cut,
        ] {
            assert!(watch.has_reached(stage), "{stage:?}");
            assert!(watch.reached(stage).now_or_never().is_some(), "{stage:?}");
        }
        assert!(!watch.has_reached(Stage::Ended));
    }

    #[test]
    fn a_part_that_waits_ends_with_a_drain_that_is_dropped() {
        let drain = Drain::default();
        let mut watch = drain.watch();
        drop(drain);
        assert!(watch.reached(Stage::Ended).now_or_never().is_some());
    }
}
