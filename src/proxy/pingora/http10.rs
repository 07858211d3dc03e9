//! What clients of HTTP/1.0 do not know is kept from them.

use http::Version;
use http::header::TRANSFER_ENCODING;
use pingora::http::ResponseHeader;
use pingora::prelude::Session;

use crate::proxy::client::ClientConnection;
use crate::request::field;

/// No interim responses (RFC 9110, section 15.2).
pub(super) fn spare_interims(session: &mut Session) {
    let http10 = is_http10(session);
    session.set_ignore_info_resp(http10);
}

/// No chunks (RFC 9112, section 6.1): the end of the connection ends such a body.
pub(super) fn spare_chunks(session: &mut Session, response: &mut ResponseHeader) {
    if is_http10(session) && field::has(&response.headers, &TRANSFER_ENCODING) {
        response.remove_header(&TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}

/// No end that looks like the body's (RFC 9112, section 8): an answer that broke off ends with a reset.
pub(super) fn break_off(session: &Session) {
    if is_http10(session) {
        ClientConnection::current(ClientConnection::break_off);
    }
}

fn is_http10(session: &Session) -> bool {
    session.req_header().version <= Version::HTTP_10
}
