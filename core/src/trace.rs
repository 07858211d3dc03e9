//! The trace of one request: its IDs, whether it is recorded, and its attempts that failed.
//!
//! A request is one span of kind SERVER and one of kind CLIENT for each attempt. The IDs of the latter follow from that of the former,
//! so that a request keeps two IDs however many attempts it takes; only attempts that fail take memory. Whether a request is recorded is known at
//! its head (a trusted proxy says so, or [`Sampling`]); at its end, all that stable rescued and all that ended with 5xx are, too.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Instant;

use crate::attempts::Attempts;
use crate::canary::Cause;
use crate::digest::mix;
use crate::flag::Share;
use crate::forward::trace_context::{RANDOM, SAMPLED, TraceParent};
use crate::snapshot::DeploymentIndex;

/// The bits of a trace's ID that are random (W3C Trace Context, level 2).
const RANDOM_BITS: u32 = 56;

/// How many traces are recorded: those whose random bits are no less than a threshold, so that everybody who samples by the same rule
/// and a larger share records them as well (<https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Of [`Share::ALL`], those that are left out.
    left_out: u32,
}

impl Sampling {
    /// This share of all.
    pub fn of(share: Share) -> Self {
        Self {
            left_out: Share::ALL.hundred_thousandths() - share.hundred_thousandths(),
        }
    }

    /// Whether one with these bits is among them.
    pub fn takes(self, bits: u64) -> bool {
        let place = u128::from(bits & ((1 << RANDOM_BITS) - 1));
        let all = u128::from(Share::ALL.hundred_thousandths());
        place * all >= u128::from(self.left_out) << RANDOM_BITS
    }
}

/// The trace of one request.
#[derive(Debug)]
pub struct RequestTrace {
    /// The trace's ID, and the span that the request is a part of.
    trace: [u64; 2],
    /// The sender's span; `None`: the trace begins here.
    parent: Option<NonZeroU64>,
    /// The request's own span.
    span: NonZeroU64,
    /// What is known at the head.
    flags: u8,
    /// Attempts that failed before an answer began for the client, in their order.
    pub failed: Vec<FailedAttempt>,
    /// Why the answer broke, if it did after it had begun for the client.
    pub broken: Option<Cause>,
}

/// An attempt that failed before an answer began for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The deployment that was asked.
    pub deployment: DeploymentIndex,
    /// Its endpoint.
    pub address: SocketAddr,
    /// When it began.
    pub began: Instant,
    /// When it had failed.
    pub ended: Instant,
    /// Why.
    pub cause: Cause,
    /// The status of the answer that was set aside, if there was one.
    pub status: Option<u16>,
}

impl RequestTrace {
    /// For a request that came with this context, or none that is valid. `random` makes random numbers.
    ///
    /// Only a trusted proxy decides that a trace is recorded. What others send names the trace, but does not decide on its recording:
    /// chance does, since they could choose an ID that is always taken.
    pub fn begin(
        came: Option<TraceParent>,
        trusted: bool,
        sampling: Sampling,
        mut random: impl FnMut() -> u64,
    ) -> Self {
        let span = random();
        let (trace, flags, bits) = match came {
            Some(came) if trusted => (came.trace, came.flags, came.trace as u64),
            Some(came) => (came.trace, 0, span),
            None => {
                let (first, second) = (random(), random().max(1));
                let trace = u128::from(first) << 64 | u128::from(second);
                (trace, RANDOM, second)
            }
        };
        let sampled = if sampling.takes(bits) { SAMPLED } else { 0 };
        Self {
            trace: [(trace >> 64) as u64, trace as u64],
            parent: came.and_then(|came| NonZeroU64::new(came.span)),
            span: NonZeroU64::new(span).unwrap_or(NonZeroU64::MIN),
            flags: flags | sampled,
            failed: Vec::new(),
            broken: None,
        }
    }

    /// Notes that the last attempt failed, before an answer began for the client.
    pub fn failed(
        &mut self,
        attempts: &Attempts,
        deployment: DeploymentIndex,
        cause: Cause,
        status: Option<u16>,
        now: Instant,
    ) {
        if let Some((address, began)) = attempts.last() {
            self.failed.push(FailedAttempt {
                deployment,
                address,
                began,
                ended: now,
                cause,
                status,
            });
        }
    }

    /// The trace's ID.
    pub fn id(&self) -> u128 {
        let [first, second] = self.trace;
        u128::from(first) << 64 | u128::from(second)
    }

    /// The sender's span; `None`: the trace begins here.
    pub fn parent(&self) -> Option<NonZeroU64> {
        self.parent
    }

    /// The request's own span.
    pub fn span(&self) -> u64 {
        self.span.get()
    }

    /// The span of an attempt, by its number from 0.
    pub fn attempt_span(&self, number: usize) -> u64 {
        // Different numbers give different IDs, none of which is 0 but by chance.
        let step = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mix(self.span.get().wrapping_add(step)).max(1)
    }

    /// Whether it was to be recorded when its head had come.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags of the trace once it is recorded.
    pub fn recorded_flags(&self) -> u8 {
        self.flags | SAMPLED
    }

    /// What the attempt that comes next is sent with. `rescued`: it goes to stable in place of a canary, and is recorded whatever was
    /// known at the head.
    pub fn context(&self, rescued: bool) -> TraceParent {
        TraceParent {
            trace: self.id(),
            span: self.attempt_span(self.failed.len()),
            flags: self.flags | if rescued { SAMPLED } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests;
