//! Configurations of any size.

use std::fmt::Write as _;

use serin::config::{self, Config, Environment, OnUnset};
use serin::context::Moment;

/// The moment of every bench.
pub(crate) const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

struct Empty;

impl Environment for Empty {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("there is none".to_owned())
    }
}

/// What [`text`] says, compiled.
pub(crate) fn config(routes: usize, flags: usize) -> Config {
    compile(&text(routes, flags))
}

/// As `run` and every reload do it.
pub(crate) fn compile(text: &str) -> Config {
    config::compile(text, &Empty, OnUnset::Refuse, NOW).expect("a valid configuration")
}

/// A service with three canary flags, `routes` routes that lead to it, and `flags` more flags of a service of their own.
pub(crate) fn text(routes: usize, flags: usize) -> String {
    let mut yaml = String::from(
        "services:
  search: { stable: 'http://127.0.0.1:9001' }
  other: { stable: 'http://127.0.0.1:9001' }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
routes:
",
    );
    for index in 0..routes {
        let _ = writeln!(
            yaml,
            "  - {{ path: /team{}/api{index}, service: search }}",
            index % 100
        );
    }
    yaml.push_str("flags:\n");
    let names = (0..3).map(|index| format!("search.f{index}"));
    for (index, name) in names
        .chain((0..flags).map(|index| format!("other.f{index}")))
        .enumerate()
    {
        let _ = writeln!(
            yaml,
            "  {name}: {{ url: 'http://127.0.0.1:{}', rings: [{{ rollout: 5%, when: {{ userId: {{ not_in: [a, b, c] }} }} }}] }}",
            9002 + index
        );
    }
    yaml
}
