//! `serin explain`: the decision for a user and every step to it, from a file or from a running gateway.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Map, Value, json};

use super::admin_client::{self, AdminUrl, Failure};
use super::{Format, USAGE, colour};
use crate::admin::explain::ExplainDocument;
use crate::clock;
use crate::config::{self, OnUnset, render};
use crate::snapshot::assemble::assemble;
use crate::snapshot::offline::{NoopMeters, Offline};
use crate::source::key_sets::TokenIssuers;
use crate::source::{self, environment::ProcessEnvironment};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file [default: routes.yaml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask the running gateway whose admin API is at this URL, rather than a file; without --config,
    /// SERIN_ADMIN in the environment says the same
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    admin: Option<AdminUrl>,
    /// Say where this flag stands instead: who claims it, what it lacks, who is before it
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["user", "session", "path", "host", "method", "headers", "token", "address", "properties"]
    )]
    flag: Option<String>,
    /// The user's ID
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The session's ID: the value of the anonymous cookie
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The path asked for, perhaps with a query
    #[arg(long, default_value = "/")]
    path: String,
    /// The host asked for
    #[arg(long, default_value = "")]
    host: String,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// A header of the request, as a trusted proxy sends it: routes, identity and properties are
    /// read from it; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// The token of an override that the request shows; commas between several
    #[arg(long = "override", value_name = "TOKEN")]
    token: Option<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// A property of the user; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    #[command(flatten)]
    credentials: admin_client::Credentials,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Explains, and prints the explanation or why there is none.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    let explained = match args.gateway() {
        Ok(Some(url)) => {
            admin_client::post(&url, &args.credentials, "/api/v1/explain", &args.document())?
        }
        Ok(None) => {
            let file = args.config.as_deref().unwrap_or(Path::new("routes.yaml"));
            from_file(file, args.document()).map_err(Failure::from)
        }
        Err(problem) => {
            admin_client::tell(&format!("{}: {problem}", admin_client::ADMIN));
            return Ok(ExitCode::from(USAGE));
        }
    };
    match explained {
        Ok(explained) => {
            print(&explained, args.format)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => Ok(failure.report()),
    }
}

impl Args {
    /// The admin API to ask, if it is not the file that explains.
    fn gateway(&self) -> Result<Option<AdminUrl>, String> {
        if self.admin.is_some() || self.config.is_some() {
            return Ok(self.admin.clone());
        }
        let url = std::env::var(admin_client::ADMIN).ok();
        let url = url.filter(|url| !url.is_empty());
        url.map(|url| url.parse()).transpose()
    }

    /// What is asked, in the words of the admin API.
    fn document(&self) -> Value {
        if let Some(flag) = &self.flag {
            return json!({ "flag": flag });
        }
        let texts = |pairs: &[(String, String)]| -> Map<String, Value> {
            let texts = pairs.iter().cloned();
            texts
                .map(|(name, value)| (name, Value::String(value)))
                .collect()
        };
        json!({
            "user_id": self.user,
            "session_id": self.session,
            "host": self.host,
            "path": self.path,
            "method": self.method,
            "headers": texts(&self.headers),
            "override": self.token,
            "remote_address": self.address,
            "properties": texts(&self.properties),
        })
    }
}

fn from_file(path: &Path, document: Value) -> anyhow::Result<Value> {
    let name = path.display().to_string();
    let text = source::file::read(path).with_context(|| name.clone())?;
    let now = clock::now();
    let mut config =
        config::compile(&text, &ProcessEnvironment, OnUnset::StandIn, now).map_err(|problems| {
            let colour = colour(io::stderr().is_terminal());
            anyhow!(
                "{name} is invalid\n{}",
                render::text(&name, &text, &problems, colour)
            )
        })?;
    // Keys that are fetched only a running gateway has.
    TokenIssuers::default().equip(&mut config.identity);
    let may_be_a_servers = document.get("flag").is_some() && !config.unleash.is_empty();
    let snapshot = assemble(&config, 1, &mut Offline::default(), &mut NoopMeters);
    let document: ExplainDocument = serde_json::from_value(document)?;
    match document.explain(&snapshot, now, None) {
        Ok(explained) => Ok(serde_json::to_value(explained)?),
        Err(why) if may_be_a_servers => {
            bail!("{why} in {name}; what flag servers have, a running gateway knows: --admin URL")
        }
        Err(why) => bail!(why),
    }
}

fn print(explained: &Value, format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        return writeln!(out, "{explained:#}");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(text) = explained["text"].as_str() {
        return out.write_all(text.as_bytes());
    }
    writeln!(out, "route {}", text(&explained["route"]))?;
    let token = &explained["token"];
    write!(out, "{}", text(&token["text"]))?;
    match &explained["decision"] {
        Value::Null if token["answer"].is_u64() => Ok(()),
        Value::Null => writeln!(
            out,
            "no service: the route's action is {}",
            text(&explained["action"])
        ),
        decision => write!(out, "{}", text(&decision["text"])),
    }?;
    for kill in explained["kills"].as_array().into_iter().flatten() {
        let (flag, since, by) = (text(&kill["flag"]), text(&kill["since"]), text(&kill["by"]));
        let reason = kill["reason"].as_str();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        writeln!(out, "{flag} is killed, since {since} by {by}{reason}")?;
    }
    for held in explained["held_leases"].as_array().into_iter().flatten() {
        let (name, since) = (text(&held["name"]), text(&held["since"]));
        let reason = text(&held["reason"]);
        writeln!(out, "the lease of {name} is held since {since}: {reason}")?;
    }
    Ok(())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
