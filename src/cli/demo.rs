//! `serin demo`: everything in one command, to try.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{BAD_CONFIG, UNAVAILABLE, colour};
use crate::config::{render, value};
use crate::demo::{self, DemoError, Options};
use crate::gateway::StartError;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where traffic is taken, on loopback; 0 is any free port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// End after this time, as in 10s or 2m
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration)]
    length: Option<Duration>,
    /// Where routes.yaml is written; one that is there already is used, and never overwritten
    #[arg(long, value_name = "FOLDER", default_value = "serin-demo")]
    dir: PathBuf,
}

/// Runs the demo until it is over, or its user ends it.
pub(super) fn run(args: Args) -> io::Result<ExitCode> {
    let terminal = io::stdout().is_terminal();
    let can_move = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let done = demo::run(&Options {
        port: args.port,
        duration: args.length,
        directory: args.dir,
        live: terminal && can_move,
        colour: colour(terminal),
    });
    let error = match done {
        Ok(()) => return Ok(ExitCode::SUCCESS),
        Err(DemoError::System(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Err(error);
        }
        Err(error) => error,
    };
    if let DemoError::Invalid {
        path,
        text,
        problems,
    } = &error
    {
        let file = path.display().to_string();
        let colour = colour(io::stderr().is_terminal());
        eprint!("{}", render::text(&file, text, problems, colour));
        eprintln!("Correct it, or take it away: the demo then writes a new one.");
        return Ok(ExitCode::from(BAD_CONFIG));
    }
    eprintln!("serin: {error}");
    if matches!(error, DemoError::Start(StartError::Bind { .. })) {
        eprintln!("Any free port will do with: serin demo --port 0");
    }
    Ok(ExitCode::from(UNAVAILABLE))
}
