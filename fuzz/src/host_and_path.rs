//! Hosts and paths, in whatever spelling.

use serin_core::dispatch::Dispatch;
use serin_core::request::path::NormalPath;
use serin_core::route::Action;

use crate::request::{Request, SNAPSHOT};

/// What is for an account as any server may read the path goes to no other service; a normal form is its own; what is sent in
/// a path's place leads where that led.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (host, path) = text.split_once('\n').unwrap_or(("search.test", text));
    if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) || path.contains(['?', '#']) {
        // No parser of HTTP hands these on.
        return;
    }
    if let Ok(normal) = NormalPath::new(path) {
        normal_form(&normal);
    }
    let mut request = Request::new(path);
    request.authority = host.to_owned();
    let Dispatch::Forward(plan) = request.dispatch() else {
        return;
    };
    let route = SNAPSHOT.router.route(plan.route).expect("its route");
    let Action::Forward(forward) = &route.action else {
        panic!("{} forwards nothing", route.name);
    };
    let service = &SNAPSHOT.services.get(forward.service).name;
    if !is_of_example(host) {
        for reading in readings(path) {
            let wanted = match () {
                () if is_below(&reading, "/account/open") => "search",
                () if is_below(&reading, "/account") || reading == "/exact" => "account",
                () => "search",
            };
            assert_eq!(&**service, wanted, "{path:?} may be read as {reading:?}");
        }
    }
}

/// Of a path that all servers read in one way.
fn normal_form(normal: &NormalPath<'_>) {
    let text = normal.as_str();
    if !normal.other_readings().is_empty() {
        return;
    }
    if text.starts_with('/') {
        assert!(!text.contains("//"), "{text}");
        let is_dots = |part: &str| matches!(part, "." | "..");
        assert!(!text.split('/').any(is_dots), "{text}");
    }
    if !text.contains('%') {
        let again = NormalPath::new(text).expect("a normal form is a path");
        assert_eq!(again.as_str(), text);
        assert!(again.other_readings().is_empty());
    }
}

/// Whether a host is one of `*.example.com`.
fn is_of_example(authority: &str) -> bool {
    let host = authority.to_ascii_lowercase();
    host.contains(".example.com")
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What servers may take a path for: they resolve dots before or after they decode slashes, take backslashes for slashes or not, merge
/// empty segments first or not at all, and drop what follows `;` in a segment or take `..;` for a name.
fn readings(path: &str) -> Vec<String> {
    let mut readings = Vec::new();
    for choice in 0..16_u8 {
        let chosen = |bit: u8| choice & (1 << bit) != 0;
        let [slashes, backslashes, merged, parameters] = [0, 1, 2, 3].map(chosen);
        readings.push(reading(path, slashes, backslashes, merged, parameters));
    }
    readings
}

fn reading(path: &str, slashes: bool, backslashes: bool, merged: bool, parameters: bool) -> String {
    // What is decoded at once parts segments; what is decoded later does not.
    let mut text = match slashes {
        true => decoded(path),
        false => path.to_owned(),
    };
    if backslashes {
        text = text
            .replace('\\', "/")
            .replace("%5c", "/")
            .replace("%5C", "/");
    }
    let mut kept: Vec<String> = Vec::new();
    for part in text.split('/').skip(1) {
        let own = match parameters {
            true => part.split(';').next().unwrap_or_default(),
            false => part,
        };
        let name = match slashes {
            true => own.to_owned(),
            false => decoded(own).replace('/', "%2F"),
        };
        match &*name {
            "" if merged => {}
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(name),
        }
    }
    // A server that does not merge empty segments, nor drop parameters, may still match without them.
    let parts = kept
        .iter()
        .map(|part| part.split(';').next().unwrap_or_default());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
