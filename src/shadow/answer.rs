//! What is remembered of an answer that is to be compared: no more than it takes, while it passes.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};

use crate::request::field;

/// How much of a JSON body is compared member by member.
pub const MOST_JSON: usize = 64 * 1024;
/// As far as a body's length is counted.
pub const MOST_COUNTED: u64 = 1024 * 1024;
/// How much is remembered of a content type, or an encoding.
const MOST_TYPE: usize = 100;

/// An answer, as far as it is compared.
#[derive(Debug)]
pub struct Answer {
    pub(super) status: u16,
    /// Type and charset, in lower case.
    pub(super) content_type: Box<str>,
    /// How the body is encoded, in lower case; empty: not at all.
    pub(super) encoding: Box<str>,
    pub(super) body: AnswerBody,
}

/// What is known of a body.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// All of what says to be JSON.
    Json(Vec<u8>),
    /// How long it is.
    Long(u64),
    /// Nothing that could be compared: of JSON that is compressed, or not sent at all, the length says nothing; others are
    /// longer than is counted, or do not end, and do not say how long they are.
    Hidden,
}

/// Remembers an answer while it passes.
#[derive(Debug)]
pub struct AnswerRecorder {
    status: StatusCode,
    content_type: Box<str>,
    /// What its head says of its length.
    stated: Option<u64>,
    /// Whether it comes without a body, whatever its head says.
    to_head: bool,
    encoding: Box<str>,
    is_json: bool,
    /// Whether it comes piece by piece for as long as its client likes: there is nothing to learn from its body.
    is_stream: bool,
    counted: u64,
    kept: Vec<u8>,
}

impl AnswerRecorder {
    /// Of the answer to a request by this method, whose head has come.
    pub fn begin(method: &Method, status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name| field::first(headers, name).and_then(|value| value.to_str().ok());
        let content_type = comparable_type(text(&CONTENT_TYPE).unwrap_or_default());
        let encoding = text(&CONTENT_ENCODING).unwrap_or_default();
        Self {
            is_json: is_json(&content_type),
            is_stream: kind(&content_type) == "text/event-stream",
            encoding: comparable_encoding(encoding),
            stated: text(&CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            to_head: method == Method::HEAD,
            status,
            content_type,
            counted: 0,
            kept: Vec::new(),
        }
    }

    /// Whether there is anything to learn from the body.
    pub fn learns(&self) -> bool {
        !self.is_stream && self.counted <= MOST_COUNTED
    }

    /// A piece of the body has come. Whether there is anything to learn from the next one.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        self.counted = self.counted.saturating_add(piece.len() as u64);
        if self.keeps() {
            self.kept.extend_from_slice(piece);
        } else {
            self.kept = Vec::new();
        }
        self.learns()
    }

    /// All of it has come, or as much as there is to learn from.
    pub fn finish(self) -> Answer {
        let body = if self.is_stream || (self.is_json && (self.is_encoded() || self.to_head)) {
            AnswerBody::Hidden
        } else if self.to_head || !self.learns() {
            self.stated.map_or(AnswerBody::Hidden, AnswerBody::Long)
        } else if self.keeps() {
            AnswerBody::Json(self.kept)
        } else {
            AnswerBody::Long(self.counted)
        };
        Answer {
            status: self.status.as_u16(),
            content_type: self.content_type,
            encoding: self.encoding,
            body,
        }
    }

    /// No more of it is waited for: what its body would be is not known.
    pub fn leave(self) -> Answer {
        let body = AnswerBody::Hidden;
        Answer {
            body,
            ..self.finish()
        }
    }

    /// Whether all that has come is kept.
    fn keeps(&self) -> bool {
        self.is_json && !self.is_encoded() && self.counted <= MOST_JSON as u64
    }

    fn is_encoded(&self) -> bool {
        !self.encoding.is_empty()
    }
}

/// Type and charset of a content type: other parameters, such as a boundary, are another one's with each answer.
fn comparable_type(text: &str) -> Box<str> {
    let mut parts = text.split(';').map(str::trim);
    let mut comparable = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut charsets = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    });
    if let Some(charset) = charsets.next() {
        let charset = charset.trim().trim_matches('"').to_ascii_lowercase();
        comparable.push_str("; charset=");
        comparable.push_str(&charset);
    }
    comparable.truncate(MOST_TYPE);
    comparable.into()
}

/// Whether a content type is JSON's, or of its family (RFC 6839).
fn is_json(content_type: &str) -> bool {
    let kind = kind(content_type);
    matches!(kind, "application/json" | "text/json") || kind.ends_with("+json")
}

/// A content type without its parameters.
fn kind(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default()
}

/// Content encodings as they are compared.
fn comparable_encoding(text: &str) -> Box<str> {
    let mut encoding = text.trim().to_ascii_lowercase();
    if encoding == "identity" {
        encoding.clear();
    }
    encoding.truncate(MOST_TYPE);
    encoding.into()
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
    use http::{HeaderMap, HeaderValue, Method, StatusCode};

    use super::{Answer, AnswerBody, AnswerRecorder, MOST_COUNTED, MOST_JSON, comparable_type};

    fn recorder(content_type: &'static str, method: &Method) -> AnswerRecorder {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7000000"));
        AnswerRecorder::begin(method, StatusCode::OK, &headers)
    }

    fn answer(content_type: &'static str, pieces: &[&[u8]]) -> Answer {
        let mut recorder = recorder(content_type, &Method::GET);
        pieces.iter().for_each(|piece| {
            recorder.push(piece);
        });
        recorder.finish()
    }

    #[test]
    fn json_is_kept_up_to_a_bound_and_nothing_else_is() {
        for kind in [
            "application/json",
            "Application/Problem+JSON; charset=utf-8",
        ] {
            let body = answer(kind, &[b"{\"a\"", b":1}"]).body;
            assert!(matches!(body, AnswerBody::Json(kept) if kept == b"{\"a\":1}"));
        }
        let large = vec![b' '; MOST_JSON];
        let body = answer("application/json", &[&large]).body;
        assert!(matches!(body, AnswerBody::Json(kept) if kept.len() == MOST_JSON));
        let body = answer("application/json", &[&large, b"1"]).body;
        assert!(matches!(body, AnswerBody::Long(length) if length == MOST_JSON as u64 + 1));
        let body = answer("text/html", &[b"abc"]).body;
        assert!(matches!(body, AnswerBody::Long(3)));
    }

    #[test]
    fn beyond_what_is_counted_the_head_is_believed() {
        let mut recorder = recorder("text/html", &Method::GET);
        assert!(recorder.push(&vec![b'x'; MOST_COUNTED as usize]));
        assert!(!recorder.push(b"x"));
        assert!(matches!(
            recorder.finish().body,
            AnswerBody::Long(7_000_000)
        ));
    }

    #[test]
    fn what_has_no_body_or_a_compressed_one_is_known_by_its_head() {
        let head = |kind| recorder(kind, &Method::HEAD).finish().body;
        assert!(matches!(head("text/html"), AnswerBody::Long(7_000_000)));
        assert!(matches!(head("application/json"), AnswerBody::Hidden));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        let mut recorder = AnswerRecorder::begin(&Method::GET, StatusCode::OK, &headers);
        recorder.push(b"?");
        assert!(matches!(recorder.finish().body, AnswerBody::Hidden));
        let silent = AnswerRecorder::begin(&Method::HEAD, StatusCode::OK, &HeaderMap::new());
        assert!(matches!(silent.finish().body, AnswerBody::Hidden));
    }

    #[test]
    fn nothing_is_learnt_from_what_does_not_end() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        let begin =
            |headers: &HeaderMap| AnswerRecorder::begin(&Method::GET, StatusCode::OK, headers);
        let stream = begin(&headers);
        assert!(!stream.learns());
        assert!(matches!(stream.finish().body, AnswerBody::Hidden));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut left = begin(&headers);
        assert!(left.push(b"{}"));
        assert!(matches!(left.leave().body, AnswerBody::Hidden));
    }

    #[test]
    fn of_a_content_type_the_type_and_the_charset_are_compared() {
        let same = [
            ("Text/HTML ; Charset=\"UTF-8\"", "text/html; charset=utf-8"),
            ("multipart/mixed; boundary=x1", "multipart/mixed"),
            ("", ""),
        ];
        for (one, other) in same {
            assert_eq!(&*comparable_type(one), other);
        }
    }
}
