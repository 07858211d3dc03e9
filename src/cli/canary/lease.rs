//! `serin canary renew`, `deregister`, `list` and `show`.

use std::io;
use std::process::ExitCode;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{CanaryName, text};
use crate::cli::admin_client::{AdminArgs, Failure, runtime, segment, tell};

/// One registration of a running gateway.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    #[command(flatten)]
    target: CanaryName,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Deregister {
    #[command(flatten)]
    one: One,
    /// Succeed, too, if it is not registered any more
    #[arg(long)]
    ignore_not_found: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only those of this service
    service: Option<String>,
    #[command(flatten)]
    asked: AdminArgs,
}

impl One {
    /// Renews it.
    pub(super) fn renew(&self) -> io::Result<ExitCode> {
        let path = self.target.path("/renew");
        let request = (Method::POST, path.as_str());
        self.asked.ask(request, None, text::registered)
    }

    /// Shows it.
    pub(super) fn show(&self) -> io::Result<ExitCode> {
        let path = self.target.path("");
        self.asked.ask((Method::GET, &path), None, text::shown)
    }
}

impl Deregister {
    /// Ends it at once.
    pub(super) fn run(&self) -> io::Result<ExitCode> {
        let One { target, asked } = &self.one;
        let path = target.path("");
        match runtime()?.block_on(asked.call(Method::DELETE, &path, None)) {
            Ok(answer) => asked.print(&answer, text::ended)?,
            Err(failure) if self.ignore_not_found && failure.is_not_found() => {
                tell(&failure.to_string());
            }
            Err(failure) => return Ok(failure.report()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    /// Lists registrations.
    pub(super) fn run(&self) -> io::Result<ExitCode> {
        if let Some(service) = &self.service {
            let path = canaries(service);
            return self.asked.ask((Method::GET, &path), None, |answer, out| {
                text::listed(std::slice::from_ref(answer), out)
            });
        }
        match runtime()?.block_on(self.all()) {
            Ok(lists) => {
                let answer = json!({ "services": lists });
                let print = |_: &Value, out: &mut dyn io::Write| text::listed(&lists, out);
                self.asked.print(&answer, print)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(failure) => Ok(failure.report()),
        }
    }

    /// The lists of all services that the token is for.
    async fn all(&self) -> Result<Vec<Value>, Failure> {
        let (mut lists, mut hidden) = (Vec::new(), Vec::new());
        let answer = self.asked.call(Method::GET, "/api/v1/services", None);
        let answer = answer.await?;
        let services = answer.get("services").and_then(Value::as_array);
        let services = services.into_iter().flatten();
        for service in services.filter_map(|service| service["name"].as_str()) {
            let path = canaries(service);
            match self.asked.call(Method::GET, &path, None).await {
                Ok(list) => lists.push(list),
                Err(Failure::Refused {
                    status: Some(StatusCode::FORBIDDEN),
                    ..
                }) => hidden.push(service),
                // A reload has removed the service between the two requests.
                Err(failure) if failure.is_not_found() => {}
                Err(failure) => return Err(failure),
            }
        }
        if !hidden.is_empty() {
            let hidden = hidden.join(", ");
            tell(&format!("the token is not for these services: {hidden}"));
        }
        Ok(lists)
    }
}

fn canaries(service: &str) -> String {
    format!("/api/v1/services/{}/canaries", segment(service))
}
