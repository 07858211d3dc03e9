//! The admin listeners of a gateway: bound before anything else starts, served until it has drained.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::sockets::{AdminSockets, addresses, tell};
use crate::admin::{self, AdminState};
use crate::clock;
use crate::config::{self, OnUnset};
use crate::drain::{DrainWatch, Stage};
use crate::reload::Compile;
use crate::source::environment::NoEnvironment;

/// An admin API that is served.
pub(super) struct AdminServer {
    /// Where the API is, in the configuration's order.
    pub(super) addresses: Vec<SocketAddr>,
    ended: oneshot::Receiver<()>,
}

impl AdminServer {
    /// Serves the API by a task on the runtime that this is called on.
    pub(super) fn start(
        sockets: AdminSockets,
        state: AdminState,
        mut drain: DrainWatch,
    ) -> io::Result<Self> {
        let (api, probes) = (addresses(&sockets.api)?, addresses(&sockets.probes)?);
        let listeners = admin::Listeners {
            api: asynchronous(sockets.api)?,
            probes: asynchronous(sockets.probes)?,
        };
        let (done, ended) = oneshot::channel();
        tokio::spawn(async move {
            let stopped = async move { drain.reached(Stage::Ended).await };
            admin::serve(listeners, state, stopped).await;
            // Fails when the process ends in another way, without `finish`.
            let _ = done.send(());
        });
        tell("admin", &api);
        tell("probes", &probes);
        Ok(Self {
            addresses: api,
            ended,
        })
    }

    /// Waits for the requests under way to end once the gateway has ended, as long as `patience` lasts.
    pub(super) async fn finish(self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.ended).await;
    }
}

/// Compiles texts that are sent to be checked, without this process's variables and files.
pub(super) fn check() -> Arc<Compile> {
    Arc::new(|text| config::compile(text, &NoEnvironment, OnUnset::StandIn, clock::now()))
}

fn asynchronous(sockets: Vec<TcpListener>) -> io::Result<Vec<tokio::net::TcpListener>> {
    let sockets = sockets.into_iter().map(tokio::net::TcpListener::from_std);
    sockets.collect()
}
