//! Servers that speak Unleash's client API: what is Unleash's own about following one.
//!
//! `client` asks for flags and streams, and `deltas` reads what a stream says. The `reporter` reports to the server who
//! asks it (`identity`) and how its flags are used, from what the `meter_reader` reads off the meters and what `clients`
//! report, in the words of `wire`.
//!
//! Where a token may write there (`admin_api`, `admin_flag`), the `recorder` records canaries, and `rings` switches theirs.

mod admin_api;
mod admin_flag;
mod client;
mod clients;
mod deltas;
mod identity;
mod meter_reader;
mod recorder;
mod reporter;
mod rings;
mod wire;

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::SourceStatus;
use super::feed::follower::{Follower, FollowerSetup};
use crate::config::unleash::UnleashConfig;
use admin_api::AdminApi;
use client::Client;
use identity::Identity;
use reporter::Reporter;

pub use clients::{ClientUses, Reported};
pub use recorder::{CanaryRecord, Recorder, Standing};
pub use rings::{RingChange, SwitchError, SwitchedRing};

/// What is there to write to a server; without a token for it, it can only be followed.
#[derive(Clone, Debug)]
pub(super) struct Administrator(AdminApi);

impl Administrator {
    /// For one server. If canaries are to be recorded there, the recorder does so from here on.
    ///
    /// # Errors
    /// When the system has no certificates to know servers by, and one is needed.
    pub(super) fn new(
        config: &UnleashConfig,
        status: &Arc<SourceStatus>,
        recorder: &Recorder,
    ) -> io::Result<Option<Self>> {
        let Some(admin) = &config.admin else {
            return Ok(None);
        };
        let api = AdminApi::new(config, admin)?;
        if admin.is_recorder {
            recorder.record_on(config, api.clone(), status.clone());
        }
        Ok(Some(Self(api)))
    }

    /// Switches a ring of a flag there; `dry`: only says whether that would change anything.
    pub(super) async fn switch_ring(
        &self,
        flag: &str,
        ring: &str,
        change: &RingChange,
        dry: bool,
    ) -> Result<SwitchedRing, SwitchError> {
        rings::switch(&self.0, flag, ring, change, dry).await
    }
}

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
