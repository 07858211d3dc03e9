//! The answer to requests over HTTP/2 that their client may not have, written before pingora's proxy sees them.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, RETRY_AFTER};
use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::HttpSession;

use super::grpc;
use crate::capacity::clients::Excess;
use crate::proxy::client::ClientConnection;
use crate::proxy::explanation::COME_BACK;
use crate::proxy::metrics::ConnectionFigures;

/// Refuses a request whose client has too much open. It has no line in the log: there may be many.
pub(super) fn refuse(
    session: &mut HttpSession,
    connection: &ClientConnection,
    excess: Excess,
    figures: &ConnectionFigures,
) {
    figures.excess.of(excess).inc();
    answer(session, connection, StatusCode::SERVICE_UNAVAILABLE);
}

/// Refuses to make a tunnel. pingora does as well, in words that name it.
pub(super) fn refuse_tunnel(session: &mut HttpSession, connection: &ClientConnection) {
    answer(session, connection, StatusCode::METHOD_NOT_ALLOWED);
}

fn answer(session: &mut HttpSession, connection: &ClientConnection, status: StatusCode) {
    let header = match grpc::is_call(session.req_header()) {
        true => grpc::header(status, "too many requests at a time"),
        false => ResponseHeader::build(status, Some(3)).and_then(|mut header| {
            header.insert_header(CONTENT_LENGTH, 0)?;
            Ok(header)
        }),
    };
    let header = header.and_then(|mut header| {
        header.insert_header(CACHE_CONTROL, "no-store")?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            header.insert_header(RETRY_AFTER, COME_BACK)?;
        }
        session.write_response_header(Box::new(header), true)
    });
    // An error is a client that has gone.
    if let Err(error) = header {
        tracing::debug!(%error, "a refusal could not be sent");
    }
    connection.snapshot().unrouted.served.inc(status.as_u16());
}
