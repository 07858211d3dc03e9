//! Finds the route of a request: by hash of host and path, never by scanning (regular expressions aside).
//!
//! Precedence is lexicographic: host (exact, then the longest wildcard, then none), path (exact, then regular
//! expressions in file order, then the longest prefix), then methods named, header matches, query matches, file
//! order. A route that does not match lets the next one in this order try, also one of a less specific host.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::{HeaderMatch, PathPattern, QueryMatch, Route, RouteIndex, ValuePattern};
use crate::host::HostPattern;
use crate::request::path::NormalPath;
use crate::request::{RequestHead, form_decoded};

/// Every route, laid out for look-up.
#[derive(Debug, Default)]
pub struct Router {
    exact_hosts: FxHashMap<Box<str>, PathTable>,
    /// By what follows `*.`.
    wildcard_hosts: FxHashMap<Box<str>, PathTable>,
    any_host: PathTable,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct PathTable {
    exact: FxHashMap<Box<str>, Vec<RouteIndex>>,
    /// In file order.
    regexes: Vec<RouteIndex>,
    prefixes: FxHashMap<Box<str>, Vec<RouteIndex>>,
    /// The length of the longest key of `prefixes`: longer ones need not be looked up.
    longest_prefix: usize,
}

impl Router {
    /// Lays out routes.
    pub fn new(routes: &[Route]) -> Self {
        let mut router = Self::default();
        let mut ranked: Vec<RouteIndex> = (0..routes.len()).collect();
        // Every list below keeps this order, so that the first of a list that matches is the right one.
        ranked.sort_by_key(|&index| rank(&routes[index]));
        for index in ranked {
            let hosts = &routes[index].matches.hosts;
            for host in hosts {
                let table = match host {
                    HostPattern::Exact(name) => router.exact_hosts.entry(name.clone()),
                    HostPattern::Wildcard(suffix) => router.wildcard_hosts.entry(suffix.clone()),
                };
                table.or_default().insert(index, &routes[index]);
            }
            if hosts.is_empty() {
                router.any_host.insert(index, &routes[index]);
            }
        }
        let tables = router
            .exact_hosts
            .values_mut()
            .chain(router.wildcard_hosts.values_mut());
        for table in tables.chain([&mut router.any_host]) {
            table.regexes.sort_unstable();
        }
        router
    }

    /// The route that takes a request. `routes` is the list the router was made of.
    pub fn find(
        &self,
        routes: &[Route],
        head: &RequestHead<'_>,
        path: &NormalPath<'_>,
    ) -> Option<RouteIndex> {
        let in_table = |table: &PathTable| table.find(routes, head, path.as_str());
        if self.exact_hosts.is_empty() && self.wildcard_hosts.is_empty() {
            return in_table(&self.any_host);
        }
        let host = lower_case(head.host());
        let host = host.strip_suffix('.').unwrap_or(&host);
        if let Some(found) = self.exact_hosts.get(host).and_then(in_table) {
            return Some(found);
        }
        if !self.wildcard_hosts.is_empty() {
            let mut labels = host;
            while let Some((_, suffix)) = labels.split_once('.') {
                if let Some(found) = self.wildcard_hosts.get(suffix).and_then(in_table) {
                    return Some(found);
                }
                labels = suffix;
            }
        }
        in_table(&self.any_host)
    }
}

impl PathTable {
    fn insert(&mut self, index: RouteIndex, route: &Route) {
        match &route.matches.path {
            PathPattern::Exact(path) => self.exact.entry(path.clone()).or_default().push(index),
            PathPattern::Regex(_) => self.regexes.push(index),
            PathPattern::Prefix(prefix) => {
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefixes.entry(prefix.clone()).or_default().push(index);
            }
        }
    }

    fn find(&self, routes: &[Route], head: &RequestHead<'_>, path: &str) -> Option<RouteIndex> {
        let first = |list: &Vec<RouteIndex>| {
            list.iter()
                .copied()
                .find(|&index| holds(&routes[index], head))
        };
        if let Some(found) = self.exact.get(path).and_then(first) {
            return Some(found);
        }
        let by_regex = self.regexes.iter().copied().find(|&index| {
            matches!(&routes[index].matches.path, PathPattern::Regex(regex) if regex.is_match(path))
                && holds(&routes[index], head)
        });
        if by_regex.is_some() {
            return by_regex;
        }
        let mut prefix = path.strip_suffix('/').unwrap_or(path);
        loop {
            if prefix.len() <= self.longest_prefix
                && let Some(found) = self.prefixes.get(prefix).and_then(first)
            {
                return Some(found);
            }
            let at = prefix.rfind('/')?;
            prefix = &prefix[..at];
        }
    }
}

/// What orders routes of one host and path: smaller goes first.
fn rank(route: &Route) -> (bool, usize, usize) {
    let wanted = &route.matches;
    (
        wanted.methods.is_empty(),
        usize::MAX - wanted.headers.len(),
        usize::MAX - wanted.query.len(),
    )
}

/// Whether method, headers and query are as the route asks.
fn holds(route: &Route, head: &RequestHead<'_>) -> bool {
    let wanted = &route.matches;
    (wanted.methods.is_empty()
        || wanted
            .methods
            .iter()
            .any(|method| method.as_str() == head.method))
        && wanted.headers.iter().all(|field| header_holds(field, head))
        && wanted
            .query
            .iter()
            .all(|parameter| query_holds(parameter, head))
}

pub(super) fn header_holds(wanted: &HeaderMatch, head: &RequestHead<'_>) -> bool {
    let name = wanted.name.as_str();
    match &wanted.value {
        ValuePattern::Present(present) => head.headers.first(name).is_some() == *present,
        pattern => {
            let mut found = false;
            head.headers.visit(name, &mut |value| {
                found |= std::str::from_utf8(value).is_ok_and(|text| value_holds(pattern, text));
            });
            found
        }
    }
}

pub(super) fn query_holds(wanted: &QueryMatch, head: &RequestHead<'_>) -> bool {
    let value = head.query_value(&wanted.name);
    match (&wanted.value, value) {
        (ValuePattern::Present(present), value) => value.is_some() == *present,
        (_, None) => false,
        (pattern, Some(value)) => {
            form_decoded(value).is_some_and(|text| value_holds(pattern, &text))
        }
    }
}

fn value_holds(pattern: &ValuePattern, text: &str) -> bool {
    match pattern {
        ValuePattern::Exact(wanted) => **wanted == *text,
        ValuePattern::Regex(regex) => regex.is_match(text),
        ValuePattern::Present(present) => *present,
    }
}

/// A host in lower case, without taking memory for what clients send: names that are so already are borrowed.
fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests;
