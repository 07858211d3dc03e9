//! The fields of a response that are about the connection it came over (RFC 9110, section 7.6.1).

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

/// What a `Connection` field may say that is the name of no field to be removed, or of one that frames the message: it
/// would be read in two ways without it.
const KEPT: [&str; 5] = [
    "close",
    "connection",
    "content-length",
    "transfer-encoding",
    "trailer",
];

/// The fields that go no further: those that `Connection` names, and those that are about a connection whether it names
/// them or not. What switches protocols is about both connections. `Connection` itself is left to whoever writes the
/// next one.
pub fn hop_fields(status: StatusCode, headers: &HeaderMap) -> SmallVec<[HeaderName; 2]> {
    let mut fields = SmallVec::new();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return fields;
    }
    for (name, value) in headers {
        if *name == CONNECTION {
            fields.extend(named(value));
        } else if matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "upgrade" | "http2-settings"
        ) {
            fields.push(name.clone());
        }
    }
    fields
}

fn named(connection: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let tokens = connection.as_bytes().split(|byte| *byte == b',');
    tokens
        .map(<[u8]>::trim_ascii)
        .filter(|token| {
            let is = |kept: &str| token.eq_ignore_ascii_case(kept.as_bytes());
            !KEPT.into_iter().any(is)
        })
        .filter_map(|token| HeaderName::from_bytes(token).ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::hop_fields;

    fn found(status: u16, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        });
        let headers: HeaderMap = fields.collect();
        let status = StatusCode::from_u16(status).expect("a status");
        let names = hop_fields(status, &headers);
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_connection_names_goes_and_what_is_always_about_one() {
        let none: [&str; 0] = [];
        assert_eq!(found(200, &[("connection", "close"), ("x", "y")]), none);
        assert_eq!(
            found(
                200,
                &[
                    ("keep-alive", "timeout=5"),
                    ("connection", " X-One ,, keep-alive, not a name"),
                    ("upgrade", "h2,h2c"),
                    ("etag", "1"),
                ]
            ),
            ["keep-alive", "x-one", "keep-alive", "upgrade"]
        );
    }

    #[test]
    fn what_frames_the_message_stays_whatever_connection_names() {
        let none: [&str; 0] = [];
        let framing = "Content-Length, TRANSFER-ENCODING, trailer, connection";
        assert_eq!(found(200, &[("connection", framing)]), none);
    }

    #[test]
    fn a_switch_of_protocols_keeps_what_says_so() {
        let none: [&str; 0] = [];
        let fields = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(found(101, &fields), none);
        assert_eq!(found(426, &fields), ["upgrade", "upgrade"]);
    }
}
