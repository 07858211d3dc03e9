//! Hosts as requests, configuration and URLs write them.

use std::fmt;

/// Splits `host:port`, `[v6]:port` or a bare host.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && !host.ends_with(':') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A set of hosts, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// `*.suffix`: one or more labels before `.suffix`. Holds the suffix without its dot.
    Wildcard(Box<str>),
}

impl HostPattern {
    /// Whether the pattern covers a host in lower case.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => host
                .strip_suffix(&**suffix)
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// Whether the pattern covers a host, whatever the case of its letters.
    pub fn takes(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Wildcard(suffix) => {
                let (labels, end) = host
                    .len()
                    .checked_sub(suffix.len())
                    .and_then(|at| host.split_at_checked(at))
                    .unwrap_or_default();
                end.eq_ignore_ascii_case(suffix) && labels.len() > 1 && labels.ends_with('.')
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HostPattern, split_port};

    #[test]
    fn a_port_is_what_follows_the_last_colon_outside_of_brackets() {
        for (authority, host, port) in [
            ("a.example", "a.example", None),
            ("a.example:80", "a.example", Some("80")),
            ("a.example:", "a.example", Some("")),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some("80")),
            // Without brackets it would be a guess where the port begins.
            ("fe80::", "fe80::", None),
            ("", "", None),
        ] {
            assert_eq!(split_port(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        let wildcard = HostPattern::Wildcard("b.example".into());
        for host in ["a.b.example", "c.a.b.example"] {
            assert!(wildcard.matches(host) && wildcard.takes(host), "{host}");
            let upper = host.to_ascii_uppercase();
            assert!(!wildcard.matches(&upper) && wildcard.takes(&upper));
        }
        for host in ["b.example", ".b.example", "ab.example", ""] {
            assert!(!wildcard.matches(host) && !wildcard.takes(host), "{host}");
        }
        let exact = HostPattern::Exact("b.example".into());
        assert!(exact.matches("b.example") && exact.takes("B.example"));
        assert!(!exact.matches("B.example") && !exact.takes("a.b.example"));
    }
}
