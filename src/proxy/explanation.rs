//! What an error answer says to clients: enough to report, nothing about the inside.

use http::StatusCode;

/// After how many seconds one may try again what Serin had to refuse.
pub(super) const COME_BACK: &str = "1";

/// The sentence that goes with an error's status.
pub(super) fn explanation(status: StatusCode) -> &'static str {
    match status.as_u16() {
        502 => "the service could not be reached",
        503 => "the service is not available",
        504 => "the service did not answer in time",
        400 => "the request could not be read",
        408 => "the request did not come in time",
        413 => "the request's body is too large",
        431 => "the request's head is too large",
        _ => "the request could not be served",
    }
}
