//! Where what a client sends begins and ends, byte by byte: pure state machines that are given what has come, in
//! whatever pieces, and say how much of it belongs to the part that is being read.

pub mod chunks;
pub mod control;
pub mod frames;
pub mod head_end;
pub mod websocket;

use chunks::{Chunks, Malformed};
use head_end::HeadEnd;

/// How the end of a request's body is known (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length in bytes; without a body it is 0.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

/// Tells the requests of one HTTP/1 connection apart: each is handed on up to its end and no further, and what is behind
/// it waits until it has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    part: Part,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head(HeadEnd),
    /// The head has come; nobody has said yet how the body ends.
    Between,
    Length(u64),
    Chunks(Chunks),
    /// The request has come whole.
    Over,
    /// What comes is no longer HTTP.
    Tunnel,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            part: Part::Head(HeadEnd::default()),
            framing: Framing::Length(0),
        }
    }
}

impl Requests {
    /// How many of these bytes belong to what is being read: all of them, or those up to its end.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match &mut self.part {
            Part::Head(head) => match head.find(bytes) {
                Some(end) => {
                    self.part = Part::Between;
                    Ok(end)
                }
                None => Ok(bytes.len()),
            },
            Part::Length(left) => {
                let length =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= length as u64;
                if *left == 0 {
                    self.part = Part::Over;
                }
                Ok(length)
            }
            Part::Chunks(chunks) => {
                let length = chunks.read(bytes)?;
                if chunks.are_over() {
                    self.part = Part::Over;
                }
                Ok(length)
            }
            Part::Between | Part::Over => Ok(0),
            Part::Tunnel => Ok(bytes.len()),
        }
    }

    /// Whether a head is being read.
    pub fn are_at_head(&self) -> bool {
        matches!(self.part, Part::Head(_))
    }

    /// Whether a head has come, and its body's framing is waited for.
    pub fn awaits_framing(&self) -> bool {
        self.part == Part::Between
    }

    /// Whether a request has come whole.
    pub fn are_over(&self) -> bool {
        self.part == Part::Over
    }

    /// Says how the body ends behind the head that has come.
    pub fn frame(&mut self, framing: Framing) {
        self.framing = framing;
        self.part = match framing {
            Framing::Length(0) => Part::Over,
            Framing::Length(length) => Part::Length(length),
            Framing::Chunked => Part::Chunks(Chunks::default()),
        };
    }

    /// Begins the next head, or goes on with one that was taken to be over.
    pub fn begin_head(&mut self) {
        self.part = Part::Head(HeadEnd::default());
    }

    /// Hands everything on from now on.
    pub fn open_tunnel(&mut self) {
        self.part = Part::Tunnel;
    }

    /// Whether what was sent ahead behind the current request may be taken for another one. Servers disagree on where
    /// some chunked bodies end.
    pub fn may_be_followed(&self) -> bool {
        self.framing != Framing::Chunked
    }
}

#[cfg(test)]
mod tests;
