//! `serin canary register`: a deployed branch becomes a canary, from a pipeline or from a sidecar.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{CanaryName, ci};
use crate::cli::admin_client::{AdminArgs, Failure};
use crate::cli::kept;
use crate::config::value;

/// How often the gateway is asked whether the canary is ready.
const POLL: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(super) struct Register {
    #[command(flatten)]
    pub(super) target: CanaryName,
    /// Where it runs
    #[arg(long, value_name = "URL")]
    pub(super) url: String,
    /// How long it stays registered unless it is renewed [default: registry.ttl of routes.yaml]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// The branch that it was built from [default: as the CI system says]
    #[arg(long, value_name = "TEXT")]
    branch: Option<String>,
    /// The commit that it was built from [default: as the CI system says]
    #[arg(long, value_name = "TEXT")]
    commit: Option<String>,
    /// Its version
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// Who answers for it
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The path that its health check asks for; without one, a connection is enough
    #[arg(long, value_name = "PATH")]
    health: Option<String>,
    /// A file with its rings as a flag has them, in JSON; they count where no flag has its name;
    /// - is what is piped in
    #[arg(long, value_name = "FILE")]
    rings: Option<PathBuf>,
    /// Return when it is ready; fail if it is not by then
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    wait: Option<Duration>,
    /// Stay, and renew it every third of its TTL; SIGTERM takes it back
    #[arg(long)]
    pub(super) hold: bool,
    #[command(flatten)]
    pub(super) asked: AdminArgs,
}

impl Register {
    /// The document that registers the canary.
    pub(super) fn document(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Value, String> {
        let mut document = Map::new();
        document.insert("url".to_owned(), json!(self.url));
        let branch = self.branch.clone().or_else(|| ci::branch(&variable));
        let commit = self.commit.clone().or_else(|| ci::commit(&variable));
        let texts = [
            ("ttl", &self.ttl),
            ("branch", &branch),
            ("commit", &commit),
            ("version", &self.version),
            ("owner", &self.owner),
            ("description", &self.description),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                document.insert(name.to_owned(), json!(text));
            }
        }
        if let Some(path) = &self.health {
            document.insert("health".to_owned(), json!({ "path": path }));
        }
        if let Some(file) = &self.rings {
            let rings = kept::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            if !rings.is_array() {
                let file = file.display();
                return Err(format!("{file}: rings are a list, as a flag has it"));
            }
            document.insert("rings".to_owned(), rings);
        }
        Ok(Value::Object(document))
    }

    /// Registers the canary; waits until it is ready if `--wait` asks for that.
    pub(super) async fn registered(&self, document: &Value) -> Result<Value, Failure> {
        let answer = self.put(document).await?;
        self.waited(answer).await
    }

    /// Registers the canary, or renews its registration.
    pub(super) async fn put(&self, document: &Value) -> Result<Value, Failure> {
        let path = self.target.path("");
        self.asked.call(Method::PUT, &path, Some(document)).await
    }

    /// Waits until the canary is ready if `--wait` asks for that; returns `answer`, brought up to date.
    pub(super) async fn waited(&self, mut answer: Value) -> Result<Value, Failure> {
        let Some(within) = self.wait else {
            return Ok(answer);
        };
        let mut last = Ok(answer.clone());
        let ready = tokio::time::timeout(within, self.await_ready(&mut last)).await;
        match (ready, last) {
            (Ok(shown), _) => {
                let shown = shown?;
                update(&mut answer, &shown);
                Ok(answer)
            }
            (Err(_), Ok(shown)) => Err(self.not_ready(within, &shown).into()),
            (Err(_), Err(failure)) => Err(failure),
        }
    }

    /// Asks until the canary is ready; `last` is the last answer.
    async fn await_ready(&self, last: &mut Result<Value, Failure>) -> Result<Value, Failure> {
        let path = self.target.path("");
        loop {
            match last {
                Ok(shown) if is_ready(shown) => return Ok(shown.clone()),
                Ok(shown) if shown["state"] == "over" => {
                    let text = format!("{} is not registered any more", self.target);
                    return Err(anyhow!(text).into());
                }
                Ok(_) | Err(_) => tokio::time::sleep(POLL).await,
            }
            *last = match self.asked.call(Method::GET, &path, None).await {
                Err(refused @ Failure::Refused { .. }) => return Err(refused),
                other => other,
            };
        }
    }

    fn not_ready(&self, within: Duration, shown: &Value) -> anyhow::Error {
        let (target, within) = (&self.target, value::written_duration(within));
        match shown.pointer("/check/said").and_then(Value::as_str) {
            Some(said) => anyhow!("{target} is not ready after {within}: {said}"),
            None => anyhow!("{target} is not ready after {within}"),
        }
    }
}

/// Whether users can be sent to the URL that was registered last. While a canary moves, its state is that of the old URL.
fn is_ready(shown: &Value) -> bool {
    shown["state"] == "ready" && shown["moving_to"].is_null()
}

/// Brings the members of an answer up to date; members that `shown` does not have stay as they are.
fn update(answer: &mut Value, shown: &Value) {
    let (Some(answer), Some(shown)) = (answer.as_object_mut(), shown.as_object()) else {
        return;
    };
    for (name, value) in answer {
        if let Some(current) = shown.get(name) {
            *value = current.clone();
        }
    }
}

#[cfg(test)]
mod tests;
