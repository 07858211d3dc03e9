//! `routes`.

pub mod actions;
pub(super) mod browsers;
mod guard;
pub mod shadow;

use std::collections::{HashMap, HashSet};

use regex::Regex;
use shadow::EarlierRoutes;

use crate::config::diagnostic::Span;
use crate::config::keys::ROUTES;
use crate::config::keys::key::Group;
use crate::config::keys::routes as keys;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Pair, Value};
use crate::config::reader::Reader;
use crate::config::section::headers::{self, Side};
use crate::host::HostPattern;
use crate::request::path::{pattern, sendable};
use crate::route::{HeaderMatch, PathPattern, QueryMatch, Route, RouteMatch, ValuePattern};

/// The keys that say which requests a route takes.
static MATCH_KEYS: [&Group; 5] = [
    &keys::HOSTS,
    &keys::PATH,
    &keys::METHODS,
    &keys::HEADERS,
    &keys::QUERY,
];

/// The words for the names of query parameters in warnings.
pub(super) const PARAMETERS: &str = "names of query parameters";

/// Compiles `routes`, in file order.
pub fn compile(reader: &mut Reader, root: &Node) -> Vec<Route> {
    let services = actions::Services::new(root);
    let nodes = ROUTES.items(root);
    if let (Some(pair), []) = (ROUTES.pair(root), nodes)
        && matches!(pair.value.value, Value::List(_))
    {
        reader
            .problems
            .error(pair.key_span, "there is no route")
            .hint("as in `- { path: /, service: search }`");
    }
    let mut names = DistinctNames::default();
    let mut earlier = EarlierRoutes::default();
    let mut routes = Vec::new();
    for node in nodes {
        let before = reader.problems.len();
        let matches = matches(reader, node);
        // Whether an earlier route takes the same requests is not known where something could not be read.
        let known = reader.problems.len() == before
            && !MATCH_KEYS
                .iter()
                .any(|key| key.node(node).is_some_and(Node::has_placeholder));
        let action = actions::compile(reader, node, &services);
        let response = keys::RESPONSE_HEADERS.node(node);
        let response_edits = headers::edits(reader, response, Side::Response);
        let guard = guard::compile(reader, node);
        let (Some(matches), Some(action)) = (matches, action) else {
            continue;
        };
        if known && let Some(line) = earlier.take_in(&matches, node.span.line) {
            reader
                .problems
                .follow_up(node.span, "this route never matches")
                .hint(format!("the one in line {line} takes the same requests"));
        }
        routes.push(Route {
            name: names.distinct(node).into(),
            matches,
            auth: keys::AUTH.read(reader, node),
            action,
            guard,
            response_edits,
        });
    }
    routes
}

/// Gives each route a name of its own.
#[derive(Default)]
struct DistinctNames(HashSet<String>, HashMap<String, usize>);

impl DistinctNames {
    /// Host and path as in the file; `#2` and so on for those that would be called the same.
    fn distinct(&mut self, node: &Node) -> String {
        let text = |node: &Node| node.scalar().map(|scalar| scalar.text().to_owned());
        let host = keys::HOSTS.items(node).first().and_then(text);
        let path = keys::PATH.node(node).and_then(|path| {
            let exact = keys::EXACT_PATH.node(path);
            text(path).or_else(|| text(exact.or_else(|| keys::PATH_REGEX.node(path))?))
        });
        let name = host.unwrap_or_default() + path.as_deref().unwrap_or("/");
        let count = self.1.entry(name.clone()).or_insert(0);
        loop {
            *count += 1;
            let candidate = match *count {
                1 => name.clone(),
                number => format!("{name}#{number}"),
            };
            if self.0.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

fn matches(reader: &mut Reader, node: &Node) -> Option<RouteMatch> {
    let hosts = hosts(reader, keys::HOSTS.node(node));
    let methods = methods(reader, keys::METHODS.node(node));
    let headers = header_matches(reader, keys::HEADERS.pairs(node));
    let query = query_matches(reader, keys::QUERY.pairs(node));
    Some(RouteMatch {
        hosts,
        path: path(reader, keys::PATH.node(node))?,
        methods,
        headers,
        query,
    })
}

fn hosts(reader: &mut Reader, list: Option<&Node>) -> Vec<HostPattern> {
    let Some(list) = list else {
        return Vec::new();
    };
    none_is_not_every(reader, list, "hosts", "host");
    list.items()
        .iter()
        .filter_map(|node| reader.host(node))
        .collect()
}

fn methods(reader: &mut Reader, list: Option<&Node>) -> Vec<http::Method> {
    let Some(list) = list else {
        return Vec::new();
    };
    none_is_not_every(reader, list, "methods", "method");
    list.items()
        .iter()
        .filter_map(|node| reader.method(node))
        .collect()
}

/// An empty list would read as "none" and match as "every".
fn none_is_not_every(reader: &mut Reader, list: &Node, key: &str, what: &str) {
    if matches!(&list.value, Value::List(items) if items.is_empty()) {
        reader
            .problems
            .error(list.span, format!("this route takes no {what}"))
            .hint(format!("for every {what} leave `{key}` out"));
    }
}

fn path(reader: &mut Reader, node: Option<&Node>) -> Option<PathPattern> {
    let Some(node) = node else {
        return Some(PathPattern::Prefix("".into()));
    };
    let pairs = match &node.value {
        Value::Scalar(_) => return prefix(reader, node).map(PathPattern::Prefix),
        _ => node.pairs(),
    };
    let [pair] = pairs else {
        if matches!(node.value, Value::Map(_)) {
            let message = "a path is one of `/prefix`, `{exact: …}` and `{regex: …}`";
            reader.problems.error(node.span, message);
        }
        return None;
    };
    match pair.key.as_str() {
        "exact" => reader
            .parse(&pair.value, "a path", "/".into(), matched)
            .map(PathPattern::Exact),
        "regex" => path_regex(reader, &pair.value).map(PathPattern::Regex),
        _ => None,
    }
}

/// An expression for paths, which are decoded when it sees them.
fn path_regex(reader: &mut Reader, node: &Node) -> Option<Regex> {
    let regex = reader.whole_regex(node)?;
    let stays = |byte: u8| byte.is_ascii_control() || b"%/\\".contains(&byte);
    warn_of_escapes(reader, node.span, node.scalar()?.shown(), "paths", stays);
    Some(regex)
}

/// Warns of a name or an expression with an escape in it, which is never there when it is compared. `stays` says which
/// bytes stay escaped.
pub(super) fn warn_of_escapes(
    reader: &mut Reader,
    span: Span,
    text: &str,
    what: &str,
    stays: impl Fn(u8) -> bool,
) {
    let mut escapes = text.split('%').skip(1).filter_map(|rest| rest.get(..2));
    let decoded = escapes.find(|digits| {
        digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            && u8::from_str_radix(digits, 16).is_ok_and(|byte| !stays(byte))
    });
    if let Some(digits) = decoded {
        let message = format!("{what} are compared decoded, and have no `%{digits}` then");
        reader
            .problems
            .warning(span, message)
            .hint("write the character that it stands for");
    }
}

/// A path without its trailing slash: `/` is empty.
fn prefix(reader: &mut Reader, node: &Node) -> Option<Box<str>> {
    reader.parse(node, "a path", "".into(), |text| {
        matched(text).map(without_slash)
    })
}

/// The path that is sent in place of a prefix, without its trailing slash.
pub(super) fn replacement(reader: &mut Reader, node: &Node) -> Option<Box<str>> {
    reader.parse(node, "a path", "".into(), |text| {
        check_path(text)?;
        let path = sendable(text).map_err(|error| error.to_string())?;
        Ok(without_slash(path))
    })
}

fn without_slash(path: Box<str>) -> Box<str> {
    path.strip_suffix('/').map(Into::into).unwrap_or(path)
}

/// A path in the form that requests are compared in.
fn matched(text: &str) -> Result<Box<str>, String> {
    check_path(text)?;
    pattern(text).map_err(|error| error.to_string())
}

/// Refuses a text that is no plain path.
fn check_path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("a path begins with /".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err(
            "a path has no query and no fragment; for the query there is `query`".to_owned(),
        );
    }
    if text.contains('*') {
        return Err("a prefix needs no `*`; for patterns there is {regex: …}".to_owned());
    }
    if text.contains("//")
        || text
            .split('/')
            .any(|segment| segment == "." || segment == "..")
    {
        return Err("requests are matched after `//`, `.` and `..` are resolved".to_owned());
    }
    if text.contains(|c: char| c.is_control() || c == ' ' || c == '\\') {
        return Err(
            "a path has no spaces (write %20), backslashes and control characters".to_owned(),
        );
    }
    Ok(())
}

fn header_matches(reader: &mut Reader, pairs: &[Pair]) -> Vec<HeaderMatch> {
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for pair in pairs {
        let value = value_pattern(reader, pair);
        let Some((name, value)) = headers::name(reader, pair).zip(value) else {
            continue;
        };
        if headers.iter().any(|other| other.name == name) {
            let message = format!("the header `{name}` stands here a second time");
            reader
                .problems
                .error(pair.key_span, message)
                .hint("header names have no case");
        }
        headers.push(HeaderMatch { name, value });
    }
    headers
}

fn query_matches(reader: &mut Reader, pairs: &[Pair]) -> Vec<QueryMatch> {
    let mut query = Vec::new();
    for pair in pairs {
        if pair.key.is_empty() {
            reader.problems.error(pair.key_span, "a name is not empty");
        }
        warn_of_escapes(reader, pair.key_span, &pair.key, PARAMETERS, |_| false);
        query.extend(value_pattern(reader, pair).map(|value| QueryMatch {
            name: pair.key.as_str().into(),
            value,
        }));
    }
    query
}

fn value_pattern(reader: &mut Reader, pair: &Pair) -> Option<ValuePattern> {
    let node = &pair.value;
    let pairs = match &node.value {
        Value::Scalar(scalar) => return Some(ValuePattern::Exact(scalar.text().into())),
        _ => node.pairs(),
    };
    let [pair] = pairs else {
        if matches!(node.value, Value::Map(_)) {
            let message = "a value is one of a text, `{regex: …}` and `{present: …}`";
            reader.problems.error(node.span, message);
        }
        return None;
    };
    match pair.key.as_str() {
        "regex" => reader.whole_regex(&pair.value).map(ValuePattern::Regex),
        "present" => reader.bool(&pair.value).map(ValuePattern::Present),
        _ => None,
    }
}
