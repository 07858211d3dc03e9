//! `serin token`: tokens for `admin.tokens`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::json;

use crate::config::token::Token;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print a random token for its bearer, and the hash that admin.tokens has of it
    New {
        /// Print both as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Makes a token. It is printed and kept nowhere.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    let Action::New { json } = args.action;
    let token = hex(&rand::random());
    let hash = hex(Token::of(&token).digest());
    let mut out = io::stdout().lock();
    match json {
        true => writeln!(out, "{:#}", json!({ "token": token, "token_sha256": hash }))?,
        false => writeln!(out, "token: {token}\ntoken_sha256: {hash}")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
