//! `serin audit`: who did what to a running gateway, and whether its audit trail is what it wrote.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use hyper::Method;
use serde_json::Value;

use super::NOT_SO;
use super::admin_client::{AdminArgs, segment};
use crate::audit::chain::{Link, Verifier};
use crate::audit::files;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check the files of a trail: exit code 0 when nothing in them was changed or is missing
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only what came after this: an entry's ID, or a moment as in 2026-11-28T10:00:00Z
    #[arg(long)]
    since: Option<String>,
    /// Only what is about this service
    #[arg(long)]
    service: Option<String>,
    /// How many entries at most; without --since the newest
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The files of the trail, the oldest first
    #[arg(value_name = "FILE", required_unless_present = "state_dir")]
    files: Vec<PathBuf>,
    /// The folder that has them, as server.state_dir says
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    state_dir: Option<PathBuf>,
    /// The hash of an entry that must be there: a trail whose end was cut off does not have it
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
}

/// Shows entries, or verifies a trail.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    match &args.command {
        Some(AuditCommand::Verify(what)) => verify(what, &mut io::stdout().lock()),
        None => list(&args.list),
    }
}

fn list(args: &List) -> io::Result<ExitCode> {
    let mut path = format!("/api/v1/audit?limit={}", args.limit);
    for (name, value) in [("since", &args.since), ("service", &args.service)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    let request = (Method::GET, path.as_str());
    args.asked.ask(request, None, |answer, out| {
        let entries = answer["entries"].as_array().into_iter().flatten();
        entries
            .into_iter()
            .try_for_each(|entry| print_entry(entry, out))
    })
}

fn print_entry(entry: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (id, at) = (text(&entry["id"]), text(&entry["at"]));
    let (action, object) = (text(&entry["action"]), text(&entry["object"]));
    write!(out, "{id} {at} {action} {object}")?;
    if let Some(service) = entry["service"].as_str() {
        write!(out, " of {service}")?;
    }
    let actor = &entry["actor"];
    match (actor["name"].as_str(), actor["address"].as_str()) {
        (Some(name), Some(address)) => write!(out, ", by {name} at {address}")?,
        (Some(who), None) | (None, Some(who)) => write!(out, ", by {who}")?,
        (None, None) => {}
    }
    match entry["reason"].as_str() {
        Some(reason) => writeln!(out, ": {reason}"),
        None => writeln!(out),
    }
}

/// What was found in a trail.
#[derive(Debug, Default)]
struct Findings {
    verifier: Verifier,
    last: Option<Link>,
    has_expected: bool,
    faults: u64,
}

fn verify(args: &Verify, out: &mut dyn io::Write) -> io::Result<ExitCode> {
    let paths = match &args.state_dir {
        Some(folder) => files::existing(folder),
        None => args.files.clone(),
    };
    if let (Some(folder), []) = (&args.state_dir, paths.as_slice()) {
        writeln!(out, "{}: there is no audit trail in it", folder.display())?;
        return Ok(ExitCode::from(NOT_SO));
    }
    let mut findings = Findings::default();
    for path in &paths {
        let read = findings.read(path, args.expect.as_deref(), out);
        if let Err(error) = read {
            writeln!(out, "{}: {error}", path.display())?;
            findings.faults += 1;
        }
    }
    if let Some(expected) = args.expect.as_ref().filter(|_| !findings.has_expected) {
        let last = paths.last().map(|path| path.display().to_string());
        let last = last.unwrap_or_default();
        writeln!(
            out,
            "{last}: no entry has the hash {expected}: the trail was cut off at its end, or the entry is older than these files"
        )?;
        findings.faults += 1;
    }
    let count = findings.verifier.count();
    match findings.last {
        Some(link) => writeln!(out, "{count} entries, the last hash is {}", link.hash)?,
        None => writeln!(out, "{count} entries")?,
    }
    match findings.faults {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::from(NOT_SO)),
    }
}

impl Findings {
    /// Checks a file that comes after those before, and says what is wrong with each line.
    fn read(
        &mut self,
        path: &Path,
        expected: Option<&str>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if let Err(fault) = self.verifier.check(&line) {
                writeln!(out, "{}:{number}: {fault}", path.display())?;
                self.faults += 1;
            }
            if let Some(link) = self.verifier.end() {
                self.has_expected |= expected == Some(&*link.hash);
                self.last = Some(link.clone());
            }
        }
        Ok(())
    }
}
