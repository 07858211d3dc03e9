//! Bodies that tell a connection's place who waits for whom.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};

use super::places::Place;

/// A body did not come to its end in time.
#[derive(Debug, thiserror::Error)]
#[error("the body took too long")]
pub(in crate::admin) struct TooSlow;

/// How much of a body that is refused is read away, and for how long: closed with something unread in it, a socket takes
/// back the answer that says why.
const UNREAD_BYTES: usize = 1 << 20;
const UNREAD_TIME: Duration = Duration::from_secs(1);

/// A request's body: while it does not come, its client is waited for, and not for ever.
#[derive(Debug)]
pub(super) struct Timed {
    /// `None`: it is dropped.
    body: Option<Incoming>,
    place: Arc<Place>,
    limit: Duration,
    /// Set when it is waited for first: most bodies are there already.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    pub(super) fn new(body: Incoming, place: Arc<Place>, limit: Duration) -> Self {
        Self {
            body: Some(body),
            place,
            limit,
            deadline: None,
        }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            this.place.works();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        this.place.waits();
        let limit = this.limit;
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => {
                this.place.works();
                Poll::Ready(Some(Err(TooSlow.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (unread, Handle::try_current()) {
            let read_away = Limited::new(body, UNREAD_BYTES).collect();
            runtime.spawn(timeout(UNREAD_TIME, read_away));
        }
    }
}

/// An answer's body: when all of it has been taken over by the connection, its client is waited for again.
#[derive(Debug)]
pub(super) struct Sent {
    body: Body,
    place: Arc<Place>,
}

impl Sent {
    pub(super) fn new(body: Body, place: Arc<Place>) -> Self {
        Self { body, place }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.place.waits();
    }
}
