//! `serin canary`: the kill switch of a running gateway, for people on call and for pipelines.

use std::io;
use std::process::ExitCode;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::admin_client::{Asked, segment};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Send no user to a canary any more, whatever its flag says; survives restarts, and may come before the flag
    Kill(Target),
    /// Take a kill back
    Restore(Target),
}

#[derive(Debug, clap::Args)]
struct Target {
    /// The service
    service: String,
    /// The canary's flag; all variants of it are meant
    name: String,
    #[command(flatten)]
    asked: Asked,
}

/// Gives the order, and prints what it has come to.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    let (target, verb) = match &args.order {
        Order::Kill(target) => (target, "kill"),
        Order::Restore(target) => (target, "restore"),
    };
    let path = format!(
        "/api/v1/services/{}/canaries/{}/{verb}",
        segment(&target.service),
        segment(&target.name)
    );
    let request = (Method::POST, path.as_str());
    let document = json!({});
    target.asked.ask(request, Some(&document), |answer, out| {
        print(answer, target, out)
    })
}

fn print(answer: &Value, target: &Target, out: &mut dyn io::Write) -> io::Result<()> {
    let name = &target.name;
    let of = format!("{name} of {}", target.service);
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
    if answer["stored"] == false {
        writeln!(
            out,
            "this could not be stored: it holds until the gateway is restarted"
        )?;
    }
    Ok(())
}
