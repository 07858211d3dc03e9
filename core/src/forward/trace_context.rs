//! W3C Trace Context (<https://www.w3.org/TR/trace-context-2/>): a valid `traceparent` is continued, with this hop as the parent.

use http::HeaderValue;

/// The flag of a trace that is recorded.
pub const SAMPLED: u8 = 1;
/// The flag of a trace whose ID is random in its last 56 bits.
pub const RANDOM: u8 = 2;

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The ID of the trace, not 0.
    pub trace: u128,
    /// The ID of the sender's span, not 0.
    pub span: u64,
    /// [`SAMPLED`], [`RANDOM`], both or neither.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the value of a header field; `None`: it is not valid. Flags that mean nothing here are left out.
    pub fn read(sent: &[u8]) -> Option<Self> {
        let (trace, span, flags) = parsed(sent)?;
        Some(Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()? & (SAMPLED | RANDOM),
        })
    }

    /// The value of a header field.
    pub fn header(self) -> Option<HeaderValue> {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (trace, span) = (hex(self.trace), hex(u128::from(self.span)));
        value.get_mut(3..35)?.copy_from_slice(&trace);
        value.get_mut(36..52)?.copy_from_slice(span.get(16..)?);
        *value.last_mut()? = b'0' + (self.flags & (SAMPLED | RANDOM));
        HeaderValue::from_bytes(&value).ok()
    }
}

/// The `traceparent` to send for a valid one that came. Its flags are a trusted proxy's to set.
pub fn continued(sent: &[u8], span: u64, trusted: bool) -> Option<HeaderValue> {
    let came = TraceParent::read(sent)?;
    let flags = if trusted { came.flags } else { 0 };
    TraceParent {
        span,
        flags,
        ..came
    }
    .header()
}

/// The ID of the trace that a valid `traceparent` names.
pub fn trace_id(sent: &[u8]) -> Option<&str> {
    parsed(sent).map(|(trace, ..)| trace)
}

/// An ID in hexadecimal. By hand: every request needs one.
pub fn hex(id: u128) -> [u8; 32] {
    let mut digits = [b'0'; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(id.to_be_bytes()) {
        for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = half + if half < 10 { b'0' } else { b'a' - 10 };
        }
    }
    digits
}

/// Trace ID, span ID and flags of a valid one.
fn parsed(sent: &[u8]) -> Option<(&str, &str, &str)> {
    let sent = std::str::from_utf8(sent).ok()?;
    let mut parts = sent.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let some = |part: &str| part.bytes().any(|byte| byte != b'0');
    // Version 00 has four parts; later ones may have more, which a hop that does not know them leaves out.
    let whole = version != "00" || parts.next().is_none();
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && whole;
    if !valid || !some(trace) || !some(parent) {
        return None;
    }
    Some((trace, parent, flags))
}

#[cfg(test)]
mod tests {
    use super::{TraceParent, continued};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn sent(value: &str, trusted: bool) -> Option<String> {
        let continued = continued(value.as_bytes(), 0x1f, trusted)?;
        Some(continued.to_str().expect("a text").to_owned())
    }

    #[test]
    fn a_valid_trace_goes_on_under_a_new_parent() {
        let came = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(
            sent(&came, true),
            Some(format!("00-{TRACE}-000000000000001f-01"))
        );
        assert_eq!(
            sent(&came, false),
            Some(format!("00-{TRACE}-000000000000001f-00"))
        );
        // Of a later version the flags that are known: it is sampled, and its ID is random.
        let later = format!("01-{TRACE}-00f067aa0ba902b7-07-more");
        assert_eq!(
            sent(&later, true),
            Some(format!("00-{TRACE}-000000000000001f-03"))
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let parent = TraceParent {
            trace: 0x0123_4567_89ab_cdef_0fed_cba9_8765_4321,
            span: u64::MAX - 1,
            flags: 2,
        };
        let header = parent.header().expect("a value");
        assert_eq!(
            header,
            "00-0123456789abcdef0fedcba987654321-fffffffffffffffe-02"
        );
        assert_eq!(TraceParent::read(header.as_bytes()), Some(parent));
    }

    #[test]
    fn what_is_not_valid_is_not_continued() {
        for value in [
            "",
            "00",
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-x"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{TRACE}-00f067aa0ba902b7-0g"),
        ] {
            assert_eq!(sent(value, true), None, "{value}");
        }
    }
}
