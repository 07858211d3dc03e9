//! W3C Trace Context: a valid `traceparent` is continued, with this hop as the parent.

/// The `traceparent` to send for a valid one that came. The sampled flag is a trusted proxy's to set.
pub fn continued(sent: &[u8], span_id: u64, trusted: bool) -> Option<String> {
    let (trace, flags) = parsed(sent)?;
    let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1) && trusted;
    Some(format!(
        "00-{trace}-{span_id:016x}-{:02x}",
        u8::from(sampled)
    ))
}

/// The ID of the trace that a valid `traceparent` names.
pub fn trace_id(sent: &[u8]) -> Option<&str> {
    parsed(sent).map(|(trace, _)| trace)
}

/// Trace ID and flags of a valid one.
fn parsed(sent: &[u8]) -> Option<(&str, &str)> {
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
    Some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::continued;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn sent(value: &str, trusted: bool) -> Option<String> {
        continued(value.as_bytes(), 0x1f, trusted)
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
        let later = format!("01-{TRACE}-00f067aa0ba902b7-03-more");
        assert_eq!(
            sent(&later, true),
            Some(format!("00-{TRACE}-000000000000001f-01"))
        );
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
