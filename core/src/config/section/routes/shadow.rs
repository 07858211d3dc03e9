//! Finds routes that an earlier one takes every request from.

use std::collections::HashMap;

use crate::host::HostPattern;
use crate::route::{PathPattern, RouteMatch, ValuePattern};

/// The matches of the routes so far, each with its route's number and line: several may stand in one line.
#[derive(Debug, Default)]
pub struct EarlierRoutes {
    routes: usize,
    shapes: HashMap<Shape, (usize, usize)>,
}

/// One host, one path, one method, and all that headers and query must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shape {
    host: Option<HostPattern>,
    path: (u8, String),
    method: Option<http::Method>,
    values: Vec<(u8, String, (u8, String))>,
}

impl EarlierRoutes {
    /// Adds a route by what it matches. If earlier routes match all of it in the same way, so that the order in the file
    /// decides, the line of one of them.
    pub fn take_in(&mut self, matches: &RouteMatch, line: usize) -> Option<usize> {
        let mut shapes = Vec::new();
        for host in every_or(&matches.hosts) {
            for method in every_or(&matches.methods) {
                shapes.push(Shape {
                    host: host.clone(),
                    path: path(&matches.path),
                    method,
                    values: values(matches),
                });
            }
        }
        self.routes += 1;
        let mut taken_by = None;
        let mut anything_left = false;
        for shape in shapes {
            match self.shapes.get(&shape) {
                Some((route, line)) if *route != self.routes => taken_by = Some(*line),
                // Its own: a host that it names twice.
                Some(_) => {}
                None => {
                    anything_left = true;
                    self.shapes.insert(shape, (self.routes, line));
                }
            }
        }
        taken_by.filter(|_| !anything_left)
    }
}

/// `None` stands for every one.
fn every_or<T: Clone>(stated: &[T]) -> Vec<Option<T>> {
    if stated.is_empty() {
        vec![None]
    } else {
        stated.iter().cloned().map(Some).collect()
    }
}

fn path(pattern: &PathPattern) -> (u8, String) {
    match pattern {
        PathPattern::Prefix(prefix) => (0, prefix.to_string()),
        PathPattern::Exact(exact) => (1, exact.to_string()),
        PathPattern::Regex(regex) => (2, regex.as_str().to_owned()),
    }
}

fn values(matches: &RouteMatch) -> Vec<(u8, String, (u8, String))> {
    let pattern = |value: &ValuePattern| match value {
        ValuePattern::Exact(text) => (0, text.to_string()),
        ValuePattern::Regex(regex) => (1, regex.as_str().to_owned()),
        ValuePattern::Present(present) => (2, present.to_string()),
    };
    let headers = matches
        .headers
        .iter()
        .map(|header| (0, header.name.to_string(), pattern(&header.value)));
    let query = matches
        .query
        .iter()
        .map(|query| (1, query.name.to_string(), pattern(&query.value)));
    let mut values: Vec<_> = headers.chain(query).collect();
    values.sort();
    values
}
