//! How a path is taken apart, by servers of one kind or another.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::PathError;

/// How a server takes what a path leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// It decodes before it takes apart: escaped slashes and backslashes part segments as slashes do, an escaped `;` begins
    /// parameters, and `..;x` is `..`. Otherwise these are ordinary characters.
    pub(super) decoded: bool,
    /// A `..` takes away an empty segment. Otherwise several slashes are one.
    pub(super) unmerged: bool,
}

/// What readings of a path may differ in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// [`Reading::decoded`] matters.
    pub(super) decoded: bool,
    /// [`Reading::unmerged`] matters.
    pub(super) unmerged: bool,
}

/// The segments of a path that are left when dot segments have been resolved.
#[derive(Debug, Default)]
pub(super) struct Walk<'a> {
    segments: Vec<Segment<'a>>,
    reading: Reading,
    /// Whether the path ends as a directory's does: with a slash or a dot segment.
    directory: bool,
    /// Whether an empty segment has come.
    has_empty: bool,
    /// Behind the last `..` that would have led above the root.
    root: usize,
    pub(super) open: Open,
}

#[derive(Debug)]
struct Segment<'a> {
    /// Decoded, without parameters.
    name: Cow<'a, str>,
    /// Where it ends in what was sent.
    end: usize,
}

impl<'a> Walk<'a> {
    /// Takes a valid path apart.
    pub(super) fn new(sent: &'a str, reading: Reading) -> Self {
        let mut walk = Self {
            reading,
            ..Self::default()
        };
        let mut at = 0;
        while at < sent.len() {
            let start = at + separator(&sent[at..], reading).unwrap_or(1);
            let rest = sent.get(start..).unwrap_or_default();
            let length = (0..rest.len())
                .find(|&at| rest.is_char_boundary(at) && separator(&rest[at..], reading).is_some());
            let length = length.unwrap_or(rest.len());
            walk.take(&rest[..length], start + length);
            at = start + length;
        }
        walk
    }

    fn take(&mut self, segment: &'a str, end: usize) {
        let bare = without_parameters(segment, self.reading);
        let name = decode(bare);
        // Parameters alone, and dots with parameters: nothing, or a dot segment, for those who decode first.
        let ordinary = bare.len() < segment.len() && !self.reading.decoded;
        if ordinary && matches!(&*name, "" | "." | "..") {
            self.open.decoded = true;
        }
        self.directory = !ordinary && matches!(&*name, "" | "." | "..");
        match &*name {
            "." if !ordinary => {}
            ".." if !ordinary => {
                self.open.unmerged |= self.has_empty && !self.reading.unmerged;
                if self.segments.pop().is_none() {
                    self.root = end;
                }
            }
            "" if !ordinary => {
                self.has_empty = true;
                if self.reading.unmerged {
                    self.segments.push(Segment { name, end });
                }
            }
            _ => self.segments.push(Segment { name, end }),
        }
    }

    /// The path in normal form.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for segment in self.named() {
            text.push('/');
            text.push_str(&segment.name);
        }
        if self.directory || text.is_empty() {
            text.push('/');
        }
        text
    }

    /// Where the first `count` segments of the normal form end in what was sent.
    pub(super) fn end_of(&self, count: usize) -> usize {
        let last = count.checked_sub(1).and_then(|last| self.named().nth(last));
        last.map_or(self.root, |segment| segment.end)
    }

    fn named(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.segments
            .iter()
            .filter(|segment| !segment.name.is_empty())
    }
}

/// Refuses broken escapes and an escaped NUL. Answers whether there is a character that those who decode first read
/// differently: a slash, a backslash or a `;` in disguise.
pub(super) fn validate(path: &str) -> Result<bool, PathError> {
    let mut disguised = path.contains('\\');
    let mut rest = path.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let (digits, behind) = (rest.get(at + 1..))
            .and_then(|rest| rest.split_at_checked(2))
            .ok_or(PathError::Encoding)?;
        match digits {
            b"00" => return Err(PathError::Nul),
            [b'2', b'f' | b'F'] | [b'5', b'c' | b'C'] | [b'3', b'b' | b'B'] => disguised = true,
            _ if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(PathError::Encoding),
        }
        rest = behind;
    }
    Ok(disguised)
}

/// The length of the separator that a text begins with.
fn separator(text: &str, reading: Reading) -> Option<usize> {
    match text.as_bytes() {
        [b'/', ..] => Some(1),
        [b'\\', ..] if reading.decoded => Some(1),
        [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] if reading.decoded => Some(3),
        _ => None,
    }
}

fn without_parameters(segment: &str, reading: Reading) -> &str {
    let end = segment.find(';');
    let escaped = match reading.decoded {
        true => segment
            .find("%3B")
            .into_iter()
            .chain(segment.find("%3b"))
            .min(),
        false => None,
    };
    let end = end.into_iter().chain(escaped).min();
    &segment[..end.unwrap_or(segment.len())]
}

/// A segment as text. What could be taken for something else stays escaped.
fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains(['%', '\\']) {
        return Cow::Borrowed(segment);
    }
    let bytes = Cow::from(percent_decode_str(segment));
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match u8::try_from(letter) {
                Ok(byte) if byte.is_ascii_control() || matches!(byte, b'%' | b'/' | b'\\') => {
                    push_escape(&mut text, byte);
                }
                _ => text.push(letter),
            }
        }
        for &byte in chunk.invalid() {
            push_escape(&mut text, byte);
        }
    }
    Cow::Owned(text)
}

/// Adds `%` and two digits.
pub(super) fn push_escape(text: &mut String, byte: u8) {
    text.push('%');
    for half in [byte >> 4, byte & 15] {
        let digit = char::from_digit(u32::from(half), 16).unwrap_or('0');
        text.push(digit.to_ascii_uppercase());
    }
}
