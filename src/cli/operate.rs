//! `serin status`, `reload` and `refresh`: a running gateway, asked where there is no other client, as in its container.

use std::io;
use std::process::ExitCode;

use hyper::Method;
use serde_json::Value;

use super::admin_client::{AdminArgs, segment};

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    asked: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RefreshArgs {
    /// The flag server, as it is named in routes.yaml
    #[arg(default_value = "unleash")]
    source: String,
    #[command(flatten)]
    asked: AdminArgs,
}

/// Shows the status.
pub(super) fn status(args: &StatusArgs) -> io::Result<ExitCode> {
    let request = (Method::GET, "/api/v1/status");
    args.asked.ask(request, None, print_status)
}

/// Reloads the file, and prints what is in force then.
pub(super) fn reload(args: &ReloadArgs) -> io::Result<ExitCode> {
    let request = (Method::POST, "/api/v1/reload");
    args.asked.ask(request, None, |answer, out| {
        writeln!(out, "{}", in_force(answer))?;
        list(out, "takes a restart", &answer["restart_needed"])
    })
}

/// Fetches from a flag server, and prints what is in force then.
pub(super) fn refresh(args: &RefreshArgs) -> io::Result<ExitCode> {
    let path = format!("/api/v1/sources/{}/refresh", segment(&args.source));
    args.asked.ask((Method::POST, &path), None, |answer, out| {
        writeln!(out, "{}", in_force(answer))?;
        for kind in ["added", "changed", "removed"] {
            let changed = answer.pointer(&format!("/flags/{kind}"));
            list(out, kind, changed.unwrap_or_default())?;
        }
        list(out, "held", &answer["held"])
    })
}

fn in_force(answer: &Value) -> String {
    let generation = &answer["generation"];
    match answer["changed"].as_bool() {
        Some(true) => format!("generation {generation} is in force"),
        _ => format!("nothing has changed; generation {generation} is in force"),
    }
}

fn print_status(status: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let seconds = |value: &Value| value.as_f64().unwrap_or_default();
    writeln!(
        out,
        "serin {}, up for {:.0} s, generation {}, digest {}",
        text(&status["version"]),
        seconds(&status["uptime_seconds"]),
        status["generation"],
        text(&status["digest"])
    )?;
    for source in status["sources"].as_array().into_iter().flatten() {
        let (name, age) = (text(&source["name"]), seconds(&source["age_seconds"]));
        write!(out, "source {name}: confirmed {age:.0} s ago")?;
        match source["last_error"].as_str() {
            Some(error) => writeln!(out, "; last error: {error}")?,
            None => writeln!(out)?,
        }
        list(out, "held", &source["held"])?;
    }
    for store in status["stores"].as_array().into_iter().flatten() {
        let Some(place) = store["place"].as_str() else {
            continue;
        };
        let age = seconds(&store["age_seconds"]);
        match store["up"] == true {
            true => writeln!(out, "store {place}: shared, read {age:.0} s ago")?,
            false => writeln!(
                out,
                "store {place}: not reached for {age:.0} s: {}",
                text(&store["last_error"])
            )?,
        }
    }
    let reload = &status["last_reload"];
    let (result, at) = (text(&reload["result"]), text(&reload["at"]));
    writeln!(
        out,
        "last reload: {result}, {at}, cause {}",
        text(&reload["cause"])
    )?;
    for error in reload["errors"].as_array().into_iter().flatten() {
        writeln!(out, "  {}", text(&error["message"]))?;
    }
    list(out, "takes a restart", &status["restart_needed"])?;
    list(out, "warning", &status["warnings"])
}

/// One line an item; none for an empty list.
fn list(out: &mut dyn io::Write, name: &str, items: &Value) -> io::Result<()> {
    for item in items.as_array().into_iter().flatten() {
        writeln!(out, "  {name}: {}", item.as_str().unwrap_or_default())?;
    }
    Ok(())
}
