//! `serin run`: the gateway.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use super::{BAD_CONFIG, ConfigPath, UNAVAILABLE, colour};
use crate::config::{self, Config, OnUnset, render};
use crate::gateway::{Ending, Gateway, Inherited, Start};
use crate::proxy::run::DebugHeader;
use crate::source::{self, environment::ProcessEnvironment};
use crate::{certificates, clock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// Log each step of the requests that have this header field, whatever logging.level is. A NAME counts when a trusted
    /// proxy sends it; NAME: SECRET (16 characters or more) whoever does
    #[arg(
        long,
        value_name = "HEADER",
        env = "SERIN_DEBUG_REQUEST",
        hide_env_values = true
    )]
    debug_request: Option<DebugHeader>,
    /// Take over from the gateway that runs with the same server.state_dir: its sockets and all that it knows. That one ends when
    /// this one serves, and goes on if it does not; without one, this is an error
    #[arg(long)]
    upgrade: bool,
}

/// Runs the gateway until SIGTERM or SIGINT.
pub(super) fn run(args: &Args) -> ExitCode {
    // Before there is any other thread.
    let inherited = match Inherited::from_service_manager() {
        Ok(inherited) => inherited,
        Err(error) => {
            eprintln!("serin: a socket that systemd has opened cannot be used: {error}");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    let path = args.config.config.clone();
    let (text, config) = match load(&path) {
        Ok(loaded) => loaded,
        Err(why) => {
            eprint!("{why}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    match Gateway::start(Start {
        path,
        text,
        config,
        embedding: None,
        debug_request: args.debug_request.clone(),
        takes_over: args.upgrade,
        inherited,
    }) {
        Ok(gateway) => match gateway.run() {
            Ending::Orderly => ExitCode::SUCCESS,
            // A service manager starts it again.
            Ending::Abandoned => ExitCode::from(UNAVAILABLE),
        },
        Err(error) => {
            eprintln!("serin: {error}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

/// Reads and compiles the file; the error is everything that is wrong with it, for people.
fn load(path: &Path) -> Result<(String, Config), String> {
    let name = path.display().to_string();
    let text = source::file::read(path);
    let text = text.map_err(|error| format!("serin: {name}: {error}\n"))?;
    let now = clock::now();
    let compiled = config::compile(&text, &ProcessEnvironment, OnUnset::Refuse, now);
    match compiled.and_then(|config| certificates::with_upstreams(config, now)) {
        Ok(config) => Ok((text, config)),
        Err(problems) => Err(render::text(
            &name,
            &text,
            &problems,
            colour(io::stderr().is_terminal()),
        )),
    }
}
