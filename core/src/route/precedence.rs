//! Which of several routes takes a request that all of them match.

use std::cmp::Reverse;

use super::{PathPattern, Route, RouteIndex};
use crate::host::HostPattern;

/// The rank of a route on one of its hosts. Of the routes that match a request, the one of the smallest precedence takes
/// it: the most specific host, then the most specific path, then the one that asks for more, then the first in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    host: HostPrecedence,
    path: PathPrecedence,
    names_no_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    position: RouteIndex,
}

/// A named host, then the longest wildcard, then any host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostPrecedence {
    Exact,
    Wildcard(Reverse<usize>),
    Any,
}

/// An exact path, then regular expressions in file order (how much else they ask for does not count), then the longest
/// prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathPrecedence {
    Exact,
    Regex(RouteIndex),
    Prefix(Reverse<usize>),
}

impl Precedence {
    /// That of a route on one of its hosts; `None`: it names no host, and takes them all.
    pub fn of(position: RouteIndex, route: &Route, host: Option<&HostPattern>) -> Self {
        let wanted = &route.matches;
        Self {
            host: match host {
                Some(HostPattern::Exact(_)) => HostPrecedence::Exact,
                Some(HostPattern::Wildcard(suffix)) => {
                    HostPrecedence::Wildcard(Reverse(suffix.len()))
                }
                None => HostPrecedence::Any,
            },
            path: match &wanted.path {
                PathPattern::Exact(_) => PathPrecedence::Exact,
                PathPattern::Regex(_) => PathPrecedence::Regex(position),
                PathPattern::Prefix(prefix) => PathPrecedence::Prefix(Reverse(prefix.len())),
            },
            names_no_method: wanted.methods.is_empty(),
            headers: Reverse(wanted.headers.len()),
            query: Reverse(wanted.query.len()),
            position,
        }
    }
}
