//! `routes.yaml`.

use serin_core::config::diagnostic::Severity;
use serin_core::config::{self, OnUnset, render};
use serin_core::snapshot::assemble::assemble;
use serin_core::snapshot::offline::{NoopMeters, Offline};

use crate::request::{Bare, NOW, Request};

/// A file is compiled, the same each time, or refused with errors that are in the file and can be shown; what was compiled takes requests.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let compile = || config::compile(text, &Bare, OnUnset::StandIn, NOW);
    let compiled = compile();
    let found = match &compiled {
        Ok(config) => &config.warnings,
        Err(found) => found,
    };
    // To YAML, a carriage return alone ends a line, too.
    let lines = text.split(['\n', '\r']).count();
    for problem in found.iter() {
        let span = problem.span;
        assert!(
            (1..=lines).contains(&span.line),
            "{span:?} of {lines} lines: {problem:?}"
        );
        assert!(span.column >= 1 && span.length >= 1, "{problem:?}");
    }
    let shown = render::text("routes.yaml", text, found, false);
    // It is shown on terminals, which obey control characters.
    let is_plain = |character: char| matches!(character, '\n' | '\t') || !character.is_control();
    assert!(shown.chars().all(is_plain), "{shown:?}");
    let mut errors = found
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    match &compiled {
        Err(_) => {
            let first = errors.next().expect("refused without an error");
            assert!(
                shown.contains(&format!("routes.yaml:{}:", first.span.line)),
                "{shown}"
            );
        }
        Ok(config) => {
            assert_eq!(errors.next(), None);
            let again = compile().expect("it compiled before");
            assert_eq!(config.digest, again.digest);
            let snapshot = assemble(config, 1, &mut Offline::default(), &mut NoopMeters);
            Request::new("/search").dispatch_on(&snapshot);
        }
    }
}
