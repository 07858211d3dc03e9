//! Wherever one vendor is told from another, every vendor is named: a source that is added later must be answered for,
//! and not fall to a wildcard that was written for others.

use std::sync::LazyLock;

use regex::Regex;

use super::source::{Source, expression, read_house};

/// The types whose variants stand for vendors.
const VENDORS: &str =
    r"\b(?:Origin|AudienceKind|UnleashDocument|Bucketing|SourceKind|SourceSet|CompiledSet)::\w";

/// The files in which such a type is `Self`.
const OWN_FILES: [&str; 2] = ["core/src/engine/origin.rs", "core/src/engine/bucketing.rs"];

#[test]
fn every_vendor_is_named_where_vendors_are_told_apart() {
    let found: Vec<String> = read_house().into_iter().flat_map(wildcards).collect();
    super::assert_none("a further vendor would be taken for another", &found);
}

static VENDOR: LazyLock<Regex> = LazyLock::new(|| expression(VENDORS));
/// In the types' own files.
static OWN_VENDOR: LazyLock<Regex> =
    LazyLock::new(|| expression(&format!(r"{VENDORS}|\bSelf::[A-Z]")));
static KEYWORD: LazyLock<Regex> = LazyLock::new(|| expression(r"\bmatch\b"));
/// Patterns that may fail, and comparisons.
static PARTIAL: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"\blet\s+([^=;{]+)=[^=]|\bmatches!\(([^;]*?)\)\s*[;,})&|]|[!=]=([^;{]*)")
});

/// The places in which a vendor that is not named is treated like one that is.
fn wildcards(source: &Source) -> Vec<String> {
    let code = source.shipped();
    let vendor = match OWN_FILES.contains(&source.path.as_str()) {
        true => &OWN_VENDOR,
        false => &VENDOR,
    };
    let names_one = |text: &str| vendor.is_match(text);
    let mut places = Vec::new();
    for found in KEYWORD.find_iter(code) {
        let patterns = patterns(&code[found.end()..]);
        if patterns.iter().any(|pattern| names_one(pattern)) {
            let all = patterns.iter().flat_map(|pattern| alternatives(pattern));
            let others = all.filter(|pattern| !names_one(pattern));
            places.extend(others.map(|pattern| (found.start(), pattern)));
        }
    }
    // A pattern that may fail, and a comparison, say nothing about the vendors that they do not name.
    for found in PARTIAL.captures_iter(code) {
        let pattern = found.iter().skip(1).flatten().next();
        let pattern = pattern.map_or("", |pattern| pattern.as_str());
        if names_one(pattern) {
            places.push((found.get_match().start(), pattern));
        }
    }
    let line = |at: usize| code[..at].matches('\n').count() + 1;
    let told = places.into_iter().map(|(at, pattern)| {
        let pattern = pattern.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}:{}: {pattern}", source.path, line(at))
    });
    told.collect()
}

/// The patterns of the arms of a `match`, whose keyword stands right before the text.
fn patterns(text: &str) -> Vec<&str> {
    let Some(start) = outside(text, 0, "{") else {
        return Vec::new();
    };
    let mut at = start + 1;
    let mut patterns = Vec::new();
    while let Some(arrow) = outside(text, at, "=>") {
        patterns.push(&text[at..arrow]);
        let body = arrow + 2;
        let rest = text[body..].trim_start();
        at = match rest.starts_with('{') {
            true => {
                let open = text.len() - rest.len();
                let close = outside(text, open + 1, "}").unwrap_or(text.len());
                let after = text[close..].trim_start_matches(['}', ' ', '\n']);
                text.len() - after.strip_prefix(',').unwrap_or(after).len()
            }
            false => match outside(text, body, ",") {
                Some(comma) => comma + 1,
                None => break,
            },
        };
    }
    patterns
}

/// The parts of a pattern that `|` joins.
fn alternatives(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(bar) = outside(pattern, start, "|") {
        parts.push(&pattern[start..bar]);
        start = bar + 1;
    }
    parts.push(&pattern[start..]);
    parts
}

/// Where a sign stands next, outside of every bracket that opens after `start`; nowhere, once a bracket closes that was
/// open at `start`.
fn outside(text: &str, start: usize, sign: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text[start..].char_indices() {
        let at = start + at;
        if depth == 0 && text[at..].starts_with(sign) {
            return Some(at);
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

#[test]
fn wildcards_are_found_in_whatever_form_they_have() {
    let found = |code: &str| {
        let text = format!("fn f() {{ {code} }}");
        wildcards(&Source::new("src/m.rs".into(), text)).len()
    };
    for code in [
        "match origin { Origin::Local => 1, _ => 2 }",
        "match origin { Origin::Local => { 1 } other => { g(other) } }",
        "match (a, &b) { (Some(x), Origin::Local) if x => g(1, 2), (None, _) => 3, (Some(_), Origin::Unleash(_)) => 4 }",
        "match origin { Origin::Local | _ => 1 }",
        "if let Origin::Unleash(name) = origin { g(name) }",
        "let Origin::Unleash(name) = origin else { return };",
        "let is = matches!(&flag.origin, Origin::Unleash(_));",
        "g(flag.origin == Origin::Local)",
    ] {
        assert_eq!(found(code), 1, "{code}");
    }
    for code in [
        "match origin { Origin::Local => 1, Origin::Unleash(_) | Origin::LaunchDarkly(_) => 2 }",
        "match (a, b) { (_, Origin::Local) => { match c { Some(d) => d, _ => 0 } } (_, Origin::Unleash(_)) => 1 }",
        "let origin = Origin::Local; match c { 1 => Flag { origin: Origin::Local }, _ => g() }",
        "match c { Some(1) => (), _ => () }",
    ] {
        assert_eq!(found(code), 0, "{code}");
    }
}
