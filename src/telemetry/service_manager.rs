//! Messages to the service manager: systemd's notification protocol, sd_notify(3).
//!
//! Without `NOTIFY_SOCKET` in the environment, as in a container or on a terminal, nothing is said to anybody.

use sd_notify::NotifyState;

/// The service manager that this process runs under, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ServiceManager(());

impl ServiceManager {
    /// `None`: no service manager started this process.
    pub fn of_this_process() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET").map(|_| Self(()))
    }

    /// Traffic is taken: after the start, and after every reload, however it went.
    pub fn ready(self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The configuration is read again; [`Self::ready`] must follow.
    pub fn reloading(self) {
        // `Type=notify-reload` (systemd 253 and later) wants to know when; earlier ones pass over it.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// Another process of the service serves from now on: `pid`, which says so itself.
    pub fn is_served_by(self, pid: u32) {
        tell(&[NotifyState::MainPid(pid)]);
    }

    /// The process drains and will end.
    pub fn stopping(self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }
}

/// Sends one datagram. A service manager that cannot be told is no reason to stop serving.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
