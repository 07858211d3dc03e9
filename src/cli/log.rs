//! `serin log`: which lines a running gateway logs, and other ones for a while.

use std::io;
use std::process::ExitCode;

use hyper::Method;
use serde_json::{Value, json};

use super::admin_client::AdminArgs;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Put these directives on top of logging.level for a while: TARGET=LEVEL adds the lines of a
    /// part, as in serin::proxy=debug; LEVEL alone stands in for logging.level; commas between them
    #[arg(long, value_name = "DIRECTIVES")]
    filter: Option<String>,
    /// How long they hold, at most 1h; the gateway then sets its filter back by itself [default: 10m]
    #[arg(long = "for", value_name = "DURATION", requires = "filter")]
    lifetime: Option<String>,
    /// Set the filter back now
    #[arg(long, conflicts_with_all = ["filter", "lifetime"])]
    reset: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

/// Shows or changes the filter, and prints what holds then.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    let change = args
        .filter
        .as_ref()
        .map(|filter| json!({ "filter": filter, "for": args.lifetime }));
    let method = match (&change, args.reset) {
        (Some(_), _) => Method::PUT,
        (None, true) => Method::DELETE,
        (None, false) => Method::GET,
    };
    let request = (method, "/api/v1/log");
    args.asked.ask(request, change.as_ref(), print)
}

fn print(answer: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    writeln!(out, "logging.level is {}", text("level"))?;
    match answer["filter"].as_str() {
        None => writeln!(out, "no filter is on top of it"),
        Some(filter) => writeln!(
            out,
            "the filter {filter} is on top of it, set by {}; it ends at {}, in {} s",
            text("by"),
            text("until"),
            answer["remaining_seconds"].as_f64().unwrap_or_default()
        ),
    }
}
