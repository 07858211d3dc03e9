//! `serin run`: the gateway.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use super::{BAD_CONFIG, ConfigPath, UNAVAILABLE, colour};
use crate::config::{self, Config, OnUnset, render};
use crate::gateway::{Gateway, Start};
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
}

/// Runs the gateway until SIGTERM or SIGINT.
pub(super) fn run(args: &Args) -> ExitCode {
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
    }) {
        Ok(gateway) => {
            gateway.run();
            ExitCode::SUCCESS
        }
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
