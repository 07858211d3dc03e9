//! A request's target as clients write it.

use memchr::{memchr, memchr3};

/// Goes along with the bytes of an HTTP/1 request's head, in whatever pieces they come, and percent-encodes in its target
/// what clients send as it is although no URI has it (RFC 3986, section 2), and what URIs here cannot hold: `"` in a
/// query, `<`, `>`, a backtick in a path, and bytes that are no UTF-8. To servers the encoded character is the same.
/// Control characters and spaces stay what they are: no part of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target(Part);

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Line breaks may come before the request line (RFC 9112, section 2.2).
    #[default]
    Before,
    Method,
    Path,
    Query,
    Behind,
}

impl Target {
    /// Takes the next bytes of the head. Answers what stands for them; `None`: they may stay as they are.
    pub fn encode(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.0 == Part::Behind {
            return None;
        }
        // Nearly every request line comes whole and has nothing of the kind.
        if self.0 == Part::Before
            && let Some(end) = memchr(b'\n', bytes)
            && end > 1
            && is_clean(bytes.get(..end).unwrap_or_default())
        {
            self.0 = Part::Behind;
            return None;
        }
        let begun = self.0;
        let (mut start, mut end, mut is_clean) = (0, bytes.len(), true);
        for (at, &byte) in bytes.iter().enumerate() {
            let next = self.0.behind(byte);
            if next == Part::Path && self.0 == Part::Method {
                start = at + 1;
            }
            is_clean &= !self.0.encodes(byte);
            self.0 = next;
            if next == Part::Behind {
                end = at;
                break;
            }
        }
        // A character in two pieces is left to the parser, which refuses what is no text.
        let is_whole = matches!(begun, Part::Before | Part::Method) && self.0 == Part::Behind;
        let is_text =
            !is_whole || std::str::from_utf8(bytes.get(start..end).unwrap_or_default()).is_ok();
        if is_clean && is_text {
            return None;
        }
        let mut part = begun;
        let mut encoded = Vec::with_capacity(bytes.len() + 16);
        for &byte in bytes {
            let in_target = matches!(part, Part::Path | Part::Query);
            if part.encodes(byte) || (!is_text && in_target && !byte.is_ascii()) {
                encoded.extend(format!("%{byte:02X}").into_bytes());
            } else {
                encoded.push(byte);
            }
            part = part.behind(byte);
        }
        Some(encoded)
    }
}

/// Whether a request line has no character that is encoded anywhere.
fn is_clean(line: &[u8]) -> bool {
    line.is_ascii() && memchr3(b'<', b'>', b'"', line).is_none() && memchr(b'`', line).is_none()
}

impl Part {
    /// What follows a byte of this part.
    fn behind(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Before, b'\r' | b'\n') => Self::Before,
            (_, b'\r' | b'\n') => Self::Behind,
            (Self::Before, _) => Self::Method,
            (Self::Method, b' ') => Self::Path,
            (Self::Path | Self::Query, b' ') => Self::Behind,
            (Self::Path, b'?') => Self::Query,
            (part, _) => part,
        }
    }

    fn encodes(self, byte: u8) -> bool {
        match self {
            Self::Path => matches!(byte, b'<' | b'>' | b'`'),
            Self::Query => matches!(byte, b'<' | b'>' | b'"'),
            Self::Before | Self::Method | Self::Behind => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    fn whole(head: &[u8]) -> Vec<u8> {
        Target::default().encode(head).unwrap_or(head.to_vec())
    }

    #[test]
    fn what_uris_cannot_hold_is_encoded() {
        for (sent, expected) in [
            (
                &b"GET /a?q=\"<b>\" HTTP/1.1\r\nx: <\"`\r\n\r\n"[..],
                &b"GET /a?q=%22%3Cb%3E%22 HTTP/1.1\r\nx: <\"`\r\n\r\n"[..],
            ),
            (
                b"\r\nGET /<`\"?` HTTP/1.1\r\n",
                b"\r\nGET /%3C%60\"?` HTTP/1.1\r\n",
            ),
            (
                b"GET /\xff\xc3\xa9?\xfe HTTP/1.1\r\nx: \xff",
                b"GET /%FF%C3%A9?%FE HTTP/1.1\r\nx: \xff",
            ),
            (b"GET http://h<\r\nx: <", b"GET http://h%3C\r\nx: <"),
        ] {
            assert_eq!(whole(sent), expected, "{}", sent.escape_ascii());
        }
        for clean in [
            "GET /a?b=c&d[]={}|^~'\\#` HTTP/1.1\r\n",
            "GET /é?é HTTP/1.1\r\nx: <\r\n",
            "GET < /a HTTP/1.1\r\n",
            "G<T /a HTTP/1.1\r\n",
            "",
            "\r\n",
        ] {
            let kept = Target::default().encode(clean.as_bytes());
            // A space ends the target, wherever it is.
            let ends_early = clean.starts_with("GET <");
            assert_eq!(kept.is_none(), !ends_early, "{clean}");
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let head = b"GET /a<b?c=\"`> HTTP/1.1\r\nx: <\"\r\n\r\n";
        let expected = whole(head);
        for first in 0..head.len() {
            for second in first..head.len() {
                let mut target = Target::default();
                let pieces = [&head[..first], &head[first..second], &head[second..]];
                let encoded: Vec<u8> = pieces
                    .into_iter()
                    .flat_map(|piece| target.encode(piece).unwrap_or(piece.to_vec()))
                    .collect();
                assert_eq!(encoded, expected, "{first} {second}");
            }
        }
    }
}
