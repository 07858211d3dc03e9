//! A record's bytes: length, checksum, sequence, time, payload. Numbers are little-endian.

use std::io::{self, ErrorKind, Read};

use crate::context::Moment;

/// What stands before the payload.
pub(super) const HEAD: usize = 24;
/// The longest payload. A length beyond it is damage, and nobody allocates by it.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// A record of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: later records have greater ones.
    pub sequence: u64,
    /// When it was appended.
    pub at: Moment,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole record.
    Record(Record),
    /// Nothing: the segment ends here.
    End,
    /// Something that is no record.
    Damage,
}

/// How many bytes a record with such a payload takes.
pub(super) fn size(payload: usize) -> u64 {
    (HEAD + payload) as u64
}

/// Writes a record's bytes.
pub(super) fn encode(sequence: u64, at: Moment, payload: &[u8], into: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let checksum = checksum(length, sequence, at, payload);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&checksum.to_le_bytes());
    into.extend_from_slice(&sequence.to_le_bytes());
    into.extend_from_slice(&at.unix_ms.to_le_bytes());
    into.extend_from_slice(payload);
}

/// Reads the record that is next, of which `left` bytes are there at most. Its sequence has to be at least `least`.
///
/// # Errors
/// What the system says. A file that ends early is no error: its last record is damaged.
pub(super) fn read(from: &mut impl Read, left: u64, least: u64) -> io::Result<Found> {
    if left == 0 {
        return Ok(Found::End);
    }
    let (mut length, mut sum) = ([0; 4], [0; 4]);
    let (mut sequence, mut at) = ([0; 8], [0; 8]);
    for part in [
        &mut length[..],
        &mut sum[..],
        &mut sequence[..],
        &mut at[..],
    ] {
        if !is_filled(from, part)? {
            return Ok(Found::Damage);
        }
    }
    let (length, sequence) = (u32::from_le_bytes(length), u64::from_le_bytes(sequence));
    let at = Moment {
        unix_ms: i64::from_le_bytes(at),
    };
    let payload = length as usize;
    if payload > MAX_PAYLOAD || size(payload) > left || sequence < least {
        return Ok(Found::Damage);
    }
    let mut payload = vec![0; payload];
    let is_whole = is_filled(from, &mut payload)?
        && checksum(length, sequence, at, &payload) == u32::from_le_bytes(sum);
    Ok(if is_whole {
        Found::Record(Record {
            sequence,
            at,
            payload,
        })
    } else {
        Found::Damage
    })
}

/// Fills a buffer; `false`: the file ends before.
fn is_filled(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn checksum(length: u32, sequence: u64, at: Moment, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&at.unix_ms.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
