//! What becomes of handshakes.

use rustls::{HandshakeKind, ServerConnection};

use crate::meter::Counter;

/// What became of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// A new session.
    Full,
    /// A session that goes on, by a ticket.
    Resumed,
    /// The two ends did not agree, or the client went.
    Failed,
    /// The client took too long.
    TimedOut,
    /// The client spoke HTTP without TLS.
    NotTls,
}

impl Handshake {
    /// Everything that can become of one.
    pub const ALL: [Self; 5] = [
        Self::Full,
        Self::Resumed,
        Self::Failed,
        Self::TimedOut,
        Self::NotTls,
    ];

    /// Of one that has succeeded.
    pub fn of(session: &ServerConnection) -> Self {
        match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => Self::Resumed,
            _ => Self::Full,
        }
    }

    /// The name that metrics carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
            Self::NotTls => "not_tls",
        }
    }
}

/// How many handshakes ended in which way.
#[derive(Debug, Default)]
pub struct Handshakes {
    full: Counter,
    resumed: Counter,
    failed: Counter,
    timed_out: Counter,
    not_tls: Counter,
}

impl Handshakes {
    /// One more.
    pub fn count(&self, handshake: Handshake) {
        self.of(handshake).inc();
    }

    /// The figure of one way.
    pub fn of(&self, handshake: Handshake) -> &Counter {
        match handshake {
            Handshake::Full => &self.full,
            Handshake::Resumed => &self.resumed,
            Handshake::Failed => &self.failed,
            Handshake::TimedOut => &self.timed_out,
            Handshake::NotTls => &self.not_tls,
        }
    }
}
