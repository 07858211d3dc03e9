//! pingora's errors in the words of causes and statuses.

use http::StatusCode;
use pingora::prelude::Error;
use pingora::{ErrorSource, ErrorType};

use crate::canary::Cause;

/// Why an attempt that had reached its upstream failed.
pub(super) fn cause_of(error: &ErrorType) -> Cause {
    match error {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Cause::Timeout,
        _ => Cause::Reset,
    }
}

/// The status that an error is answered with; `None`: the client has gone.
pub(super) fn status_of(error: &Error) -> Option<StatusCode> {
    match (error.etype(), error.esource()) {
        (ErrorType::HTTPStatus(code), _) => StatusCode::from_u16(*code).ok(),
        (ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Upstream) => {
            Some(StatusCode::GATEWAY_TIMEOUT)
        }
        (_, ErrorSource::Upstream) => Some(StatusCode::BAD_GATEWAY),
        (ErrorType::ReadTimedout, ErrorSource::Downstream) => Some(StatusCode::REQUEST_TIMEOUT),
        (
            // A stream of HTTP/2 that the client has cancelled.
            ErrorType::H2Error
            | ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed,
            ErrorSource::Downstream,
        ) => None,
        (_, ErrorSource::Downstream) => Some(StatusCode::BAD_REQUEST),
        (_, ErrorSource::Internal | ErrorSource::Unset) => Some(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
