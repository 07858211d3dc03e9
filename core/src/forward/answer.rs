//! Where an upstream's answer ends, held to the same strictness as a request. Where the head leaves one reading only, it
//! is mended for those who would stumble over it (HTTP/2 clients end such a stream with PROTOCOL_ERROR); where it
//! leaves two, the answer is none.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use thiserror::Error;

use crate::request::field;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What is mended in an answer's head, and what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mending {
    /// Drops `Content-Length` and `Transfer-Encoding`: such an answer has no body that they could frame (RFC 9110,
    /// section 8.6; RFC 9112, section 6.1).
    pub unframed: bool,
    /// Writes one `Content-Length` in place of several that say the same (RFC 9110, section 8.6).
    pub length: Option<u64>,
    /// Drops the body: a 205 has none (RFC 9110, section 15.3.6), and who knows that takes it for the next answer.
    pub emptied: bool,
    /// The upstream may still send what nobody is going to read: its connection must not be used again.
    pub last: bool,
}

/// Why an answer's end is not certain.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Flaw {
    /// A coding other than `chunked`, or several.
    #[error("the answer's Transfer-Encoding is not just chunked")]
    Coding,
    /// RFC 9112, section 6.1: such framing is faulty.
    #[error("an answer of HTTP/1.0 has a Transfer-Encoding")]
    CodingInHttp10,
    /// Lengths that differ, or are none.
    #[error("the answer's Content-Length is not one number")]
    Length,
}

/// Reads the framing of an answer's head, interim ones included.
pub fn read(status: StatusCode, version: Version, headers: &HeaderMap) -> Result<Mending, Flaw> {
    let length = field::first(headers, &CONTENT_LENGTH);
    let coded = field::has(headers, &TRANSFER_ENCODING);
    if length.is_none() && !coded && status != StatusCode::RESET_CONTENT {
        return Ok(Mending::default());
    }
    if coded {
        read_coding(version, headers)?;
    }
    let length = match length {
        Some(first) => read_length(first, headers)?,
        None => Length::default(),
    };
    let empty = !coded && length.value == Some(0);
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Ok(Mending {
            unframed: true,
            last: !empty,
            ..Mending::default()
        });
    }
    Ok(Mending {
        length: length.value.filter(|_| length.repeated),
        emptied: status == StatusCode::RESET_CONTENT && !empty,
        ..Mending::default()
    })
}

fn read_coding(version: Version, headers: &HeaderMap) -> Result<(), Flaw> {
    if version <= Version::HTTP_10 {
        return Err(Flaw::CodingInHttp10);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next().is_some_and(is_chunked), codings.next()) {
        (true, None) => Ok(()),
        _ => Err(Flaw::Coding),
    }
}

/// What `Content-Length` says.
#[derive(Clone, Copy, Default)]
struct Length {
    value: Option<u64>,
    /// Whether it says so more than once.
    repeated: bool,
}

fn read_length(first: &HeaderValue, headers: &HeaderMap) -> Result<Length, Flaw> {
    let of_name = |(name, _): &(&HeaderName, &HeaderValue)| **name == CONTENT_LENGTH;
    let lines = || headers.iter().filter(of_name);
    let is_one = lines().nth(1).is_none();
    if is_one && let Some(value) = number(first.as_bytes()) {
        return Ok(Length {
            value: Some(value),
            repeated: false,
        });
    }
    let mut length = Length::default();
    let parts = lines().flat_map(|(_, line)| line.as_bytes().split(|&byte| byte == b','));
    for part in parts {
        let value = number(part).ok_or(Flaw::Length)?;
        length.repeated = length.value.is_some();
        if length.value.is_some_and(|before| before != value) {
            return Err(Flaw::Length);
        }
        length.value = Some(value);
    }
    Ok(length)
}

/// Digits, with spaces and tabs around them, that are a number.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    let first = (!digits.is_empty()).then_some(0_u64)?;
    digits.iter().try_fold(first, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// How long an upstream's connection may rest, as its answer says (`Keep-Alive: timeout=`, RFC 2068, section 19.7.1.1,
/// in seconds). Shorter than that: the upstream's clock began to run before ours, and what is sent at the last moment
/// may meet a closed connection.
pub fn rest(headers: &HeaderMap) -> Option<Duration> {
    let value = field::first(headers, &KEEP_ALIVE)?.to_str().ok()?;
    let timeout = value.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        is_timeout.then(|| number(value.trim().trim_matches('"').as_bytes()))?
    })?;
    let timeout = Duration::from_secs(timeout.min(u64::from(u32::MAX)));
    Some(timeout.saturating_sub(MARGIN).max(timeout / 2))
}

/// How long before its time a connection is given up.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
