//! What the reader says about files, right and wrong.
#![expect(
    clippy::too_many_lines,
    reason = "what is said about a file is read beside the file"
)]

mod admin;
mod attribution;
mod channels;
mod client_api;
mod conditions;
mod exposures;
mod files;
mod flags;
mod guards;
mod identity;
mod keys;
mod mirrors;
mod overrides;
mod process;
mod recovery;
mod redis;
mod reference;
mod relations;
mod robust;
mod routes;
mod schema;
mod scopes;
mod services;
mod sinks;
mod traces;
mod unleash;
mod yaml;

use std::collections::HashMap;

use super::diagnostic::{Diagnostic, Findings};
use super::{Config, Environment, OnUnset, compile, render};
use crate::context::Moment;

/// 2026-11-22T00:00:00Z.
pub(super) const NOW: Moment = Moment {
    unix_ms: 1_795_305_600_000,
};

/// Variables and files of a test's own.
#[derive(Default)]
pub(super) struct Given(pub(super) HashMap<&'static str, &'static str>);

impl Environment for Given {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).map(ToString::to_string)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.0
            .get(path)
            .map(ToString::to_string)
            .ok_or_else(|| "no such file".to_owned())
    }
}

pub(super) fn read(text: &str) -> Result<Config, Findings> {
    schema::agree(text);
    compile(text, &Given::default(), OnUnset::Refuse, NOW)
}

/// The configuration of a file without any problem.
pub(super) fn config(text: &str) -> Config {
    let config = read(text).unwrap_or_else(|found| {
        panic!("{}", render::text("routes.yaml", text, &found, false));
    });
    // Many services here stand for themselves.
    let unrouted = |warning: &&Diagnostic| warning.message.starts_with("no route leads to");
    let told = config.warnings.iter().find(|warning| !unrouted(warning));
    assert_eq!(told, None, "{text}");
    config
}

/// Everything that is said about a file.
pub(super) fn check(text: &str) -> String {
    let found = read(text).map_or_else(|found| found, |config| config.warnings);
    render::text("routes.yaml", text, &found, false)
}

/// A file with a service and a route, and more.
pub(super) fn with(more: &str) -> String {
    format!(
        "services: {{ a: {{ stable: http://127.0.0.1:9001, canaries: ['*'] }} }}\nroutes: [{{ service: a }}]\n{more}"
    )
}

/// Everything that is said about such a file.
pub(super) fn check_with(more: &str) -> String {
    check(&with(more))
}
