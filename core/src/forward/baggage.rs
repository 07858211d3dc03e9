//! W3C baggage: Serin's own member is added to what the client sent, and nothing else of it is touched.

use http::HeaderValue;

use crate::request::RequestHead;

/// What stays of the baggage that came: members in their order, as they were written. A client that is no trusted
/// proxy may not speak for Serin (`serin.*`), and nobody may for this service.
pub fn kept(head: &RequestHead<'_>, service: &str) -> Vec<u8> {
    let mut kept = Vec::new();
    head.headers.visit("baggage", &mut |field| {
        for member in field.split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            if !member.is_empty() && may_pass(member, service, head.peer_trusted) {
                if !kept.is_empty() {
                    kept.push(b',');
                }
                kept.extend_from_slice(member);
            }
        }
    });
    kept
}

fn may_pass(member: &[u8], service: &str, trusted: bool) -> bool {
    let mut parts = member.splitn(2, |byte| matches!(byte, b'=' | b';'));
    let key = parts.next().unwrap_or_default().trim_ascii();
    let Some(name) = strip_prefix_ignoring_case(key, b"serin.") else {
        return true;
    };
    trusted && name != service.as_bytes()
}

fn strip_prefix_ignoring_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The header's value: what was kept, and Serin's own member.
pub fn joined(mut kept: Vec<u8>, own: &HeaderValue) -> HeaderValue {
    if kept.is_empty() {
        return own.clone();
    }
    kept.push(b',');
    kept.extend_from_slice(own.as_bytes());
    HeaderValue::from_bytes(&kept).unwrap_or_else(|_| own.clone())
}
