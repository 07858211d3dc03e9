//! Exemplars: beside a figure, the latest request that was counted in it and is recorded as a trace.
//!
//! They take memory from the first such request on, and are noted without a lock: a worker that finds another one at the
//! same place leaves its own request out, since both ended at the same moment.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use super::view::ServedBy;
use super::{BUCKETS, CodeCounters, Histogram, Rare};
use crate::canary::Cause;

/// A request that was counted and is recorded as a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace's ID.
    pub trace: u128,
    /// The request's own span (kind SERVER).
    pub span: u64,
    /// From the request's head to the response's last byte.
    pub took: Duration,
    /// The status that it was counted with.
    pub status: u16,
    /// When it ended, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// Exemplars of the requests that one deployment was assigned.
#[derive(Debug, Default)]
pub struct DeploymentExemplars {
    /// By [`ServedBy`].
    requests: [Rare<RequestExemplars>; 3],
    /// Of requests that stable served in its place, by [`Cause::index`].
    rescues: Rare<[Slot; Cause::ALL.len()]>,
}

/// Exemplars of requests that the same one served.
#[derive(Debug, Default)]
pub struct RequestExemplars {
    /// By bucket of how long the requests took.
    buckets: [Slot; BUCKETS.len() + 1],
    /// By class of the status code, 1xx to 5xx.
    classes: [Slot; 5],
}

impl DeploymentExemplars {
    /// Notes a request that some deployment served, or none; `cause` is why stable stood in.
    pub fn note(&self, served: ServedBy, cause: Option<Cause>, exemplar: Exemplar) {
        let status = CodeCounters::code_of(exemplar.status);
        let exemplar = Exemplar { status, ..exemplar };
        if let Some(requests) = self.requests.get(served as usize) {
            let requests = requests.used();
            put(&requests.classes, class_of(status), exemplar);
            // How long requests took that nobody served is not counted.
            if served != ServedBy::None {
                let bucket = Histogram::bucket_of(exemplar.took);
                put(&requests.buckets, bucket, exemplar);
            }
        }
        if let (ServedBy::Stable, Some(cause)) = (served, cause) {
            put(self.rescues.used(), cause.index(), exemplar);
        }
    }

    /// Of the requests that this one served.
    pub fn requests(&self, served: ServedBy) -> Option<&RequestExemplars> {
        self.requests.get(served as usize)?.get()
    }

    /// Of the requests that stable served for this cause.
    pub fn rescue(&self, cause: Cause) -> Option<Exemplar> {
        self.rescues.get()?.get(cause.index())?.get()
    }
}

impl RequestExemplars {
    /// For each bucket of how long requests took, one of those that fell into it.
    pub fn buckets(&self) -> [Option<Exemplar>; BUCKETS.len() + 1] {
        self.buckets.each_ref().map(Slot::get)
    }

    /// The latest of the code's class, if it had this very code.
    pub fn with_code(&self, code: u16) -> Option<Exemplar> {
        let latest = self.classes.get(class_of(code))?.get()?;
        (latest.status == code).then_some(latest)
    }
}

fn class_of(code: u16) -> usize {
    usize::from((code / 100).saturating_sub(1))
}

fn put(slots: &[Slot], index: usize, exemplar: Exemplar) {
    if let Some(slot) = slots.get(index) {
        slot.put(exemplar);
    }
}

/// How often a reader looks again when a worker writes at that moment.
const LOOKS: usize = 64;

/// Room for one exemplar, which many threads write and read: a reader gets one that was written whole.
///
/// A sequence lock: `version` is odd while somebody writes, and a reader that finds it changed has read in vain.
#[derive(Debug, Default)]
struct Slot {
    version: AtomicU64,
    words: [AtomicU64; 6],
}

impl Slot {
    fn put(&self, exemplar: Exemplar) {
        let version = self.version.load(Ordering::Relaxed);
        let taken = !version.is_multiple_of(2)
            || self
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_err();
        if taken {
            return;
        }
        // A reader that sees one of the words below sees the odd version as well.
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(exemplar.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    fn get(&self) -> Option<Exemplar> {
        for _ in 0..LOOKS {
            let version = self.version.load(Ordering::Acquire);
            if version == 0 {
                return None;
            }
            let words = self
                .words
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return Some(Exemplar::from_words(words));
            }
            spin_loop();
        }
        None
    }
}

impl Exemplar {
    fn to_words(self) -> [u64; 6] {
        let nanos = u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX);
        [
            (self.trace >> 64) as u64,
            self.trace as u64,
            self.span,
            nanos,
            u64::from(self.status),
            self.unix_ms,
        ]
    }

    fn from_words([high, low, span, nanos, status, unix_ms]: [u64; 6]) -> Self {
        Self {
            trace: u128::from(high) << 64 | u128::from(low),
            span,
            took: Duration::from_nanos(nanos),
            status: u16::try_from(status).unwrap_or_default(),
            unix_ms,
        }
    }
}

#[cfg(test)]
mod tests;
