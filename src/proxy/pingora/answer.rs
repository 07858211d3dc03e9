//! An upstream's answer on its way to the client: mended where its head is faulty, and read for what it says of its
//! connection.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Version};
use pingora::ErrorType;
use pingora::http::ResponseHeader;
use pingora::prelude::Error;

use super::ctx::AttemptConnection;
use super::head::ResponseFields;
use crate::edit::HeaderSink as _;
use crate::forward::answer::{self, Mending};
use crate::request::field;

/// Mends an answer's head. An error: its end is not certain.
pub(super) fn mend(response: &mut ResponseHeader) -> pingora::Result<Mending> {
    let read = answer::read(response.status, response.version, &response.headers);
    let mending = read
        .map_err(|flaw| Error::explain(ErrorType::InvalidHTTPHeader, flaw.to_string()).into_up())?;
    if response.version <= Version::HTTP_10 {
        // RFC 9112, section 2.3: the version is the hop's.
        response.set_version(Version::HTTP_11);
    }
    if mending.unframed {
        ResponseFields(response).remove(&CONTENT_LENGTH);
        ResponseFields(response).remove(&TRANSFER_ENCODING);
    }
    if mending.emptied {
        ResponseFields(response).remove(&TRANSFER_ENCODING);
        ResponseFields(response).set(&CONTENT_LENGTH, &HeaderValue::from_static("0"));
    }
    if let Some(length) = mending.length {
        ResponseFields(response).set(&CONTENT_LENGTH, &HeaderValue::from(length));
    }
    Ok(mending)
}

/// Notes what follows from the final answer's head for its body and its connection.
pub(super) fn begun(
    connection: &mut AttemptConnection,
    response: &ResponseHeader,
    mending: Mending,
) {
    connection.emptied = mending.emptied;
    connection.rest = answer::rest(&response.headers);
    if let Some(upload) = &connection.upload {
        upload.answered();
    }
    let Some(upstream) = &mut connection.upstream else {
        return;
    };
    if mending.last && upstream.is_http1() {
        upstream.condemn();
    }
    let field = field::first(&response.headers, &CONNECTION);
    if field.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close")) {
        upstream.closes();
    }
}

/// Drops the body of an answer that has none.
pub(super) fn drop_body(connection: &AttemptConnection, body: &mut Option<Bytes>) {
    if connection.emptied {
        *body = None;
    }
}
