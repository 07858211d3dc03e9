//! How large a request may be.

use http::StatusCode;

use super::RequestHead;

/// What HTTP/1.1 writes around method and target in a request line, and to end the head.
const REQUEST_LINE_BYTES: usize = "  HTTP/1.1\r\n\r\n".len();

/// What HTTP/1.1 writes around a field's name and value.
const FIELD_BYTES: usize = ": \r\n".len();

/// How large a request may be, whatever the protocol: its head is measured as HTTP/1.1 would write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of the head.
    pub header_bytes: usize,
    /// Header fields.
    pub headers: usize,
    /// Bytes of the body; `None`: as many as it likes.
    pub body_bytes: Option<u64>,
}

/// How many header fields there are, and how long they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSizes {
    /// How many.
    pub count: usize,
    /// Bytes as HTTP/1.1 would write them.
    pub bytes: usize,
}

impl FieldSizes {
    /// Adds a field.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.count += 1;
        self.bytes += name.len() + value.len() + FIELD_BYTES;
    }
}

/// What of a request is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Its head.
    #[error("the request's head is too large")]
    Head,
    /// The number of its header fields.
    #[error("the request has too many header fields")]
    Fields,
    /// Its body.
    #[error("the request's body is too large")]
    Body,
}

impl TooLarge {
    /// The status to refuse it with (RFC 6585, section 5; RFC 9110, section 15.5.14).
    pub fn status(self) -> StatusCode {
        match self {
            Self::Head | Self::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl RequestLimits {
    /// Holds a head to the limits, and the body as far as the head says how long it is.
    pub fn check(&self, head: &RequestHead<'_>) -> Result<(), TooLarge> {
        let fields = head.headers.sizes();
        let query = head.query.map_or(0, |query| 1 + query.len());
        let line = head.method.len() + head.path.len() + query + REQUEST_LINE_BYTES;
        if line + fields.bytes > self.header_bytes {
            return Err(TooLarge::Head);
        }
        if fields.count > self.headers {
            return Err(TooLarge::Fields);
        }
        check_length(head, self.body_bytes)
    }

    /// Holds a body to the limit of which `read` bytes have come so far.
    pub fn check_body(&self, read: u64) -> Result<(), TooLarge> {
        check_body(read, self.body_bytes)
    }
}

/// Holds a body to `most` bytes, as far as the head says how long it is.
pub fn check_length(head: &RequestHead<'_>, most: Option<u64>) -> Result<(), TooLarge> {
    if most.is_none() {
        return Ok(());
    }
    // One that is not a number is refused for that.
    let length = head.headers.text("content-length");
    let length = length.and_then(|length| length.parse::<u64>().ok());
    check_body(length.unwrap_or_default(), most)
}

/// Holds a body to `most` bytes, of which `read` have come so far.
pub fn check_body(read: u64, most: Option<u64>) -> Result<(), TooLarge> {
    match most {
        Some(most) if read > most => Err(TooLarge::Body),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{RequestLimits, TooLarge};
    use crate::request::{HeaderList, RequestHead};

    const LIMITS: RequestLimits = RequestLimits {
        header_bytes: 100,
        headers: 3,
        body_bytes: Some(10),
    };

    fn check(fields: &[(&str, &str)]) -> Result<(), TooLarge> {
        let headers: HeaderList = fields.iter().copied().collect();
        LIMITS.check(&RequestHead {
            method: "GET",
            authority: "a",
            path: "/path",
            query: Some("q=1"),
            headers: &headers,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            peer_trusted: false,
        })
    }

    #[test]
    fn a_head_is_measured_as_it_is_written() {
        let written = "GET /path?q=1 HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n";
        let room = LIMITS.header_bytes - written.len();
        let fits = "v".repeat(room);
        assert_eq!(check(&[("host", "a"), ("x", &fits)]), Ok(()));
        let too_long = "v".repeat(room + 1);
        let refused = check(&[("host", "a"), ("x", &too_long)]);
        assert_eq!(refused, Err(TooLarge::Head));
    }

    #[test]
    fn fields_are_counted_one_by_one() {
        assert_eq!(check(&[("a", "1"), ("a", "2"), ("b", "")]), Ok(()));
        let refused = check(&[("a", "1"), ("a", "2"), ("b", ""), ("c", "")]);
        assert_eq!(refused, Err(TooLarge::Fields));
    }

    #[test]
    fn a_body_is_refused_as_soon_as_it_is_known_to_be_too_large() {
        assert_eq!(check(&[("content-length", "10")]), Ok(()));
        let refused = check(&[("content-length", "11")]);
        assert_eq!(refused, Err(TooLarge::Body));
        assert_eq!(LIMITS.check_body(10), Ok(()));
        assert_eq!(LIMITS.check_body(11), Err(TooLarge::Body));
        let unlimited = RequestLimits {
            body_bytes: None,
            ..LIMITS
        };
        assert_eq!(unlimited.check_body(u64::MAX), Ok(()));
    }
}
