//! How an attempt may fail, and what each failure allows.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::canary::{Cause, Leave};
use crate::cluster::endpoint::AttemptEnd;
use crate::cluster::recovery::Triggers;
use crate::request::field;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The `grpc-status` of UNAVAILABLE.
const UNAVAILABLE: &[u8] = b"14";

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made: not one byte was sent.
    Connect,
    /// The upstream says that it has done nothing with the request (RFC 9113, section 8.7).
    Refused,
    /// A pooled connection turned out to be dead before an answer began. That an endpoint closes what rests does not
    /// speak against it.
    Stale,
    /// The upstream ended this request alone before an answer began (RFC 9113, section 6.4), and goes on with others on
    /// the same connection. What it may have done with the request is not known.
    StreamReset,
    /// The connection broke before an answer began.
    Reset,
    /// No answer began in time.
    Timeout,
    /// The answer has this status.
    Status(u16),
    /// The answer is gRPC's UNAVAILABLE and nothing else: by gRPC's own rules the call may be made again.
    Unavailable,
    /// Its canary has lost its users, and no answer had begun in the time that such a request has.
    Left(Leave),
}

impl Failure {
    /// What a final answer's head says of a failure, if there is one.
    pub fn of_answer(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if is_unavailable(status, headers) {
            Some(Self::Unavailable)
        } else {
            (status.as_u16() >= 400).then_some(Self::Status(status.as_u16()))
        }
    }

    /// What records say.
    pub fn cause(self) -> Cause {
        match self {
            Self::Connect => Cause::Connect,
            Self::Refused | Self::Stale | Self::StreamReset | Self::Reset => Cause::Reset,
            Self::Timeout => Cause::Timeout,
            Self::Status(_) | Self::Unavailable => Cause::Status,
            Self::Left(why) => why.cause(),
        }
    }

    /// Whether the upstream cannot have done, or says it has not done, anything that was asked for.
    pub(super) fn is_harmless(self) -> bool {
        matches!(self, Self::Connect | Self::Refused | Self::Unavailable)
    }

    /// Whether there is an answer that could be passed on.
    pub(super) fn is_answer(self) -> bool {
        matches!(self, Self::Status(_) | Self::Unavailable)
    }

    /// The end that the endpoint counts; `None`: none, since it has ended no more than one request, or a connection that
    /// rested, or nothing at all.
    pub fn end(self) -> Option<AttemptEnd> {
        match self {
            Self::Refused | Self::Stale | Self::StreamReset | Self::Left(_) => None,
            Self::Connect | Self::Reset | Self::Timeout => Some(AttemptEnd::Failed(self.cause())),
            Self::Status(status) => Some(AttemptEnd::Answered(status)),
            // What gRPC says with it, HTTP says with this status.
            Self::Unavailable => Some(AttemptEnd::Answered(503)),
        }
    }

    pub(super) fn triggers(self, on: &Triggers) -> bool {
        match self {
            Self::Connect => on.connect,
            // Nothing was done, as when there is no connection; and a stream was reset.
            Self::Refused => on.connect || on.reset,
            Self::Stale | Self::StreamReset | Self::Reset => on.reset,
            Self::Timeout => on.timeout,
            Self::Status(status) => on.statuses.contains(status),
            Self::Unavailable => on.statuses.contains(503),
            // As before an attempt: a canary that lost its users is passed over, whatever is rescued else.
            Self::Left(_) => true,
        }
    }
}

/// gRPC's UNAVAILABLE as the whole answer ("Trailers-Only" in the protocol's words): the status stands in the head,
/// and nothing of an answer follows.
fn is_unavailable(status: StatusCode, headers: &HeaderMap) -> bool {
    let is = |name: HeaderName, wanted: fn(&[u8]) -> bool| {
        field::first(headers, &name).is_some_and(|value| wanted(value.as_bytes()))
    };
    // Most answers have a type, and another one.
    status == StatusCode::OK
        && is(CONTENT_TYPE, |value| value.starts_with(b"application/grpc"))
        && is(GRPC_STATUS, |value| value == UNAVAILABLE)
}
