//! Serin's own errors in gRPC's words: to its clients an HTTP status is a broken connection, at best.

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::request::field;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a message must not hold as it is: what is not printable ASCII, and the sign that stands for it (gRPC over
/// HTTP/2, "Status-Message").
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether a request is a gRPC call. gRPC-Web is none: it comes from browsers, over any version.
pub(super) fn is_call(request: &RequestHeader) -> bool {
    if request.version != Version::HTTP_2 {
        return false;
    }
    let media_type = field::first(&request.headers, &CONTENT_TYPE);
    let rest = media_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The whole answer to a call that could not be served: a head that ends it, and has the status that clients would make
/// of the HTTP status.
pub(super) fn header(status: StatusCode, why: &str) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(StatusCode::OK, Some(4))?;
    header.insert_header(CONTENT_TYPE, "application/grpc")?;
    header.insert_header(GRPC_STATUS, code(status))?;
    let message = utf8_percent_encode(why, ENCODED).to_string();
    header.insert_header(GRPC_MESSAGE, message)?;
    Ok(header)
}

/// The trailers of an answer that ends before its time, and is to be asked for again.
pub(super) fn unavailable(why: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("14"));
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static(why));
    trailers
}

/// gRPC's code for an HTTP status ("HTTP to gRPC Status Code Mapping"), and RESOURCE_EXHAUSTED for what is too large.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        413 | 431 => "8",
        429 | 502 | 503 | 504 => "14",
        _ => "2",
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::{code, header};

    #[test]
    fn an_error_is_the_code_that_clients_make_of_its_status() {
        let told = [400, 401, 403, 404, 429, 500, 502, 503, 504].map(|status| {
            let status = StatusCode::from_u16(status).expect("a status");
            code(status)
        });
        assert_eq!(told, ["13", "16", "7", "12", "14", "2", "14", "14", "14"]);
    }

    #[test]
    fn a_message_is_printable_ascii() {
        let header = header(StatusCode::BAD_GATEWAY, "100 % weg\n\u{fc}ber").expect("a head");
        assert_eq!(header.status, StatusCode::OK);
        assert_eq!(header.headers["grpc-message"], "100 %25 weg%0A%C3%BCber");
    }
}
