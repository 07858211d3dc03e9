//! What is written to flag servers: canaries are recorded, and rings switched.

use std::time::Duration;

use tokio::time::Instant;

use super::FlagServers;
use crate::source::unleash::{Recorder, RingChange, SwitchError, SwitchedRing};

/// How long a server may take to tell its clients of a change; Unleash takes up to 1.5 s.
const TELLING: Duration = Duration::from_secs(4);
/// How often it is asked meanwhile.
const ASKING: Duration = Duration::from_millis(200);

impl FlagServers {
    /// Records canaries, on the first server with an `admin_token`.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Switches a ring of a server's flag there, and returns when this gateway decides by it, or when that takes too long;
    /// `dry`: only says whether that would change anything.
    ///
    /// # Errors
    /// When it was not switched.
    pub async fn switch_ring(
        &self,
        server: &str,
        (flag, ring): (&str, &str),
        change: &RingChange,
        dry: bool,
    ) -> Result<SwitchedRing, SwitchError> {
        let administrator = self
            .lock()
            .iter()
            .find(|followed| **followed.config.name() == *server)
            .map(|followed| followed.administrator.clone())
            .ok_or_else(|| SwitchError::NoServer(server.to_owned()))?;
        let administrator = administrator.ok_or_else(|| SwitchError::NoToken {
            server: server.to_owned(),
            ring: ring.to_owned(),
        })?;
        let before = self.setup.publisher.store().load().digest;
        let mut switched = administrator.switch_ring(flag, ring, change, dry).await?;
        if switched.is_changed && !dry {
            tracing::info!(%flag, %ring, source = %server, ?change, "switched a ring in Unleash");
            switched.is_in_force = self.await_change(server, before).await;
        }
        Ok(switched)
    }

    /// Asks a server until something that decides has changed. Returns whether it has.
    async fn await_change(&self, server: &str, before: crate::digest::Digest) -> bool {
        let end = Instant::now() + TELLING;
        loop {
            // What is wrong with the server stands in its status.
            let asked = self.refresh(server).await;
            if self.setup.publisher.store().load().digest != before {
                return true;
            }
            if asked.is_err() || Instant::now() > end {
                return false;
            }
            tokio::time::sleep(ASKING).await;
        }
    }
}
