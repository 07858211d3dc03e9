//! Who tells a gateway to end: signals, or the program that it is part of.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::upgrade::Launcher;
use crate::audit::actor::Actor;
use crate::reload::{ReloadTrigger, Reloader};

/// What tells the gateway to end.
pub(super) enum StopSignal {
    Signals(Signals),
    Program(oneshot::Receiver<()>),
}

/// How the end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A load balancer is to be given time to notice: on SIGTERM.
    Announced,
    /// Somebody who presses Ctrl-C is waiting.
    AtOnce,
    /// Another process has taken over.
    Replaced,
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl StopSignal {
    /// Takes the signals over, unless a program is to stop the gateway.
    pub(super) fn new(stop: Option<oneshot::Receiver<()>>) -> io::Result<Self> {
        Ok(match stop {
            None => Self::Signals(Signals::new()?),
            Some(stop) => Self::Program(stop),
        })
    }

    /// Waits for the end, and starts a process that takes over when that is wanted.
    pub(super) async fn end(&mut self, reloader: &Arc<Reloader>, launcher: &Launcher) -> End {
        match self {
            Self::Signals(signals) => signals.end(reloader, launcher).await,
            Self::Program(stop) => {
                // An error is a program that has gone: the end as well.
                let _ = stop.await;
                End::AtOnce
            }
        }
    }

    /// Waits for a second signal: the operator has lost patience.
    pub(super) async fn again(&mut self) {
        match self {
            Self::Signals(signals) => signals.again().await,
            Self::Program(_) => std::future::pending().await,
        }
    }
}

impl Signals {
    /// Takes the signals over from the system, whose answer to each is to end the process.
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the end; until then reloads on SIGHUP, and starts a process that takes over on SIGUSR2.
    async fn end(&mut self, reloader: &Arc<Reloader>, launcher: &Launcher) -> End {
        let mut launch: Option<JoinHandle<()>> = None;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return End::Announced,
                _ = self.interrupt.recv() => return End::AtOnce,
                _ = self.upgrade.recv() => {
                    if launch.as_ref().is_some_and(|launch| !launch.is_finished()) {
                        tracing::warn!("a new process is being started already: this SIGUSR2 starts no other");
                    } else {
                        launch = Some(tokio::spawn(launcher.clone().launch()));
                    }
                }
                _ = self.hangup.recv() => {
                    let reloader = reloader.clone();
                    // How it went is logged, counted and shown by the reloader itself.
                    tokio::spawn(async move {
                        let own = Actor::gateway();
                        reloader.reload(ReloadTrigger::Signal, own).await.is_ok()
                    });
                }
            }
        }
    }

    async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
