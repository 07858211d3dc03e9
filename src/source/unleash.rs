//! Servers that speak Unleash's client API: what is Unleash's own about following one.
//!
//! `client` asks for flags and streams, and `deltas` reads what a stream says. The `reporter` reports to the server who
//! asks it (`identity`) and how its flags are used, from what the `meter_reader` reads off the meters and what `clients`
//! report, in the words of `wire`.

mod client;
mod clients;
mod deltas;
mod identity;
mod meter_reader;
mod reporter;
mod wire;

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::feed::follower::{Follower, FollowerSetup};
use crate::config::unleash::UnleashConfig;
use client::Client;
use identity::Identity;
use reporter::Reporter;

pub use clients::{ClientUses, Reported};

/// Begins to follow a server, and to report to it, by tasks on the runtime `control`. A message on `last_wish` asks for a
/// last report.
///
/// # Errors
/// When the system has no certificates to know servers by, and one is needed.
pub(super) fn follow(
    config: &UnleashConfig,
    follower: FollowerSetup,
    uses: Arc<ClientUses>,
    last_wish: mpsc::Receiver<oneshot::Sender<()>>,
    control: &Handle,
) -> io::Result<Vec<AbortHandle>> {
    let (config, identity) = (Arc::new(config.clone()), Identity::new());
    let client = Client::new(&config, &identity)?;
    let publisher = follower.publisher.clone();
    let reports = client.clone();
    let reporter = Reporter::new(config, reports, identity, &publisher, uses, last_wish);
    let follower = control.spawn(Follower::new(follower, client).run());
    let reporter = control.spawn(reporter.run());
    Ok(vec![follower.abort_handle(), reporter.abort_handle()])
}
