//! The name that this gateway has in `Via` (RFC 9110, section 7.6.3), and loops known by it.

use http::header::{HeaderMap, VIA};

/// This gateway's entries in `Via`. The name is a random one of this process: two gateways in a chain, of the same
/// configuration even, are no loop, and one that meets its own name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    name: &'static str,
    http10: &'static str,
    http11: &'static str,
    http2: &'static str,
}

/// What a client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Via {
    /// The entries of a gateway whose name ends in `id`. They are never given back: a process makes them once.
    pub fn new(id: u32) -> Self {
        let leak = |text: String| -> &'static str { String::leak(text) };
        let name = leak(format!("serin-{id:08x}"));
        let entry = |protocol| leak(format!("{protocol} {name}"));
        Self {
            name,
            http10: entry("1.0"),
            http11: entry("1.1"),
            http2: entry("2"),
        }
    }

    /// What is added for a request that came by this protocol.
    pub fn entry(&self, protocol: Protocol) -> &'static str {
        match protocol {
            Protocol::Http10 => self.http10,
            Protocol::Http11 => self.http11,
            Protocol::Http2 => self.http2,
        }
    }

    /// Whether a request has been through this gateway already.
    pub fn has_passed(&self, headers: &HeaderMap) -> bool {
        let fields = headers.iter().filter(|(name, _)| *name == VIA);
        let mut entries =
            fields.flat_map(|(_, value)| value.as_bytes().split(|byte| *byte == b','));
        entries.any(|entry| self.is_ours(entry))
    }

    /// Whether an entry, a protocol and who received it by it, names this gateway.
    fn is_ours(&self, entry: &[u8]) -> bool {
        let mut words = entry
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty());
        words
            .nth(1)
            .is_some_and(|by| by.eq_ignore_ascii_case(self.name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{HeaderValue, VIA};

    use super::{Protocol, Via};

    #[test]
    fn a_gateway_knows_its_own_name_and_no_other() {
        let via = Via::new(7);
        assert_eq!(via.entry(Protocol::Http10), "1.0 serin-00000007");
        assert_eq!(via.entry(Protocol::Http2), "2 serin-00000007");
        for (fields, expected) in [
            (&["1.1 serin-00000007"][..], true),
            (&["1.0 edge, 2  SERIN-00000007 (here), 1.1 x"], true),
            (&["1.0 edge", "HTTP/1.1\tserin-00000007"], true),
            (&[], false),
            (&["1.1 serin-00000008"], false),
            (&["1.1 serin"], false),
            (&["1.1 edge (serin-00000007)"], false),
            (&["serin-00000007"], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(VIA, HeaderValue::from_static(field));
            }
            assert_eq!(via.has_passed(&headers), expected, "{fields:?}");
        }
    }
}
