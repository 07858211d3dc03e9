//! `serin exposures`: who was served by what, as a running gateway records it.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::admin_client::{AdminArgs, runtime, segment};

/// How long `tail --follow` waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ExposuresCommand,
}

#[derive(Debug, Subcommand)]
enum ExposuresCommand {
    /// Show who was served by which deployment lately
    Tail(Tail),
    /// Show how many users were recorded on which side today, and what was lost
    Stats(Stats),
    /// Remove what is recorded of a user
    Forget(Forget),
}

#[derive(Debug, clap::Args)]
struct Tail {
    /// Only this user's, by the ID as it is
    #[arg(long)]
    user: Option<String>,
    /// Only under this flag
    #[arg(long)]
    flag: Option<String>,
    /// How many at most, up to 1,000
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on with what comes; with --json one object a line
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Stats {
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Forget {
    /// The user's ID as it is, not its hash
    #[arg(long)]
    user: String,
    #[command(flatten)]
    asked: AdminArgs,
}

/// Shows or removes exposures.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    match &args.command {
        ExposuresCommand::Tail(tail) if tail.follow => follow(tail),
        ExposuresCommand::Tail(tail) => {
            let path = tail.path(None);
            tail.asked.ask((Method::GET, &path), None, |answer, out| {
                exposures(answer).try_for_each(|exposure| print_one(exposure, out))
            })
        }
        ExposuresCommand::Stats(stats) => {
            let request = (Method::GET, "/api/v1/exposures/stats");
            stats.asked.ask(request, None, print_stats)
        }
        ExposuresCommand::Forget(forget) => {
            let request = (Method::POST, "/api/v1/exposures/forget");
            let document = json!({ "user": forget.user });
            forget.asked.ask(request, Some(&document), |answer, out| {
                writeln!(out, "{} records were removed", answer["removed"])
            })
        }
    }
}

impl Tail {
    fn path(&self, after: Option<u64>) -> String {
        let mut path = format!("/api/v1/exposures?limit={}", self.limit);
        let named = [("user", &self.user), ("flag", &self.flag)];
        for (name, value) in named {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", segment(value)));
            }
        }
        if let Some(after) = after {
            path.push_str(&format!("&after={after}"));
        }
        path
    }
}

/// Prints what there is, then what comes, until the gateway is not reached any more.
fn follow(tail: &Tail) -> io::Result<ExitCode> {
    let mut last = None;
    runtime()?.block_on(async {
        loop {
            let path = tail.path(last);
            let answer = match tail.asked.call(Method::GET, &path, None).await {
                Ok(answer) => answer,
                Err(failure) => return Ok(failure.report()),
            };
            let mut out = io::stdout().lock();
            for exposure in exposures(&answer) {
                last = exposure["sequence"].as_u64().or(last);
                match tail.asked.json {
                    true => writeln!(out, "{exposure}")?,
                    false => print_one(exposure, &mut out)?,
                }
            }
            drop(out);
            // What was left out for the limit comes at once.
            if exposures(&answer).count() < usize::from(tail.limit) {
                last = last.or(Some(0));
                tokio::time::sleep(PAUSE).await;
            }
        }
    })
}

fn exposures(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["exposures"].as_array().into_iter().flatten()
}

fn print_one(exposure: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    let text = |name: &str| exposure[name].as_str().unwrap_or_default();
    write!(
        out,
        "{} {} {} of {}: {}",
        text("time"),
        text("user"),
        text("flag"),
        text("service"),
        text("arm"),
    )?;
    if let Some(variant) = exposure["variant"].as_str() {
        write!(out, " ({variant})")?;
    }
    write!(out, ", served by {}", text("served"))?;
    match exposure["cause"].as_str() {
        Some(cause) => writeln!(out, " rather than {} ({cause})", text("assigned")),
        None => writeln!(out),
    }
}

fn print_stats(answer: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    for arm in answer["arms"].as_array().into_iter().flatten() {
        let text = |name: &str| arm[name].as_str().unwrap_or_default();
        writeln!(
            out,
            "{} {} {} {}: {}",
            text("day"),
            text("service"),
            text("flag"),
            text("arm"),
            arm["count"]
        )?;
    }
    writeln!(
        out,
        "since the start: {} recorded, {} repeated, {} dropped, {} unwritten",
        answer["recorded"], answer["repeated"], answer["dropped"], answer["unwritten"]
    )?;
    match answer["last_error"].as_str() {
        Some(error) => writeln!(out, "  {error}"),
        None => Ok(()),
    }
}
