//! HTTP/2's frames (RFC 9113, section 4.1), for what the HTTP/2 library lets pass: control frames without end, which are
//! counted here ([`super::control`]), and pseudo-header fields in trailers.
//!
//! A field block in which a pseudo-header field (`:path`) stands behind a regular one is malformed (section 8.3), and the
//! library resets such a stream. In trailers any pseudo-header field is malformed (section 8.1), but there the library
//! drops those at the beginning without a word. So a regular field is put before every request's trailers, and what
//! would have been dropped stands behind one. Nobody reads that field: request trailers go no further than here.

use bytes::BytesMut;

use super::control::ControlFrames;

/// A frame's head.
const HEAD: usize = 9;
/// What a connection begins with (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// The largest payload that clients may send (SETTINGS_MAX_FRAME_SIZE as it is by default); larger ones end the
/// connection in any case.
const MOST: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY_FRAME: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// The field `x` without a value, as a literal that leaves the connection's table alone (RFC 7541, section 6.2.2).
const REGULAR: [u8; 4] = [0, 1, b'x', 0];

/// Follows the frames of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    /// How many bytes are left of the current frame.
    left: usize,
    /// The last stream that was opened.
    last: u32,
    /// Control frames since these were last asked for.
    control: ControlFrames,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            left: PREFACE,
            last: 0,
            control: ControlFrames::default(),
        }
    }
}

impl Frames {
    /// How many of these bytes may be handed on as they are, `most` of them at most. Where it is none, they begin with a
    /// frame of trailers ([`Frames::guard`]), or with a frame's head that has not come whole.
    pub fn pass(&mut self, bytes: &[u8], most: usize) -> usize {
        let mut passed = 0;
        loop {
            let length = self.left.min(most - passed);
            passed += length;
            self.left -= length;
            if passed == most {
                return passed;
            }
            let Some(head) = Head::of(bytes.get(passed..).unwrap_or_default()) else {
                return passed;
            };
            if head.kind == HEADERS && head.stream != 0 {
                if head.stream <= self.last && head.length <= MOST {
                    return passed;
                }
                self.last = self.last.max(head.stream);
            }
            head.count(&mut self.control);
            self.left = HEAD + head.length;
        }
    }

    /// The control frames that have passed since this was last asked.
    pub fn take_control(&mut self) -> ControlFrames {
        std::mem::take(&mut self.control)
    }

    /// Puts a regular field before the trailers that begin with these bytes, which may then pass. Whether that was done;
    /// otherwise more must come first.
    pub fn guard(&mut self, bytes: &mut BytesMut) -> bool {
        let Some(head) = Head::of(bytes) else {
            return false;
        };
        let length = head.length + REGULAR.len();
        if length > MOST {
            // No room: without the end of its stream it is malformed as well (section 8.1).
            if let Some(flags) = bytes.get_mut(4) {
                *flags &= !END_STREAM;
            }
            self.left = HEAD + head.length;
            return true;
        }
        let at = match head.begin_of_fields(bytes) {
            Begin::At(at) => at,
            Begin::NotYet => return false,
            Begin::Nowhere => {
                self.left = HEAD + head.length;
                return true;
            }
        };
        let behind = bytes.split_off(at);
        bytes.extend_from_slice(&REGULAR);
        bytes.unsplit(behind);
        let [_, lengths @ ..] = (length as u32).to_be_bytes();
        if let Some(field) = bytes.first_chunk_mut() {
            *field = lengths;
        }
        self.left = HEAD + length;
        true
    }
}

struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s, t, u, v] = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        })
    }

    /// Counts the frame, if it carries nothing of a request.
    fn count(&self, control: &mut ControlFrames) {
        let ends = match self.kind {
            SETTINGS => self.flags & ACK != 0,
            DATA => self.flags & END_STREAM != 0 || self.length > 0,
            CONTINUATION => self.flags & END_HEADERS != 0 || self.length > 0,
            _ => false,
        };
        match self.kind {
            PING => control.pings += 1,
            DATA | PRIORITY_FRAME | RST_STREAM | SETTINGS | CONTINUATION if !ends => {
                control.others += 1;
            }
            _ => {}
        }
    }

    /// Where the first field of a HEADERS frame begins: behind padding's length, priority, and new sizes of the table,
    /// which must be first (RFC 7541, section 4.2).
    fn begin_of_fields(&self, frame: &[u8]) -> Begin {
        let (padded, prioritised) = (self.flags & PADDED != 0, self.flags & PRIORITY != 0);
        let mut at = HEAD + usize::from(padded) + if prioritised { 5 } else { 0 };
        if frame.len() < at.min(HEAD + self.length) {
            return Begin::NotYet;
        }
        let padding = match padded {
            true => frame.get(HEAD).map_or(0, |&length| usize::from(length)),
            false => 0,
        };
        let end = HEAD + self.length;
        if at + padding > end {
            return Begin::Nowhere;
        }
        let end = end - padding;
        let mut in_size = false;
        while at < end {
            let Some(&byte) = frame.get(at) else {
                return Begin::NotYet;
            };
            in_size = match in_size {
                true => byte & 0x80 != 0,
                false if byte & 0xe0 == 0x20 => byte & 0x1f == 0x1f,
                false => break,
            };
            at += 1;
        }
        Begin::At(at)
    }
}

/// Where a frame's first field begins.
enum Begin {
    /// There.
    At(usize),
    /// That has not come yet.
    NotYet,
    /// The frame's parts are longer than itself, which ends the connection.
    Nowhere,
}

#[cfg(test)]
mod tests;
