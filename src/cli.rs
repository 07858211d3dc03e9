//! Arguments to exit code.

mod admin_client;
mod audit;
mod canary;
mod demo;
mod explain;
mod exposures;
mod kept;
mod log;
mod operate;
mod overriding;
mod receipt;
mod run;
mod token;

pub mod check;
pub mod schema;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

/// The thing asked about is not so.
const NOT_SO: u8 = 1;
/// The arguments cannot be used; clap ends with the same.
const USAGE: u8 = 2;
/// The arguments were right, but what they need could not be had (sysexits.h: EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;
/// The gateway was not reached, or asks for patience: the same again may succeed (sysexits.h: EX_TEMPFAIL).
const TRY_AGAIN: u8 = 75;
/// The file is invalid (sysexits.h: EX_CONFIG).
const BAD_CONFIG: u8 = 78;

/// Canary-routing API gateway: same user, same deployment, everywhere, always.
#[derive(Debug, Parser)]
#[command(
    name = "serin",
    version,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway; reloads when the file changes, on SIGHUP and by API; SIGUSR2 upgrades, SIGTERM drains
    Run(run::Args),
    /// Try it: gateway, sample deployments and users in one process, on this machine only
    Demo(demo::Args),
    /// Validate a file and list every problem with line and column
    Check(CheckArgs),
    /// Show the decision for a user and every step to it
    Explain(explain::Args),
    /// Register canaries with a running gateway, show them, kill and restore them
    Canary(canary::Args),
    /// Show the flags of a running gateway, or change those that it keeps itself
    Flag(kept::Args),
    /// Open or close one ring of a flag of a running gateway
    Ring(kept::RingArgs),
    /// Show the segments of a running gateway, or change those that it keeps itself
    Segment(kept::Args),
    /// Show what a running gateway runs, how fresh it is, and what is wrong with it
    Status(operate::StatusArgs),
    /// Show who did what to a running gateway, or verify its audit trail
    Audit(audit::Args),
    /// Show who was served by what as a running gateway records it, or have a user forgotten
    Exposures(exposures::Args),
    /// Have a running gateway read its file again
    Reload(operate::ReloadArgs),
    /// Have a running gateway fetch from a flag server now
    Refresh(operate::RefreshArgs),
    /// Show which lines a running gateway logs, or change that for a while
    Log(log::Args),
    /// Verify a receipt, which tells who served a user
    Receipt(receipt::Args),
    /// Sign a token by which a tester's requests go to one deployment
    Override(overriding::Args),
    /// Make a token for callers of the admin API
    Token(token::Args),
    /// Print the JSON Schema of routes.yaml, for editors
    Schema,
    /// Print a shell's completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigPath,
    /// The files to check, in place of --config; - is what is piped in
    #[arg(value_name = "FILE", conflicts_with = "config")]
    files: Vec<PathBuf>,
    /// Fail on warnings, too, and on what `run` refuses: variables that are not set
    #[arg(long)]
    strict: bool,
    /// How problems are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ConfigPath {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "routes.yaml")]
    config: PathBuf,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Does what the arguments say.
pub fn main() -> ExitCode {
    // clap prints help, versions and usage errors itself, and exits with 0 or 2.
    let done = match Cli::parse().command {
        Command::Run(args) => Ok(run::run(&args)),
        Command::Demo(args) => demo::run(args),
        Command::Check(args) => check_file(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Canary(args) => canary::run(&args),
        Command::Flag(args) => kept::run(&args, kept::Resource::Flags),
        Command::Ring(args) => kept::ring(&args),
        Command::Segment(args) => kept::run(&args, kept::Resource::Segments),
        Command::Status(args) => operate::status(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Exposures(args) => exposures::run(&args),
        Command::Reload(args) => operate::reload(&args),
        Command::Refresh(args) => operate::refresh(&args),
        Command::Log(args) => log::run(&args),
        Command::Receipt(args) => receipt::run(&args),
        Command::Override(args) => overriding::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Schema => schema::run(&mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => completions(shell),
    };
    match done {
        Ok(code) => code,
        // A reader that went away (`serin schema | head`) has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serin: {error}");
            ExitCode::from(NOT_SO)
        }
    }
}

fn check_file(args: &CheckArgs) -> io::Result<ExitCode> {
    let files = match args.files.as_slice() {
        [] => std::slice::from_ref(&args.config.config),
        files => files,
    };
    let how = check::How {
        strict: args.strict,
        json: args.format == Format::Json,
        colour: colour(io::stdout().is_terminal()),
    };
    let valid = check::run(files, how, &mut io::stdout().lock())?;
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_SO)
    })
}

fn completions(shell: clap_complete::Shell) -> io::Result<ExitCode> {
    // Written whole: clap_complete panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "serin", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether to colour what is printed: on a terminal, unless `NO_COLOR` says no (no-color.org).
fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
