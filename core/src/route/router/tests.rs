use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderName, Method, StatusCode};
use regex::Regex;

use super::{Router, holds};
use crate::host::HostPattern;
use crate::identity::Auth;
use crate::request::path::NormalPath;
use crate::request::{HeaderList, RequestHead};
use crate::route::guard::Guard;
use crate::route::precedence::Precedence;
use crate::route::{
    Action, HeaderMatch, PathPattern, QueryMatch, Respond, Route, RouteIndex, RouteMatch,
    ValuePattern,
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
        auth: Auth::Optional,
        action: Action::Respond(Respond {
            status: StatusCode::OK,
            body: "".into(),
        }),
        guard: Guard::default(),
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
    let router = Router::new(routes.to_vec());
    let found = router.find(&head, &NormalPath::new(path).expect("a clean path"));
    found.map(|(index, _)| index.position())
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

/// Small numbers that look random and are the same in every run (a linear congruential generator: Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const HOSTS: [&[&str]; 6] = [
    &[],
    &["a.b.c"],
    &["*.b.c"],
    &["*.c"],
    &["*.b.c", "d.c"],
    &["d.c", "*.c"],
];

fn any_route(numbers: &mut Numbers) -> Route {
    let path = match numbers.below(7) {
        0 => exact("/x/y"),
        1 => exact("/x"),
        2 => regex("^(?:/x/.*)$"),
        3 => regex("^(?:/[xz].*)$"),
        4 => prefix("/x"),
        5 => prefix("/x/y"),
        _ => prefix(""),
    };
    let mut route = route(numbers.of(&HOSTS), path);
    if numbers.below(4) == 0 {
        route.matches.methods = vec![numbers.of(&[&Method::GET, &Method::POST]).clone()];
    }
    for name in ["x-one", "x-two"] {
        if numbers.below(4) == 0 {
            route.matches.headers.push(HeaderMatch {
                name: HeaderName::from_static(name),
                value: ValuePattern::Present(numbers.below(3) > 0),
            });
        }
    }
    if numbers.below(4) == 0 {
        route.matches.query.push(QueryMatch {
            name: "q".into(),
            value: ValuePattern::Exact("1".into()),
        });
    }
    route
}

/// The route of the smallest precedence, of all that match: each is tried on each of its hosts.
fn searched(routes: &[Route], head: &RequestHead<'_>, path: &NormalPath<'_>) -> Option<usize> {
    let text = path.as_str();
    let is_path = |pattern: &PathPattern| match pattern {
        PathPattern::Exact(exact) => **exact == *text,
        PathPattern::Regex(regex) => regex.is_match(text),
        PathPattern::Prefix(prefix) => text
            .strip_prefix(&**prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    };
    let mut best: Option<(Precedence, usize)> = None;
    for (position, route) in routes.iter().enumerate() {
        let hosts = &route.matches.hosts;
        let named = hosts.iter().filter(|host| host.matches(head.host()));
        let any = hosts.is_empty().then_some(None);
        if !is_path(&route.matches.path) || !holds(route, head) {
            continue;
        }
        for host in named.map(Some).chain(any) {
            let precedence = Precedence::of(RouteIndex::new(position), route, host);
            if best.is_none_or(|(smallest, _)| precedence < smallest) {
                best = Some((precedence, position));
            }
        }
    }
    best.map(|(_, position)| position)
}

#[test]
fn the_look_up_finds_what_a_search_by_precedence_finds() {
    let mut numbers = Numbers(7);
    let mut taken = 0;
    for _ in 0..300 {
        let routes: Vec<Route> = (0..numbers.below(12))
            .map(|_| any_route(&mut numbers))
            .collect();
        let router = Router::new(routes.clone());
        for _ in 0..40 {
            let mut headers = HeaderList::default();
            for name in ["x-one", "x-two"] {
                if numbers.below(2) == 0 {
                    headers.push(name, "");
                }
            }
            let head = RequestHead {
                method: numbers.of(&["GET", "POST", "PUT"]),
                authority: numbers.of(&["a.b.c", "z.b.c", "d.c", "c", "other"]),
                path: numbers.of(&["/x", "/x/y", "/x/y/z", "/xy", "/z", "/"]),
                query: numbers.of(&[None, Some("q=1"), Some("q=2")]),
                headers: &headers,
                peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
                peer_trusted: false,
            };
            let path = NormalPath::new(head.path).expect("a clean path");
            let found = router.find(&head, &path).map(|(index, _)| index.position());
            assert_eq!(found, searched(&routes, &head, &path), "{routes:#?}");
            taken += usize::from(found.is_some());
        }
    }
    assert!((3_000..9_000).contains(&taken), "{taken} of 12,000");
}
