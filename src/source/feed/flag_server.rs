//! A product's part of following one of its servers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;

use super::removal_guard::RemovalGuard;
use super::sse::Event;
use crate::engine::source::SourceSet;

/// The largest answer, and the largest event, that is read.
pub(in crate::source) const MAX_BYTES: usize = 64 << 20;

/// One server, as far as products differ: how its flags are asked for, and what the events of its stream mean. The
/// follower does the rest.
pub(in crate::source) trait FlagServer: Clone + Send + Sync + 'static {
    /// Asks for all flags; with the `tag` of an earlier answer, only if they are others.
    fn fetch(
        &self,
        tag: Option<&HeaderValue>,
    ) -> impl Future<Output = Result<Fetched, FetchError>> + Send;

    /// Asks for a stream of changes.
    fn open_stream(&self) -> impl Future<Output = Result<Opened, FetchError>> + Send;

    /// Reads the body of an answer to [`Self::fetch`].
    fn read(body: &[u8]) -> Result<SourceSet, FetchError>;

    /// What an event of the stream is, by its name.
    fn meaning(event: &Event) -> EventMeaning;

    /// Tells the guard what the data of an event says. An error may leave the guard half changed.
    fn apply(
        data: &[u8],
        guard: &mut RemovalGuard,
        now: Instant,
        patience: Duration,
    ) -> Result<(), FetchError>;
}

/// An answer.
#[derive(Debug)]
pub(in crate::source) enum Fetched {
    /// The same as last time.
    Same,
    /// Another one.
    New {
        /// The document.
        body: Bytes,
        /// What to show next time.
        tag: Option<HeaderValue>,
        /// Whether the server would rather stream.
        wants_streaming: bool,
    },
}

/// What came of asking for a stream.
#[derive(Debug)]
pub(in crate::source) enum Opened {
    /// Events will come.
    Stream(Incoming),
    /// The server has no such thing.
    NotOffered(StatusCode),
}

/// What an event of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum EventMeaning {
    /// All flags. From here on, the stream says everything.
    Everything,
    /// A change of what was said before.
    Change,
    /// Nothing that matters here.
    Other,
}

/// Why there is no answer to use; each asks for another reaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// Asking again is of no use before the configuration, or the server's, has been changed.
    #[error("{0}")]
    Misconfigured(String),
    /// There is no answer, or one that asks to come back later.
    #[error("{message}")]
    Unavailable {
        /// What happened.
        message: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// There is an answer, and it is no use.
    #[error("{0}")]
    Unusable(String),
}
