//! Where the frames of a WebSocket end (RFC 6455, section 5.2): between two of them, and nowhere else, a close frame can be
//! put in. Control frames may stand between the fragments of a message. And what client and server prove to each other at the
//! beginning.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha1::{Digest as _, Sha1};

/// A close frame for clients, which servers do not mask: 1012, the service restarts. Clients come back after that.
pub const SERVICE_RESTART: [u8; 4] = [0x88, 2, 0x03, 0xf4];

/// What a server proves with that it knows WebSockets (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Key` of a request, from 16 random bytes.
pub fn key_of(random: [u8; 16]) -> String {
    BASE64_STANDARD.encode(random)
}

/// `Sec-WebSocket-Accept` of the answer to a request with this key.
pub fn accept_of(key: &str) -> String {
    let proof = Sha1::new().chain_update(key).chain_update(GUID);
    BASE64_STANDARD.encode(proof.finalize())
}

/// The longest head of a frame: two bytes, eight of a length, four of a mask.
const LONGEST_HEAD: usize = 14;

/// How far the frames have come that one side sends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames {
    head: [u8; LONGEST_HEAD],
    /// Bytes of the current frame's head so far.
    begun: usize,
    /// Bytes of the current frame's payload that are yet to come.
    left: u64,
}

impl Frames {
    /// Whether the last frame is whole, and no other has begun.
    pub fn are_whole(&self) -> bool {
        self.begun == 0 && self.left == 0
    }

    /// Takes in what follows.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let length = self.pass_one(bytes);
            bytes = bytes.get(length..).unwrap_or_default();
        }
    }

    /// Takes in what follows up to the end of the current frame. How many bytes that were.
    pub fn pass_one(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(taken) else {
                return taken;
            };
            taken += 1;
            if let Some(place) = self.head.get_mut(self.begun) {
                *place = *byte;
            }
            self.begun += 1;
            if let Some(length) = self.payload() {
                (self.begun, self.left) = (0, length);
                if length == 0 {
                    return taken;
                }
            }
        }
        let rest = bytes.len() - taken;
        let now = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
        self.left -= now as u64;
        taken + now
    }

    /// The payload's length, once the head is whole.
    fn payload(&self) -> Option<u64> {
        let second = self.head.get(1).filter(|_| self.begun >= 2)?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.begun < 2 + extended + mask {
            return None;
        }
        if extended == 0 {
            return Some(u64::from(second & 0x7f));
        }
        let digits = self.head.get(2..2 + extended)?;
        Some(
            digits
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, SERVICE_RESTART, accept_of, key_of};

    #[test]
    fn keys_and_their_answers_are_the_standards() {
        let key = key_of(*b"the sample nonce");
        assert_eq!(key, "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept_of(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn frame(length: usize, mask: bool) -> Vec<u8> {
        let bit = if mask { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match length {
            0..126 => frame.push(bit | length as u8),
            126..0x1_0000 => {
                frame.push(bit | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![7; if mask { length + 4 } else { length }]);
        frame
    }

    #[test]
    fn frames_of_every_length_end_where_they_end_however_they_come() {
        for mask in [false, true] {
            for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000] {
                let one = frame(length, mask);
                let two = [one.as_slice(), &SERVICE_RESTART].concat();
                let mut frames = Frames::default();
                assert_eq!(frames.pass_one(&two), one.len(), "{length} {mask}");
                assert!(frames.are_whole());
                assert_eq!(frames.pass_one(&two[one.len()..]), SERVICE_RESTART.len());
                let mut frames = Frames::default();
                for (index, byte) in two.iter().enumerate() {
                    frames.pass(&[*byte]);
                    let ends = index + 1 == one.len() || index + 1 == two.len();
                    assert_eq!(frames.are_whole(), ends, "{length} {mask} {index}");
                }
                let mut frames = Frames::default();
                frames.pass(&two);
                assert!(frames.are_whole());
                frames.pass(&one[..one.len() - 1]);
                assert!(!frames.are_whole());
            }
        }
    }

    #[test]
    fn no_length_that_is_stated_is_too_long_to_be_waited_for() {
        let mut frames = Frames::default();
        let head = [0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(frames.pass_one(&head), head.len());
        assert_eq!(frames.pass_one(&[0; 100]), 100);
        assert!(!frames.are_whole());
    }
}
