//! Rust sources, read just well enough: code without comments and literals, with or without its tests.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// The folders that have sources; each is read once, whoever asks for it.
static FOLDERS: [(&str, LazyLock<Vec<Source>>); 4] = [
    ("core/src", LazyLock::new(|| read("core/src"))),
    ("src", LazyLock::new(|| read("src"))),
    ("tests", LazyLock::new(|| read("tests"))),
    ("benches", LazyLock::new(|| read("benches"))),
];

/// One file.
pub(super) struct Source {
    /// Its path from the repository's root.
    pub(super) path: String,
    /// As written.
    text: String,
    /// Comments and literals blanked; lines are kept.
    code: String,
    /// The same, with items under `#[cfg(test)]` blanked too.
    shipped: String,
}

pub(super) fn expression(text: &str) -> Regex {
    Regex::new(text).expect("an expression")
}

/// Every `.rs` file that is built into `serin`: those of its own package and of `core`, in order.
pub(super) fn read_house() -> Vec<&'static Source> {
    ["core/src", "src"].into_iter().flat_map(read_all).collect()
}

/// A path within the package that it belongs to: without the folder that holds the package's sources.
fn within_package(path: &str) -> &str {
    let path = path.strip_prefix("core/").unwrap_or(path);
    path.strip_prefix("src/").unwrap_or(path)
}

/// Every `.rs` file below one of [`FOLDERS`], in order.
pub(super) fn read_all(folder: &str) -> &'static [Source] {
    let mut folders = FOLDERS.iter();
    let (_, sources) = folders.find(|(name, _)| *name == folder).expect("a folder");
    sources
}

fn read(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                let path = path.strip_prefix(root).expect("below the root");
                sources.push(Source::new(path.display().to_string(), text));
            }
        }
    }
    // A file that a parent declares under `#[cfg(test)]` is tests, and so is all below it.
    let tests: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let module = source.path.trim_end_matches(".rs");
        let below = |test: &String| module.strip_prefix(test.as_str());
        let is_part = |rest: &str| rest.is_empty() || rest.starts_with('/');
        if tests.iter().filter_map(below).any(is_part) {
            source.shipped = blank(&source.code);
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!sources.is_empty(), "no sources in {folder}");
    sources
}

impl Source {
    pub(super) fn new(path: String, text: String) -> Self {
        let code = without_comments_and_literals(&text);
        let shipped = if is_test_path(&path) {
            blank(&code)
        } else {
            without_tests(&code)
        };
        Self {
            path,
            text,
            code,
            shipped,
        }
    }

    /// The modules, as paths without `.rs`, that it declares for tests only.
    fn test_modules(&self) -> Vec<String> {
        static DECLARED: LazyLock<Regex> = LazyLock::new(|| {
            expression(
                r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;",
            )
        });
        let own = self.path.trim_end_matches(".rs");
        let folder = match own {
            "core/src/lib" => "core/src",
            "src/lib" | "src/main" => "src",
            module => module,
        };
        DECLARED
            .captures_iter(&self.code)
            .map(|found| format!("{folder}/{}", &found[1]))
            .collect()
    }

    /// The module of the crate's root that it is, or is part of.
    pub(super) fn module(&self) -> &str {
        let path = within_package(&self.path);
        path.split(['/', '.']).next().unwrap_or_default()
    }

    /// Whether it is nothing but tests.
    pub(super) fn is_test(&self) -> bool {
        self.shipped.trim().is_empty()
    }

    /// The shipped code: comments, literals and tests are blank.
    pub(super) fn shipped(&self) -> &str {
        &self.shipped
    }

    /// How many lines there are that are no tests.
    pub(super) fn lines_without_tests(&self) -> usize {
        let tests = self
            .code
            .lines()
            .zip(self.shipped.lines())
            .filter(|(code, shipped)| code != shipped)
            .count();
        self.text.lines().count() - tests
    }

    /// Where the shipped code matches, as `path:line: text`.
    pub(super) fn matches(&self, expression: &Regex) -> Vec<String> {
        self.found(&self.shipped, expression)
    }

    /// Where the code matches, tests included.
    pub(super) fn matches_with_tests(&self, expression: &Regex) -> Vec<String> {
        self.found(&self.code, expression)
    }

    /// Where a comment or a literal matches.
    pub(super) fn matches_in_comments(&self, expression: &Regex) -> Vec<String> {
        self.found(&self.text, expression)
    }

    fn found(&self, text: &str, expression: &Regex) -> Vec<String> {
        text.lines()
            .enumerate()
            .filter(|(_, line)| expression.is_match(line))
            .map(|(index, line)| format!("{}:{}: {}", self.path, index + 1, line.trim()))
            .collect()
    }

    /// The names that lead to it from the crate's root: `src/a/b.rs` is `a::b`.
    pub(super) fn names(&self) -> Vec<String> {
        let path = within_package(&self.path);
        let names = path.trim_end_matches(".rs").split('/');
        names.map(ToOwned::to_owned).collect()
    }

    /// Every path that the shipped code writes from the crate's root, from itself or from what it is part of, as names from
    /// the root, with its line.
    pub(super) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        static START: LazyLock<Regex> =
            LazyLock::new(|| expression(r"\b(?:crate::|self::|(?:super::)+)"));
        let own = self.names();
        let mut paths = Vec::new();
        for found in START.find_iter(&self.shipped) {
            let kept = match found.as_str() {
                "crate::" => 0,
                "self::" => own.len(),
                supers => own.len().saturating_sub(supers.matches("super::").count()),
            };
            let line = self.shipped[..found.start()].matches('\n').count() + 1;
            for names in all_names(&self.shipped[found.end()..]) {
                paths.push((line, [&own[..kept], &names].concat()));
            }
        }
        paths
    }

    /// The first names of paths from the crate's root in the shipped code, with their lines.
    pub(super) fn crate_paths(&self) -> Vec<(usize, String)> {
        static START: LazyLock<Regex> = LazyLock::new(|| expression(r"\b(?:crate::|(?:super::)+)"));
        // src/a.rs is one step below the root, src/a/b.rs two.
        let depth = 1 + within_package(&self.path).matches('/').count();
        let mut paths = Vec::new();
        for found in START.find_iter(&self.shipped) {
            let supers = found.as_str().matches("super::").count();
            if found.as_str() != "crate::" && supers < depth {
                continue;
            }
            let line = self.shipped[..found.start()].matches('\n').count() + 1;
            let names = first_names(&self.shipped[found.end()..]);
            paths.extend(names.into_iter().map(|name| (line, name)));
        }
        paths
    }
}

fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

/// `a::b` gives that; `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn all_names(rest: &str) -> Vec<Vec<String>> {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        return parts(group).into_iter().flat_map(all_names).collect();
    }
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
    if name.is_empty() {
        return Vec::new();
    }
    let with_name = |mut names: Vec<String>| {
        names.insert(0, name.to_owned());
        names
    };
    match rest.strip_prefix("::").map(all_names) {
        Some(further) if !further.is_empty() => further.into_iter().map(with_name).collect(),
        _ => vec![with_name(Vec::new())],
    }
}

/// What stands between the commas of a group, up to the brace that ends it.
fn parts(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth == 0 {
            parts.push(&group[start..at]);
            break;
        }
    }
    parts
}

/// `a::b` gives `a`; `{a::{b, c}, d}` gives `a` and `d`.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let mut depth = 1;
    let mut names = vec![name(group.trim_start())];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(group[at + 1..].trim_start())),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Everything but line ends becomes a space.
fn blank(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { c } else { ' ' })
        .collect()
}

fn without_comments_and_literals(text: &str) -> String {
    // In the order in which they must be tried where they begin at one place. A lifetime is no literal.
    static TRIVIA: LazyLock<Regex> = LazyLock::new(|| {
        let kinds = [
            r"(?s)//[^\n]*",
            r"/\*.*?\*/",
            r####"\bb?r###".*?"###|\bb?r##".*?"##|\bb?r#".*?"#|\bb?r".*?""####,
            r#""(?:[^"\\]|\\.)*""#,
            r"'(?:[^'\\]|\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.))'",
        ];
        expression(&kinds.join("|"))
    });
    TRIVIA
        .replace_all(text, |found: &regex::Captures<'_>| blank(&found[0]))
        .into_owned()
}

/// Blanks every item that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut shipped = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        shipped.push_str(&rest[..at]);
        let end = at + item_end(&rest[at..]);
        shipped.push_str(&blank(&rest[at..end]));
        rest = &rest[end..];
    }
    shipped + rest
}

/// Where an item ends: at its first `;` outside of braces, or at the brace that closes its first one.
fn item_end(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[test]
fn code_is_told_from_comments_literals_and_tests() {
    let text = r##"
use crate::{a, b::{c, d}, e};
// use crate::commented;
const T: &str = "crate::quoted"; const Q: char = '"';
const R: &str = r#"crate::"raw""#;
fn f<'a>(x: &'a super::g::H) {}
#[cfg(test)]
mod tests { fn t() { crate::tested::x(); } }
fn last() { crate::z() }
"##;
    let source = Source::new("src/m.rs".into(), text.into());
    let paths = source.crate_paths();
    let names: Vec<(usize, &str)> = paths.iter().map(|(line, name)| (*line, &**name)).collect();
    assert_eq!(names, [(2, "a"), (2, "b"), (2, "e"), (6, "g"), (9, "z")]);
    assert_eq!(source.lines_without_tests(), 7);
    let below = Source::new(
        "src/m/n.rs".into(),
        "use super::o; use super::super::p;".into(),
    );
    assert_eq!(below.crate_paths(), [(1, "p".to_owned())]);
    let paths = |source: &Source| -> Vec<String> {
        let paths = source.paths().into_iter();
        paths.map(|(_, names)| names.join("::")).collect()
    };
    assert_eq!(paths(&below), ["m::o", "p"]);
    assert_eq!(
        paths(&source),
        ["a", "b::c", "b::d", "e", "g::H", "z"],
        "whole paths"
    );
    assert!(
        !source
            .matches_in_comments(&Regex::new("commented").unwrap())
            .is_empty()
    );
    assert!(
        source
            .matches_with_tests(&Regex::new("commented|quoted|raw").unwrap())
            .is_empty()
    );
}
