//! The gRPC health service, version 1 (grpc/grpc, doc/health-checking.md), as far as one question needs it.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

/// No flag, no bytes: the empty message asks about the server as a whole.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];
/// Larger than any answer of the health service.
const MOST: usize = 1024;
/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;

/// Why a server does not count as serving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotServing {
    #[error("status {0}")]
    Status(u16),
    #[error("grpc-status {0}")]
    GrpcStatus(String),
    #[error("{0}")]
    ServingStatus(&'static str),
    #[error("the answer is none of the gRPC health service's")]
    Unreadable,
}

/// The request of a check.
pub(super) fn question() -> Result<Request<Full<Bytes>>, http::Error> {
    Request::post("/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&EMPTY_MESSAGE)))
}

/// Reads the answer.
pub(super) async fn read(answer: Response<Incoming>) -> Result<(), NotServing> {
    if !answer.status().is_success() {
        return Err(NotServing::Status(answer.status().as_u16()));
    }
    // An answer without a message has its status in the head: "trailers only".
    refused(answer.headers())?;
    let body = Limited::new(answer.into_body(), MOST);
    let body = body.collect().await.map_err(|_| NotServing::Unreadable)?;
    refused(body.trailers().ok_or(NotServing::Unreadable)?)?;
    match serving_status(&body.to_bytes()).ok_or(NotServing::Unreadable)? {
        SERVING => Ok(()),
        0 => Err(NotServing::ServingStatus("UNKNOWN")),
        2 => Err(NotServing::ServingStatus("NOT_SERVING")),
        3 => Err(NotServing::ServingStatus("SERVICE_UNKNOWN")),
        _ => Err(NotServing::Unreadable),
    }
}

fn refused(headers: &HeaderMap) -> Result<(), NotServing> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => Err(NotServing::GrpcStatus(
            String::from_utf8_lossy(status.as_bytes()).into_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}

/// The status of a `HealthCheckResponse` in one uncompressed frame: field 1, a number of one byte.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(EMPTY_MESSAGE.len())?;
    let length = u32::from_be_bytes(head.get(1..)?.try_into().ok()?);
    if head.first() != Some(&0) || length as usize != message.len() {
        return None;
    }
    match message {
        // What is 0 is not written.
        [] => Some(0),
        [0x08, status @ 0..=0x7f] => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::serving_status;

    #[test]
    fn a_frame_holds_one_number() {
        for (frame, status) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            (&[0, 0, 0, 0, 2, 8, 2], Some(2)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 3, 8, 1], None),
            (&[0, 0, 0, 0, 2, 16, 1], None),
            (&[0, 0, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(serving_status(frame), status, "{frame:?}");
        }
    }
}
