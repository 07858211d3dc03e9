//! `serin receipt verify`: what a receipt says, for whoever was given one.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, bail};

use super::{Format, NOT_SO, UNAVAILABLE};
use crate::clock;
use crate::config::attribution::{ReceiptKey, ReceiptsConfig};
use crate::config::{self, OnUnset, render};
use crate::context::Moment;
use crate::receipt::{Receipt, ServedBy};
use crate::receipts;
use crate::receipts::keys::VerifyingKey;
use crate::source::{self, environment::ProcessEnvironment};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Verify a receipt, and print what it says
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The receipt; - reads it from standard input
    token: String,
    #[command(flatten)]
    key: Key,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Key {
    /// A file with the secret, or with an Ed25519 key in PEM
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A key set, as GET <client_api>/receipts/jwks.json answers it
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The gateway's own configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Verifies, and prints what the receipt says or why it is not believed.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    let Command::Verify(verify) = &args.command;
    let keys = match verify.key.read() {
        Ok(keys) => keys,
        Err(error) => {
            eprintln!("serin: {error}");
            return Ok(ExitCode::from(UNAVAILABLE));
        }
    };
    let token = match verify.token.as_str() {
        "-" => {
            let mut piped = String::new();
            io::stdin().read_to_string(&mut piped)?;
            piped
        }
        token => token.to_owned(),
    };
    match receipts::verify(token.trim(), &keys, clock::now()) {
        Ok(receipt) => {
            print(&receipt, verify.format)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(rejected) => {
            eprintln!("serin: this receipt is {rejected}");
            Ok(ExitCode::from(NOT_SO))
        }
    }
}

impl Key {
    fn read(&self) -> anyhow::Result<Vec<VerifyingKey>> {
        match (&self.key_file, &self.jwks, &self.config) {
            (Some(file), ..) => Ok(vec![VerifyingKey::from_file(file)?]),
            (_, Some(file), _) => Ok(VerifyingKey::from_key_set(file)?),
            (.., Some(file)) => of_config(file),
            // clap asks for one of them.
            (None, None, None) => Ok(Vec::new()),
        }
    }
}

fn of_config(path: &Path) -> anyhow::Result<Vec<VerifyingKey>> {
    let name = path.display();
    let text = source::file::read(path).map_err(|error| anyhow!("{name}: {error}"))?;
    let config = config::compile(&text, &ProcessEnvironment, OnUnset::Refuse, clock::now());
    let config = config.map_err(|problems| {
        let found = render::text(&name.to_string(), &text, &problems, false);
        anyhow!("{name} is invalid\n{found}")
    })?;
    let Some(ReceiptsConfig { key, .. }) = &config.process.attribution.receipts else {
        bail!("{name} has no `attribution.receipts`");
    };
    Ok(vec![match key {
        ReceiptKey::Secret(secret) => VerifyingKey::secret(secret.expose().as_bytes()),
        ReceiptKey::PrivateKey(file) => VerifyingKey::from_file(&file.path)?,
    }])
}

fn print(receipt: &Receipt, format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        return writeln!(out, "{:#}", receipts::claims::value(receipt));
    }
    let at = |seconds: i64| Moment {
        unix_ms: seconds.saturating_mul(1000),
    };
    writeln!(
        out,
        "valid until {}, issued at {}\nuser {}",
        at(receipt.expires),
        at(receipt.issued),
        receipt.subject
    )?;
    for (service, by) in &receipt.served {
        writeln!(out, "{service}: {}", in_words(by))?;
    }
    Ok(())
}

fn in_words(by: &ServedBy) -> String {
    let ServedBy {
        deployment,
        reason,
        generation,
        ..
    } = by;
    let mut text = format!("served by {deployment}");
    if by.assigned != *deployment {
        text += &format!(" in place of {}", by.assigned);
    }
    text += &format!(", reason {reason}");
    for (name, value) in [("flag", &by.flag), ("variant", &by.variant)] {
        if let Some(value) = value {
            text += &format!(", {name} {value}");
        }
    }
    text + &format!(", generation {generation}")
}
