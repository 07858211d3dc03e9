//! What keeps a shadow from answering.

use std::time::Duration;

use crate::dial::DialError;

/// Why a shadow did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it has no endpoint that is well")]
    Nowhere,
    #[error("it was withdrawn meanwhile")]
    Withdrawn,
    #[error("no connection within {0:?}")]
    NoConnection(Duration),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be sent on: {0}")]
    Request(#[from] http::Error),
    #[error("no answer within {0:?}")]
    TooLong(Duration),
}
