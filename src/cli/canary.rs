//! `serin canary`: the registry and the kill switch of a running gateway, for pipelines and for people on call.

mod ci;
mod hold;
mod lease;
mod register;
mod text;

use std::process::ExitCode;
use std::{fmt, io};

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::NOT_SO;
use super::admin_client::{AdminArgs, runtime, segment, tell};
use hold::Signals;
use lease::{Deregister, List, One};
use register::Register;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    order: CanaryCommand,
}

#[derive(Debug, Subcommand)]
enum CanaryCommand {
    /// Register a deployed branch as a canary, or renew it; off for everybody until its flag says otherwise
    #[command(disable_version_flag = true)]
    Register(Box<Register>),
    /// Renew a registration for another TTL
    Renew(One),
    /// Take a registration back: its users are on stable at once
    Deregister(Deregister),
    /// List registrations, of one service or of all
    List(List),
    /// Show one registration and its history
    Show(One),
    /// Send no user to a canary any more, whatever its flag says; survives restarts
    Kill(Kill),
    /// Take a kill back
    Restore(Restore),
}

#[derive(Debug, clap::Args)]
struct Kill {
    #[command(flatten)]
    target: CanaryName,
    /// Why, for those who will ask: it is shown wherever the kill is
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Kill it although no flag has the name yet
    #[arg(long)]
    ahead: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Restore {
    #[command(flatten)]
    target: Option<CanaryName>,
    /// Say that no canary is killed of which a damaged kills.json leaves that unknown
    #[arg(long, conflicts_with_all = ["service", "name"], required_unless_present = "service")]
    all_unknown: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct CanaryName {
    /// The service
    service: String,
    /// The canary's flag; all variants of it are meant
    name: String,
}

/// Gives the order, and prints what it has come to.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    match &args.order {
        CanaryCommand::Register(order) => register(order),
        CanaryCommand::Renew(one) => one.renew(),
        CanaryCommand::Deregister(deregister) => deregister.run(),
        CanaryCommand::List(list) => list.run(),
        CanaryCommand::Show(one) => one.show(),
        CanaryCommand::Kill(kill) => kill.run(),
        CanaryCommand::Restore(restore) => restore.run(),
    }
}

/// Registers a canary; holds the registration if `--hold` asks for that.
fn register(order: &Register) -> io::Result<ExitCode> {
    let document = match order.document(|name| std::env::var(name).ok()) {
        Ok(document) => document,
        Err(problem) => {
            tell(&problem);
            return Ok(ExitCode::from(NOT_SO));
        }
    };
    runtime()?.block_on(async {
        if order.hold {
            // Before the first request, so that a signal during it takes the registration back as well.
            let signals = Signals::listen()?;
            return Ok(hold::hold(order, &document, signals).await);
        }
        match order.registered(&document).await {
            Ok(answer) => order.asked.print(&answer, text::registered)?,
            Err(failure) => return Ok(failure.report()),
        }
        Ok(ExitCode::SUCCESS)
    })
}

impl Kill {
    fn run(&self) -> io::Result<ExitCode> {
        let path = self.target.path("/kill");
        let document = json!({ "reason": self.reason, "ahead": self.ahead });
        let request = (Method::POST, path.as_str());
        self.asked.ask(request, Some(&document), |answer, out| {
            print(answer, &self.target, out)
        })
    }
}

impl Restore {
    fn run(&self) -> io::Result<ExitCode> {
        let path = match &self.target {
            Some(target) => target.path("/restore"),
            None => "/api/v1/canaries/unknown/restore".to_owned(),
        };
        let request = (Method::POST, path.as_str());
        self.asked.ask(request, Some(&json!({})), |answer, out| {
            match &self.target {
                Some(target) => print(answer, target, out),
                None => print_settled(answer, out),
            }
        })
    }
}

impl CanaryName {
    /// Its path in the API, with `further` after it.
    fn path(&self, further: &str) -> String {
        let (service, name) = (segment(&self.service), segment(&self.name));
        format!("/api/v1/services/{service}/canaries/{name}{further}")
    }
}

impl fmt::Display for CanaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.service)
    }
}

fn print_settled(answer: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    match answer["changed"] == true {
        true => writeln!(
            out,
            "every canary of unknown standing is restored: its flag decides again"
        )?,
        false => writeln!(out, "there is no canary of unknown standing")?,
    }
    print_storage(answer, out)
}

fn print(answer: &Value, target: &CanaryName, out: &mut dyn io::Write) -> io::Result<()> {
    let name = &target.name;
    let of = target.to_string();
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    match (answer["killed"] == true, answer["changed"] == true) {
        (true, true) => writeln!(out, "{of} is killed: its users are on stable")?,
        (true, false) => writeln!(
            out,
            "{of} was killed already, at {} by {}",
            text("since"),
            text("by")
        )?,
        (false, true) => writeln!(out, "{of} is restored: its flag decides again")?,
        (false, false) => writeln!(out, "{of} was not killed")?,
    }
    if answer["canaries"] == 0 {
        writeln!(out, "there is no canary of a flag {name} now")?;
    }
    print_storage(answer, out)
}

fn print_storage(answer: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    if answer["scope"] == "this gateway, pending" {
        writeln!(
            out,
            "other gateways learn of it when the store that they share can be reached again"
        )?;
    }
    if answer["stored"] == false {
        writeln!(
            out,
            "this could not be stored: it holds until the gateway is restarted"
        )?;
    }
    Ok(())
}
