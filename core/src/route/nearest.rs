//! Of the routes that do not take a request, the one that is nearest to it: for people who ask why there is none.

use super::router::{header_holds, query_holds};
use super::{PathPattern, Route, RouteMatch};
use crate::request::RequestHead;
use crate::request::path::NormalPath;

/// The nearest route, and what it asks for that the request does not have, in words.
pub fn nearest<'r>(
    routes: &'r [Route],
    head: &RequestHead<'_>,
    path: &NormalPath<'_>,
) -> Option<(&'r Route, String)> {
    let candidates = routes
        .iter()
        .map(|route| (route, misses(&route.matches, head, path)));
    let (route, misses) = candidates
        .min_by_key(|(_, misses)| misses.iter().map(|miss| miss.distance).sum::<usize>())?;
    let words: Vec<String> = misses.into_iter().map(|miss| miss.wanted).collect();
    Some((route, words.join(", and ")))
}

/// What a request lacks for a route.
struct Miss {
    /// How far off it is; a word that is quite another one counts as much as its letters.
    distance: usize,
    /// What the route takes instead.
    wanted: String,
}

fn misses(wanted: &RouteMatch, head: &RequestHead<'_>, path: &NormalPath<'_>) -> Vec<Miss> {
    let mut misses = Vec::new();
    let mut miss = |distance, wanted| misses.push(Miss { distance, wanted });
    let host = head.host().to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    if !wanted.hosts.is_empty() && !wanted.hosts.iter().any(|pattern| pattern.takes(host)) {
        let hosts: Vec<String> = wanted.hosts.iter().map(ToString::to_string).collect();
        let distance = hosts.iter().map(|pattern| difference(pattern, host)).min();
        let distance = distance.unwrap_or_default();
        miss(
            distance + 1,
            format!("takes the host {}", hosts.join(" or ")),
        );
    }
    if let Some((distance, takes)) = path_miss(&wanted.path, path.as_str()) {
        miss(distance + 1, takes);
    }
    let mut methods = wanted.methods.iter();
    if !wanted.methods.is_empty() && !methods.any(|method| method.as_str() == head.method) {
        let methods: Vec<&str> = wanted
            .methods
            .iter()
            .map(|method| method.as_str())
            .collect();
        miss(1, format!("takes {}", methods.join(" or ")));
    }
    for field in wanted
        .headers
        .iter()
        .filter(|field| !header_holds(field, head))
    {
        miss(1, format!("asks for another header `{}`", field.name));
    }
    for parameter in wanted
        .query
        .iter()
        .filter(|parameter| !query_holds(parameter, head))
    {
        miss(
            1,
            format!("asks for another query parameter `{}`", parameter.name),
        );
    }
    misses
}

fn path_miss(pattern: &PathPattern, path: &str) -> Option<(usize, String)> {
    match pattern {
        PathPattern::Exact(exact) if **exact == *path => None,
        PathPattern::Exact(exact) => Some((
            difference(exact, path),
            format!("takes the path {exact} alone"),
        )),
        PathPattern::Prefix(prefix) => {
            let rest = path.strip_prefix(&**prefix);
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                return None;
            }
            // As many segments of the path as the prefix has: what is below is nobody's mistake.
            let segments = prefix.matches('/').count();
            let end = path.match_indices('/').nth(segments).map(|(at, _)| at);
            let distance = difference(prefix, &path[..end.unwrap_or(path.len())]);
            Some((
                distance,
                format!("takes the path {prefix} and what is below it"),
            ))
        }
        PathPattern::Regex(regex) if regex.is_match(path) => None,
        PathPattern::Regex(regex) => {
            let written = regex
                .as_str()
                .trim_start_matches("^(?:")
                .trim_end_matches(")$");
            Some((
                difference(written, path),
                format!("takes paths that match {written}"),
            ))
        }
    }
}

/// How many letters differ when the common beginning and end are left out.
fn difference(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let begins = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.iter().skip(begins), other.iter().skip(begins));
    let ends = one.clone().rev().zip(other.clone().rev());
    let ends = ends.take_while(|(a, b)| a == b).count();
    one.len().max(other.len()) - ends
}
