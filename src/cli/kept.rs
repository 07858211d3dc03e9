//! `serin flag`, `serin segment` and `serin ring`: what a running gateway keeps itself.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::NOT_SO;
use super::admin_client::{AdminArgs, segment};
use crate::admin::json::parse;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: KeptCommand,
}

#[derive(Debug, Subcommand)]
enum KeptCommand {
    /// Show all of them, and who keeps each
    List(List),
    /// Show one as routes.yaml would have it, in JSON
    Show(Show),
    /// Keep what a file says, in JSON; it is in force when this returns
    Put(Put),
    /// Keep it no more
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Its name
    name: String,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Put {
    /// Its name
    name: String,
    /// The file; - is what is piped in
    file: PathBuf,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Delete {
    /// Its name
    name: String,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RingArgs {
    #[command(subcommand)]
    command: RingCommand,
}

#[derive(Debug, Subcommand)]
enum RingCommand {
    /// Switch one ring off; the others stay as they are
    Off(Ring),
    /// Switch it on again, for the very same users
    On(Ring),
    /// Open it to another percentage
    Set(Set),
}

#[derive(Debug, clap::Args)]
struct Ring {
    /// The flag
    flag: String,
    /// The ring's name
    ring: String,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// The flag
    flag: String,
    /// The ring's name
    ring: String,
    /// The percentage, as in 5%
    rollout: String,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asked: AdminArgs,
}

/// What a command is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    Flags,
    Segments,
}

impl Resource {
    fn path(self) -> &'static str {
        match self {
            Self::Flags => "/api/v1/flags",
            Self::Segments => "/api/v1/segments",
        }
    }

    fn one(self, name: &str, dry_run: bool) -> String {
        let path = self.path();
        format!("{path}/{}{}", segment(name), query(dry_run))
    }
}

fn query(dry_run: bool) -> &'static str {
    if dry_run { "?dry_run=true" } else { "" }
}

/// Shows flags or segments, or changes one.
pub(super) fn run(args: &Args, resource: Resource) -> io::Result<ExitCode> {
    match &args.command {
        KeptCommand::List(List { asked }) => {
            let request = (Method::GET, resource.path());
            asked.ask(request, None, |answer, out| {
                print_list(answer, resource, out)
            })
        }
        KeptCommand::Show(Show { name, asked }) => {
            let path = resource.one(name, false);
            asked.ask((Method::GET, &path), None, |answer, out| {
                writeln!(out, "{answer:#}")
            })
        }
        KeptCommand::Put(put) => {
            let document = match read(&put.file) {
                Ok(document) => document,
                Err(error) => {
                    eprintln!("serin: {}: {error}", put.file.display());
                    return Ok(ExitCode::from(NOT_SO));
                }
            };
            let path = resource.one(&put.name, put.dry_run);
            let request = (Method::PUT, path.as_str());
            put.asked.ask(request, Some(&document), print_change)
        }
        KeptCommand::Delete(delete) => {
            let path = resource.one(&delete.name, delete.dry_run);
            let request = (Method::DELETE, path.as_str());
            delete.asked.ask(request, None, print_change)
        }
    }
}

/// Opens or closes a ring.
pub(super) fn ring(args: &RingArgs) -> io::Result<ExitCode> {
    let (flag, ring, dry_run, change, asked) = match &args.command {
        RingCommand::Off(of) => (
            &of.flag,
            &of.ring,
            of.dry_run,
            json!({ "enabled": false }),
            &of.asked,
        ),
        RingCommand::On(of) => (
            &of.flag,
            &of.ring,
            of.dry_run,
            json!({ "enabled": true }),
            &of.asked,
        ),
        RingCommand::Set(of) => (
            &of.flag,
            &of.ring,
            of.dry_run,
            json!({ "rollout": of.rollout }),
            &of.asked,
        ),
    };
    let path = format!(
        "/api/v1/flags/{}/rings/{}{}",
        segment(flag),
        segment(ring),
        query(dry_run)
    );
    asked.ask((Method::PATCH, &path), Some(&change), print_change)
}

/// Reads a file as JSON; - is what is piped in.
pub(super) fn read(file: &Path) -> io::Result<Value> {
    let mut text = Vec::new();
    if file == Path::new("-") {
        io::stdin().lock().read_to_end(&mut text)?;
    } else {
        text = std::fs::read(file)?;
    }
    parse(&text).map_err(io::Error::other)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn all(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn print_list(answer: &Value, resource: Resource, out: &mut dyn io::Write) -> io::Result<()> {
    match resource {
        Resource::Flags => {
            for flag in all(&answer["flags"]) {
                print_flag(flag, out)?;
            }
        }
        Resource::Segments => {
            for one in all(&answer["segments"]) {
                let condition = one["condition"].as_str().unwrap_or("does not compile");
                let (name, keeper) = (text(&one["name"]), text(&one["kept_by"]));
                writeln!(out, "{name} ({keeper}): {condition}")?;
            }
        }
    }
    for name in all(&answer["shadowed"]) {
        writeln!(
            out,
            "not used: {} of serin, another comes first",
            text(name)
        )?;
    }
    Ok(())
}

fn print_flag(flag: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    let state = match (flag["killed"] == true, flag["enabled"] == true) {
        (true, _) => ", killed",
        (false, false) => ", disabled",
        (false, true) => "",
    };
    let (name, keeper) = (text(&flag["name"]), text(&flag["kept_by"]));
    writeln!(out, "{name} ({keeper}{state})")?;
    for ring in all(&flag["rings"]) {
        writeln!(out, "  {}: {}", text(&ring["name"]), opened(ring))?;
    }
    Ok(())
}

/// How far a ring is open.
fn opened(ring: &Value) -> String {
    match (ring.is_null(), ring["enabled"] == true) {
        (true, _) => "not there".to_owned(),
        (false, true) => text(&ring["rollout"]).to_owned(),
        (false, false) => format!("off ({})", text(&ring["rollout"])),
    }
}

fn print_change(answer: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    let (kind, name) = (text(&answer["kind"]), text(&answer["name"]));
    let done = match (answer["changed"] == true, answer["dry_run"] == true) {
        (false, _) => "is as it was".to_owned(),
        (true, true) => "would be changed; nothing is".to_owned(),
        (true, false) => {
            let verb = match (answer["document"].is_null(), answer["new"] == true) {
                (true, _) => "is deleted",
                (false, true) => "is kept now",
                (false, false) => "is changed",
            };
            format!("{verb}; generation {} is in force", answer["generation"])
        }
    };
    writeln!(out, "the {kind} {name} {done}")?;
    for ring in all(&answer["rings"]) {
        let (flag, name) = (text(&ring["flag"]), text(&ring["ring"]));
        let (before, after) = (opened(&ring["before"]), opened(&ring["after"]));
        let other = if ring["other_audience"] == true {
            ", for other users"
        } else {
            ""
        };
        writeln!(out, "  ring {name} of {flag}: {before} -> {after}{other}")?;
    }
    for deployment in all(&answer["deployments"]) {
        let (service, name) = (
            text(&deployment["service"]),
            text(&deployment["deployment"]),
        );
        let place = |url: &Value| url.as_str().unwrap_or("not there").to_owned();
        let (before, after) = (place(&deployment["before"]), place(&deployment["after"]));
        writeln!(out, "  deployment {name} of {service}: {before} -> {after}")?;
    }
    for warning in all(&answer["warnings"]) {
        let (path, message) = (text(&warning["path"]), text(&warning["message"]));
        writeln!(out, "  warning: {path}: {message}")?;
    }
    Ok(())
}
