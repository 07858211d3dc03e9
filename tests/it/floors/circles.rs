//! Modules that need each other, by a way however long, are one module in several files: no arrow may close a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, read_house};

/// Who names whom, and where: by the one who names, then by the one who is named.
type Arrows = BTreeMap<String, BTreeMap<String, String>>;

/// The arrows between modules, each module called by `name`, of which `None` leaves an arrow out. A module and what it is
/// part of, which declare and extend each other, have none.
fn arrows(sources: &[&Source], name: impl Fn(&[String], &[String]) -> Option<String>) -> Arrows {
    let files: BTreeSet<Vec<String>> = sources
        .iter()
        .filter(|source| !source.is_test())
        .map(|source| source.names())
        .collect();
    let mut arrows = Arrows::new();
    for source in sources {
        let own = source.names();
        for (line, path) in source.paths() {
            let named = (1..=path.len()).rev().map(|end| &path[..end]);
            let Some(other) = named.into_iter().find(|path| files.contains(*path)) else {
                continue;
            };
            if own.starts_with(other) || other.starts_with(&own) {
                continue;
            }
            if let (Some(from), Some(to)) = (name(&own, other), name(other, &own)) {
                let to_all = arrows.entry(from).or_default();
                to_all
                    .entry(to)
                    .or_insert_with(|| format!("{}:{line}", source.path));
            }
        }
    }
    arrows
}

/// Every circle that a walk along the arrows closes: each arrow with a place that it stands at.
fn circles(arrows: &Arrows) -> Vec<String> {
    let mut circles = Vec::new();
    let mut done = BTreeSet::new();
    for start in arrows.keys() {
        walk(arrows, &mut vec![start], &mut done, &mut circles);
    }
    circles
}

/// Goes on from the end of `way`, which has no module twice.
fn walk<'a>(
    arrows: &'a Arrows,
    way: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
    circles: &mut Vec<String>,
) {
    let here = way[way.len() - 1];
    if done.contains(here) {
        return;
    }
    for next in arrows.get(here).into_iter().flat_map(BTreeMap::keys) {
        if let Some(at) = way.iter().position(|passed| *passed == next) {
            let circle = way[at..].iter().copied().chain([&**next]);
            circles.push(described(arrows, &circle.collect::<Vec<_>>()));
        } else {
            way.push(next);
            walk(arrows, way, done, circles);
            way.pop();
        }
    }
    done.insert(here);
}

fn described(arrows: &Arrows, circle: &[&str]) -> String {
    let arrow =
        |pair: &[&str]| format!("{} -> {} ({})", pair[0], pair[1], arrows[pair[0]][pair[1]]);
    let arrows: Vec<String> = circle.windows(2).map(arrow).collect();
    arrows.join(", ")
}

#[test]
fn modules_go_round_in_no_circle() {
    let sources = read_house();
    // `lib` declares all modules, and `main` starts them: both are above the house.
    let roots = |own: &[String], other: &[String]| {
        let is_above = matches!(&*own[0], "lib" | "main");
        (!is_above && own[0] != other[0]).then(|| own[0].clone())
    };
    let between_modules = circles(&arrows(&sources, roots));
    assert!(
        between_modules.is_empty(),
        "modules of the crate's root need each other:\n{}",
        between_modules.join("\n")
    );
    let files = |own: &[String], _: &[String]| Some(own.join("::"));
    let between_files = circles(&arrows(&sources, files));
    assert!(
        between_files.is_empty(),
        "files need each other:\n{}",
        between_files.join("\n")
    );
}

#[test]
fn a_circle_is_found_and_each_of_its_arrows_named() {
    let arrow = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let graph = |pairs: &[(String, String)]| {
        let mut arrows = Arrows::new();
        for (from, to) in pairs {
            let place = format!("src/{from}.rs:1");
            arrows
                .entry(from.clone())
                .or_default()
                .insert(to.clone(), place);
        }
        arrows
    };
    let straight = [
        arrow("a", "b"),
        arrow("a", "c"),
        arrow("b", "d"),
        arrow("c", "d"),
    ];
    assert_eq!(circles(&graph(&straight)), [""; 0]);
    let mut closed = straight.to_vec();
    closed.push(arrow("d", "b"));
    assert_eq!(
        circles(&graph(&closed)),
        ["b -> d (src/b.rs:1), d -> b (src/d.rs:1)"]
    );
    closed.push(arrow("d", "a"));
    assert!(
        circles(&graph(&closed))
            .iter()
            .any(|circle| circle.starts_with("a -> b") && circle.ends_with("d -> a (src/d.rs:1)"))
    );
}
