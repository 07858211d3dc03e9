use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderName, Method, StatusCode};
use regex::Regex;

use super::Router;
use crate::host::HostPattern;
use crate::request::path::NormalPath;
use crate::request::{HeaderList, RequestHead};
use crate::route::{
    Action, HeaderMatch, PathPattern, QueryMatch, Respond, Route, RouteMatch, ValuePattern,
};

fn route(hosts: &[&str], path: PathPattern) -> Route {
    let host = |name: &&str| match name.strip_prefix("*.") {
        Some(suffix) => HostPattern::Wildcard(suffix.into()),
        None => HostPattern::Exact((*name).into()),
    };
    Route {
        name: "r".into(),
        matches: RouteMatch {
            hosts: hosts.iter().map(host).collect(),
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        },
        action: Action::Respond(Respond {
            status: StatusCode::OK,
            body: "".into(),
        }),
        response_edits: Vec::new(),
    }
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::Prefix(path.into())
}

fn exact(path: &str) -> PathPattern {
    PathPattern::Exact(path.into())
}

fn regex(pattern: &str) -> PathPattern {
    PathPattern::Regex(Regex::new(pattern).expect("a regular expression"))
}

/// The position of the route that takes `METHOD host/path?query`.
fn find(routes: &[Route], method: &str, url: &str, fields: &[(&str, &str)]) -> Option<usize> {
    let (rest, query) = url
        .split_once('?')
        .map_or((url, None), |(rest, query)| (rest, Some(query)));
    let (host, path) = rest.split_at(rest.find('/').expect("a path"));
    let headers: HeaderList = fields.iter().map(|(name, value)| (*name, *value)).collect();
    let head = RequestHead {
        method,
        authority: host,
        path,
        query,
        headers: &headers,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer_trusted: false,
    };
    Router::new(routes).find(routes, &head, &NormalPath::new(path).expect("a clean path"))
}

fn get(routes: &[Route], url: &str) -> Option<usize> {
    find(routes, "GET", url, &[])
}

#[test]
fn the_most_specific_host_goes_first() {
    let routes = [
        route(&[], prefix("")),
        route(&["*.example.com"], prefix("")),
        route(&["*.api.example.com"], prefix("")),
        route(&["api.example.com"], prefix("/only")),
    ];
    assert_eq!(get(&routes, "api.example.com/only/x"), Some(3));
    assert_eq!(get(&routes, "API.Example.COM./only"), Some(3));
    assert_eq!(
        get(&routes, "api.example.com/other"),
        Some(1),
        "a less specific host may take the path"
    );
    assert_eq!(
        get(&routes, "a.b.api.example.com/"),
        Some(2),
        "a wildcard covers several labels"
    );
    assert_eq!(get(&routes, "example.com/"), Some(0), "and at least one");
    assert_eq!(get(&routes, "other/"), Some(0));
}

#[test]
fn exact_paths_then_expressions_then_the_longest_prefix() {
    let routes = [
        route(&[], prefix("")),
        route(&[], prefix("/a")),
        route(&[], prefix("/a/b")),
        route(&[], regex("^(?:/a/[0-9]+)$")),
        route(&[], regex("^(?:/a/1.*)$")),
        route(&[], exact("/a/12")),
    ];
    assert_eq!(get(&routes, "h/a/12"), Some(5));
    assert_eq!(get(&routes, "h/a/13"), Some(3), "in file order");
    assert_eq!(get(&routes, "h/a/1x"), Some(4));
    assert_eq!(get(&routes, "h/a/b"), Some(2));
    assert_eq!(get(&routes, "h/a/b/"), Some(2));
    assert_eq!(
        get(&routes, "h/a/bc"),
        Some(1),
        "prefixes end where segments end"
    );
    assert_eq!(get(&routes, "h/ab"), Some(0));
    assert_eq!(get(&routes, "h/"), Some(0));
    assert_eq!(get(&routes[1..], "h/ab"), None);
}

#[test]
fn the_route_that_asks_for_more_goes_first() {
    let mut routes = vec![route(&[], prefix("/a")); 5];
    routes[1].matches.query = vec![QueryMatch {
        name: "q".into(),
        value: ValuePattern::Exact("a b".into()),
    }];
    routes[2].matches.headers = vec![HeaderMatch {
        name: HeaderName::from_static("x-api"),
        value: ValuePattern::Regex(Regex::new("^(?:v[0-9])$").expect("a regular expression")),
    }];
    routes[3].matches.methods = vec![Method::POST];
    routes[4].matches.headers = vec![HeaderMatch {
        name: HeaderName::from_static("x-debug"),
        value: ValuePattern::Present(false),
    }];
    let (plain, debug) = ([("x-api", "v2")], [("x-api", "v2"), ("x-debug", "")]);
    assert_eq!(find(&routes, "POST", "h/a?q=a%20b", &plain), Some(3));
    assert_eq!(find(&routes, "GET", "h/a?q=a%20b", &plain), Some(2));
    assert_eq!(
        find(&routes, "GET", "h/a", &[]),
        Some(4),
        "an absent header can be asked for"
    );
    assert_eq!(
        find(&routes, "GET", "h/a?q=a%20b", &[("x-debug", "")]),
        Some(1)
    );
    assert_eq!(find(&routes, "GET", "h/a?q=b", &debug[1..]), Some(0));
    let several = [("x-api", "old"), ("x-api", "v3"), ("x-debug", "1")];
    assert_eq!(
        find(&routes, "GET", "h/a", &several),
        Some(2),
        "one of several values is enough"
    );
}

#[test]
fn no_spelling_slips_past_a_route() {
    let routes = [route(&[], prefix("")), route(&[], prefix("/admin"))];
    for path in [
        "h/admin",
        "h//admin",
        "h/x/../admin/",
        "h/%61dmin",
        "h/./admin/x",
        "h/x/%2e%2e/admin",
    ] {
        assert_eq!(get(&routes, path), Some(1), "{path}");
    }
}
