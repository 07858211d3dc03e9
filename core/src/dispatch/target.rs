//! Where a request goes on to, as a path: a route's rewrite or redirect, put in the place of what the route matched. All
//! else stays as the client sent it, byte for byte.

use http::StatusCode;

use super::Refusal;
use crate::request::RequestHead;
use crate::request::path::NormalPath;
use crate::route::{Forward, PathPattern, Redirect, Route};

/// Path and query with the matched prefix replaced; `None` where the route does not rewrite.
///
/// # Errors
/// 400 where a server could find in the new path what the route did not match.
pub(super) fn rewritten(
    route: &Route,
    forward: &Forward,
    head: &RequestHead<'_>,
    path: &NormalPath<'_>,
) -> Result<Option<String>, Refusal> {
    let Some(replacement) = forward.rewrite_prefix.as_deref() else {
        return Ok(None);
    };
    let mut new = replace(route, replacement, path);
    if new.is_empty() {
        new.push('/');
    }
    if let PathPattern::Prefix(prefix) = &route.matches.path
        && !path.is_as_sent()
    {
        let keeps = |reading: &NormalPath<'_>| reading.is_kept_by(&new, prefix, replacement);
        if !keeps(path) || !path.other_readings().iter().all(keeps) {
            let why = "servers read the path in more than one way, and could leave what the route rewrites it to";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, why, None));
        }
    }
    Ok(Some(with_query(new, head.query)))
}

/// Where a redirect leads, with the matched prefix replaced.
pub(super) fn location(
    route: &Route,
    redirect: &Redirect,
    head: &RequestHead<'_>,
    path: &NormalPath<'_>,
) -> String {
    let (base, own_query) = match redirect.to.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (&*redirect.to, None),
    };
    let mut new = replace(route, base.trim_end_matches('/'), path);
    // A browser takes what follows two slashes, of either kind, for a host.
    let slashes = new.bytes().take_while(|byte| matches!(byte, b'/' | b'\\'));
    let slashes = slashes.count();
    if slashes > 1 {
        new.replace_range(..slashes, "/");
    }
    // A bare origin has no path to end in a slash, a replaced prefix may have left nothing.
    if new.is_empty() || new.ends_with("://") {
        new.push('/');
    }
    with_query(new, own_query.or(head.query))
}

/// The path as sent with what the route's path pattern matched replaced: a prefix by a prefix, an exact path or one that
/// an expression matched as a whole.
fn replace(route: &Route, replacement: &str, path: &NormalPath<'_>) -> String {
    let rest = match &route.matches.path {
        PathPattern::Prefix(prefix) => path.behind(prefix),
        PathPattern::Exact(_) | PathPattern::Regex(_) => "",
    };
    let mut new = String::with_capacity(replacement.len() + rest.len() + 1);
    new.push_str(replacement);
    new.push_str(rest);
    new
}

fn with_query(mut path: String, query: Option<&str>) -> String {
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    path
}
