//! What is believed of how a request came: under which ID, and by which scheme.

use http::HeaderValue;

use crate::request::RequestHead;

/// The ID under which a request appears in logs, of this hop and the next ones. The one it came with is kept if a trusted
/// proxy sent it: clients could pass others' off as theirs.
pub fn request_id(head: &RequestHead<'_>, fresh: impl FnOnce() -> HeaderValue) -> HeaderValue {
    let sent = head
        .peer_trusted
        .then(|| head.headers.first("x-request-id"));
    let sent = sent.flatten().map(HeaderValue::from_bytes);
    sent.and_then(Result::ok).unwrap_or_else(fresh)
}

/// Whether the client came by HTTPS: over a connection that is encrypted itself, or as a trusted proxy says by
/// `X-Forwarded-Proto`.
pub fn is_https(encrypted: bool, peer_trusted: bool, forwarded_proto: Option<&[u8]>) -> bool {
    let said = || forwarded_proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"));
    encrypted || (peer_trusted && said())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{is_https, request_id};
    use crate::request::{HeaderList, RequestHead};

    #[test]
    fn an_id_is_kept_only_from_a_trusted_proxy() {
        let sent = HeaderList::from_iter([("x-request-id", "sent")]);
        let none = HeaderList::default();
        let id = |headers: &HeaderList, peer_trusted| {
            let head = RequestHead {
                method: "GET",
                authority: "",
                path: "/",
                query: None,
                headers,
                peer: [192, 0, 2, 1].into(),
                peer_trusted,
            };
            request_id(&head, || HeaderValue::from_static("fresh"))
        };
        assert_eq!(id(&sent, true), "sent");
        assert_eq!(id(&sent, false), "fresh");
        assert_eq!(id(&none, true), "fresh");
    }

    #[test]
    fn https_is_the_connections_or_a_trusted_proxys_word() {
        assert!(is_https(true, false, None));
        assert!(is_https(false, true, Some(b"HTTPS")));
        assert!(!is_https(false, false, Some(b"https")));
        assert!(!is_https(false, true, Some(b"http")));
        assert!(!is_https(false, true, None));
        // Whoever speaks TLS to this gateway does so, whatever was said behind it.
        assert!(is_https(true, true, Some(b"http")));
    }
}
