//! `serin canary`: the kill switch of a running gateway, for people on call and for pipelines.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{NOT_SO, admin_client};

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
    /// Where the gateway's admin API is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900")]
    admin: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Gives the order, and prints what it has come to.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    let (target, verb) = match &args.order {
        Order::Kill(target) => (target, "kill"),
        Order::Restore(target) => (target, "restore"),
    };
    let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path = format!(
        "/api/v1/services/{}/canaries/{}/{verb}",
        part(&target.service),
        part(&target.name)
    );
    match admin_client::post(&target.admin, &path, &json!({})) {
        Ok(answer) => {
            print(&answer, target)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("serin: {error:#}");
            Ok(ExitCode::from(NOT_SO))
        }
    }
}

fn print(answer: &Value, target: &Target) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if target.json {
        return writeln!(out, "{answer:#}");
    }
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
