//! Whether an attempt may use a connection that rested.

use std::sync::Arc;
use std::time::Instant;

use http::Method;

use super::Attempts;
use crate::cluster::endpoint::{Endpoint, EndpointUse};

/// Whose connection an attempt gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// One that rested, if there is any, and it rests again afterwards.
    Shared,
    /// A fresh one, which ends with the answer.
    Fresh,
    /// A fresh one, which rests for a moment to see whether its endpoint closes it without a word.
    Watched,
}

impl Attempts {
    /// The endpoint that the current attempt is at.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref().map(EndpointUse::endpoint)
    }

    /// Whose connection the current attempt gets, over HTTP/1.1. What is sent over a connection at the moment that it is
    /// closed is lost: where that is to be feared, what must not be sent twice gets a fresh one.
    pub fn pool(&self, method: &Method, now: Instant) -> Pool {
        if method.is_safe() {
            return Pool::Shared;
        }
        let silent = self
            .endpoint()
            .filter(|endpoint| endpoint.closes_silently(now));
        match silent {
            None => Pool::Shared,
            Some(endpoint) if endpoint.may_be_watched(now) => Pool::Watched,
            Some(_) => Pool::Fresh,
        }
    }
}
