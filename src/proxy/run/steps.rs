//! What the steps of a request are told, and what they answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::debug::DebugHeader;
use crate::attempts::{AttemptContext, Replay};
use crate::dispatch::{DirectResponse, Refusal, Terms};
use crate::proxy::throttle::Throttle;
use crate::quarantine::Quarantine;
use crate::snapshot::Service;

/// What is known of a request beside its head.
pub struct Arrival<'a> {
    /// Path and query, if the client sent a whole URL: that is for this hop.
    pub origin_form: Option<String>,
    /// On what terms it is taken.
    pub terms: Terms,
    /// Who has asked how often.
    pub throttle: &'a Throttle,
    /// Which requests are to be debugged, if any.
    pub debug: Option<&'a DebugHeader>,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum HeadStep {
    /// It goes to a service: an attempt is to be made.
    Forward,
    /// It is answered with an error.
    Refuse(Refusal),
    /// It is answered by its route.
    Respond(DirectResponse),
    /// It is for the client API: this is its path behind the API's own.
    Client(Box<str>),
    /// Its service is shut off for this user.
    ShutOff,
}

/// An attempt that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAttempt {
    /// Where it goes.
    pub address: SocketAddr,
    /// What is left of the route's timeout; `None`: it has none.
    pub time_left: Option<Duration>,
}

/// Why no attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAttempt {
    /// The route's timeout is over.
    TimeIsOver,
    /// There is no endpoint, or none that may be asked.
    NobodyToAsk,
}

/// What becomes of an upstream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseStep {
    /// The client gets it.
    PassOn,
    /// It asks for another attempt: the client does not get it.
    SetAside,
}

/// Until when something must have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// The response's head.
    pub response: Instant,
    /// More of the request's body; `None`: it has been read.
    pub client: Option<Instant>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestEnd {
    /// The status that was written to the client.
    pub status: Option<u16>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

/// What a step after an attempt stands on.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// Who is spared which canary.
    pub quarantine: &'a Quarantine,
    /// What of the request could be sent again.
    pub replay: Replay<'a>,
    /// When it is.
    pub now: Instant,
}

impl<'a> StepContext<'a> {
    pub(super) fn at(&self, service: &'a Service) -> AttemptContext<'a> {
        AttemptContext {
            service,
            quarantine: self.quarantine,
            now: self.now,
        }
    }
}
