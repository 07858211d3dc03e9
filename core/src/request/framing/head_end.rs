//! The end of a request's head.

use memchr::memchr_iter;

/// Finds the end of a head: the empty line behind its request line. As pingora's parser does (`httparse`), it takes a
/// bare line feed for the end of a line, too, and passes over empty lines before the request line (RFC 9112, section
/// 2.2): both find the same end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadEnd {
    /// Whether there was a line that is not empty.
    begun: bool,
    line: Line,
}

/// What there is of the current line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Nothing,
    CarriageReturn,
    More,
}

impl HeadEnd {
    /// How many of these bytes there are up to the head's end; `None`: it is not among them.
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        for line_feed in memchr_iter(b'\n', bytes) {
            let is_empty = matches!(
                (self.line, bytes.get(start..line_feed).unwrap_or_default()),
                (Line::Nothing, [] | [b'\r']) | (Line::CarriageReturn, [])
            );
            start = line_feed + 1;
            self.line = Line::Nothing;
            if is_empty && self.begun {
                return Some(start);
            }
            self.begun |= !is_empty;
        }
        self.line = match (self.line, bytes.get(start..).unwrap_or_default()) {
            (line, []) => line,
            (Line::Nothing, [b'\r']) => Line::CarriageReturn,
            _ => Line::More,
        };
        None
    }
}
