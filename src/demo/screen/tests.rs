//! The pictures are looked at whole: they are read by people.

use std::time::{Duration, Instant};

use super::{Scene, Style, UserCounts, View, grouped};
use crate::config::diagnostic::{Diagnostic, Severity, Span};
use crate::context::Moment;
use crate::demo::figures::tests::reading;
use crate::reload::{LastReload, ReloadFailure, ReloadTrigger};

fn scene(colour: bool) -> Scene {
    Scene {
        gateway: "127.0.0.1:8080".parse().unwrap(),
        admin: "127.0.0.1:9900".parse().unwrap(),
        file: "serin-demo/routes.yaml".into(),
        file_is_new: true,
        canary: ("search.ranker-v2", 9002),
        style: Style { colour },
    }
}

fn drawn(colour: bool, invalid: bool) -> (Vec<String>, String, Vec<String>) {
    let scene = scene(colour);
    let now = Instant::now();
    let rows = [
        ("stable", 150, 225),
        ("search.ranker-v2", 75, 0),
        ("search.ab", 25, 25),
    ];
    let recent = reading(now, Duration::from_secs(5), &rows, 75);
    let rows = [
        ("stable", 1_500, 1_600),
        ("search.ranker-v2", 700, 600),
        ("search.ab", 250, 250),
    ];
    let total = reading(now, Duration::ZERO, &rows, 100);
    let problem = |line| Diagnostic {
        severity: Severity::Error,
        message: "`stabel` is no key".to_owned(),
        span: Span {
            line,
            column: 5,
            length: 6,
        },
        path: String::new(),
        hint: None,
    };
    let problems = vec![problem(3), problem(4), problem(5)];
    let last_reload = LastReload {
        at: Moment { unix_ms: 1_000 },
        cause: Some(ReloadTrigger::Changed),
        result: if invalid {
            Err(ReloadFailure::Invalid(problems.into()))
        } else {
            Ok(())
        },
    };
    let view = View {
        scene: &scene,
        elapsed: Duration::from_millis(49_900),
        recent,
        total: &total,
        tally: &UserCounts::default(),
        generation: 2,
        last_reload: &last_reload,
        now: Moment { unix_ms: 5_000 },
        is_dead: true,
        killed: &["search.ab".into()],
        news: &[(Duration::from_secs(42), "it happened".to_owned())],
        keys: true,
    };
    let picture = view.picture().into_iter().map(|line| line.text);
    (picture.collect(), view.line(), view.summary())
}

#[test]
fn the_picture_in_words() {
    let (picture, line, summary) = drawn(false, true);
    let all = [picture.as_slice(), &[line], &summary].concat();
    assert!(!all.iter().any(|line| line.contains('\x1b')));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn the_picture_fits_a_small_terminal() {
    let (picture, ..) = drawn(false, false);
    for line in &picture {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let needed = picture.iter().filter(|line| !line.is_empty()).count();
    assert!(needed <= 24, "{needed} lines");
}

#[test]
fn colours_are_only_colours() {
    let (plain, ..) = drawn(false, true);
    let (coloured, ..) = drawn(true, true);
    let codes = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
    let stripped: Vec<_> = coloured
        .iter()
        .map(|line| codes.replace_all(line, "").into_owned())
        .collect();
    assert_ne!(coloured, plain);
    assert_eq!(stripped, plain);
}

#[test]
fn nothing_has_happened_yet() {
    let scene = scene(false);
    let empty = || reading(Instant::now(), Duration::ZERO, &[("stable", 0, 0)], 0);
    let (total, tally) = (empty(), UserCounts::default());
    let last_reload = LastReload {
        at: Moment { unix_ms: 0 },
        cause: None,
        result: Ok(()),
    };
    let view = View {
        scene: &scene,
        elapsed: Duration::ZERO,
        recent: empty(),
        total: &total,
        tally: &tally,
        generation: 1,
        last_reload: &last_reload,
        now: Moment { unix_ms: 0 },
        is_dead: false,
        killed: &[],
        news: &[],
        keys: true,
    };
    let row = view.table().swap_remove(2).text;
    assert!(row.contains("  0%"), "{row:?}");
    assert_eq!(
        ["0", "999", "1,000", "1,234,567"].map(str::to_owned),
        [0, 999, 1_000, 1_234_567].map(grouped)
    );
}
