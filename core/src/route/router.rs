//! Finds the route of a request: by hash of host and path, never by scanning (regular expressions aside).
//!
//! [`Precedence`] says which of several routes takes a request. A route that does not match lets the next one in this order
//! try, also one of a less specific host.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::precedence::Precedence;
use super::{HeaderMatch, PathPattern, QueryMatch, Route, RouteIndex, ValuePattern};
use crate::host::HostPattern;
use crate::indexed::Indexed;
use crate::request::path::NormalPath;
use crate::request::{RequestHead, form_decoded};

/// Every route, laid out for look-up.
#[derive(Debug, Default)]
pub struct Router {
    routes: Indexed<RouteIndex, Route>,
    exact_hosts: FxHashMap<Box<str>, PathTable>,
    /// By what follows `*.`.
    wildcard_hosts: FxHashMap<Box<str>, PathTable>,
    any_host: PathTable,
}

/// The routes of one host; every list is in the order of precedence.
#[derive(Debug, Default)]
struct PathTable {
    exact: FxHashMap<Box<str>, Vec<RouteIndex>>,
    regexes: Vec<RouteIndex>,
    prefixes: FxHashMap<Box<str>, Vec<RouteIndex>>,
    /// The length of the longest key of `prefixes`: longer ones need not be looked up.
    longest_prefix: usize,
}

impl Router {
    /// Lays out routes, which are in the order of their file.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut router = Self::default();
        let routes = Indexed::from(routes);
        let mut ranked: Vec<(Precedence, RouteIndex, &Route, Option<&HostPattern>)> = Vec::new();
        for (index, route) in routes.entries() {
            let hosts = route.matches.hosts.iter().map(Some);
            let any_host = route.matches.hosts.is_empty().then_some(None);
            ranked.extend(hosts.chain(any_host).map(|host| {
                let precedence = Precedence::of(index, route, host);
                (precedence, index, route, host)
            }));
        }
        ranked.sort_unstable_by_key(|(precedence, ..)| *precedence);
        for (_, index, route, host) in ranked {
            let table = match host {
                Some(HostPattern::Exact(name)) => {
                    router.exact_hosts.entry(name.clone()).or_default()
                }
                Some(HostPattern::Wildcard(suffix)) => {
                    router.wildcard_hosts.entry(suffix.clone()).or_default()
                }
                None => &mut router.any_host,
            };
            table.insert(index, route);
        }
        router.routes = routes;
        router
    }

    /// The routes, in the order of their file.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// A route that was found here; `None` for an index that another, longer list of routes has.
    pub fn route(&self, index: RouteIndex) -> Option<&Route> {
        self.routes.get(index)
    }

    /// The route that takes a request.
    pub fn find(
        &self,
        head: &RequestHead<'_>,
        path: &NormalPath<'_>,
    ) -> Option<(RouteIndex, &Route)> {
        let in_table = |table: &PathTable| table.find(&self.routes, head, path.as_str());
        let index = self.search(head, in_table)?;
        Some((index, self.routes.get(index)?))
    }

    /// The first find in the tables of a request's host, the most specific one first.
    fn search(
        &self,
        head: &RequestHead<'_>,
        in_table: impl Fn(&PathTable) -> Option<RouteIndex>,
    ) -> Option<RouteIndex> {
        if self.exact_hosts.is_empty() && self.wildcard_hosts.is_empty() {
            return in_table(&self.any_host);
        }
        let host = lower_case(head.host());
        let host = host.strip_suffix('.').unwrap_or(&host);
        if let Some(found) = self.exact_hosts.get(host).and_then(&in_table) {
            return Some(found);
        }
        if !self.wildcard_hosts.is_empty() {
            let mut labels = host;
            while let Some((_, suffix)) = labels.split_once('.') {
                if let Some(found) = self.wildcard_hosts.get(suffix).and_then(&in_table) {
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

    fn find(
        &self,
        routes: &Indexed<RouteIndex, Route>,
        head: &RequestHead<'_>,
        path: &str,
    ) -> Option<RouteIndex> {
        let is_met = |index: RouteIndex| routes.get(index).is_some_and(|route| holds(route, head));
        let first = |list: &Vec<RouteIndex>| list.iter().copied().find(|&index| is_met(index));
        if let Some(found) = self.exact.get(path).and_then(first) {
            return Some(found);
        }
        let by_regex = self.regexes.iter().copied().find(|&index| {
            let pattern = routes.get(index).map(|route| &route.matches.path);
            matches!(pattern, Some(PathPattern::Regex(regex)) if regex.is_match(path))
                && is_met(index)
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
            (prefix, _) = prefix.rsplit_once('/')?;
        }
    }
}

/// Whether method, headers and query are as the route asks.
pub(super) fn holds(route: &Route, head: &RequestHead<'_>) -> bool {
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
