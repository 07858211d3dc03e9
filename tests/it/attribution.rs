//! Who was served by what, told to those who analyse. `attribution/sinks` begins where exposures are spooled: its tests put
//! some into the spool before the gateway starts.

mod exposures;
mod faults;
mod midnight;
mod outage;
mod sinks;
mod truth;

use std::path::{Path, PathBuf};

use serde_json::Value;
use serin::attribution::document::ExposureDocument;
use serin::clock;
use serin::spool::{Limits, Spool};
use tempfile::TempDir;

use crate::harness::{Gateway, Setup, until};

/// What a gateway keeps over restarts, and where its files are.
struct Kept {
    folder: TempDir,
}

impl Kept {
    /// With exposures of users `u0`, `u1` and so on in the spool.
    fn with(users: usize) -> Self {
        let kept = Self {
            folder: TempDir::new().unwrap(),
        };
        kept.spool(0..users);
        kept
    }

    /// Spools exposures. No gateway may run on it.
    fn spool(&self, users: std::ops::Range<usize>) {
        let limits = Limits::new(1 << 30, std::time::Duration::from_secs(3600));
        let (spool, damage) = Spool::open(self.path("state/spool"), limits).unwrap();
        assert!(damage.is_none());
        for user in users {
            let record = exposure(user).to_bytes();
            spool.append(&record, clock::now()).unwrap();
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Starts a gateway on it, with these sinks.
    async fn start(&self, sinks: &str) -> Gateway {
        let state = self.path("state");
        let config = format!(
            "server: {{ threads: 1, shutdown_delay: 0s, state_dir: '{}' }}\n\
             services: {{ shop: 'http://127.0.0.1:9' }}\n\
             routes: [{{ path: /, service: shop }}]\n\
             attribution:\n  exposures: {{ key: a-key-of-sixteen-bytes }}\n  sinks:\n{sinks}\n",
            state.display()
        );
        Setup::new(config).start().await
    }

    /// A file sink's line of the configuration.
    fn lake(&self, more: &str) -> String {
        let path = self.path("lake");
        format!(
            "    - {{ name: lake, file: {{ path: '{}'{more} }} }}\n",
            path.display()
        )
    }

    /// The lines of the file that the file sink writes to, once there are so many.
    async fn lines(&self, count: usize) -> Vec<Value> {
        let path = self.path("lake/exposures.ndjson");
        until("lines in the file", || {
            let lines = read_lines(&path);
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}

fn read_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A user's exposure to a canary.
fn exposure(user: usize) -> ExposureDocument {
    ExposureDocument {
        id: format!("{user:032x}").into(),
        time: "2026-11-27T10:00:00.123Z".into(),
        user: format!("u{user}").into(),
        service: "shop".into(),
        flag: "shop.v2".into(),
        variant: Some("treatment".into()),
        arm: "canary".into(),
        assigned: "shop.v2".into(),
        served: "shop.v2".into(),
        cause: None,
        reason: "ring".into(),
        ring: Some("early".into()),
        randomised: true,
        route: Some("/".into()),
        generation: 1,
        gateway: "gw-1".into(),
        properties: [("region".into(), "eu".into())].into(),
    }
}

/// A sink's part of the status.
async fn sink(gateway: &Gateway, name: &str) -> Value {
    let status = gateway.status().await;
    let sinks = status["sinks"].as_array().cloned();
    let found = sinks
        .into_iter()
        .flatten()
        .find(|sink| sink["name"] == name);
    found.unwrap_or_else(|| panic!("no sink {name}: {status}"))
}

/// Asserts that a value has everything that another has, however deep.
fn assert_covers(actual: &Value, expected: &Value) {
    match (actual, expected) {
        (Value::Object(_), Value::Object(members)) => {
            for (name, expected) in members {
                assert_covers(&actual[name], expected);
            }
        }
        _ => assert_eq!(actual, expected),
    }
}
