//! `serin override mint`: a token by which a tester asks for a deployment.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use super::{ConfigPath, NOT_SO, admin_client, colour};
use crate::clock;
use crate::config::diagnostic::Findings;
use crate::config::{self, Config, OnUnset, render, value};
use crate::context::Moment;
use crate::overrides::{Override, OverrideRules};
use crate::snapshot::Service;
use crate::snapshot::assemble::assemble;
use crate::snapshot::offline::{NoopMeters, Offline};
use crate::source::{self, environment::ProcessEnvironment};
use crate::spelling::nearest;

/// The longest that a token may hold: nobody can take one back, but with a new key all of them.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Sign a token; it is printed alone, what it is for on standard error
    Mint(Mint),
}

#[derive(Debug, clap::Args)]
struct Mint {
    #[command(flatten)]
    config: ConfigPath,
    /// The service
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The deployment that its requests go to, as in search.ranker-v2, search.ab:b or stable
    #[arg(long, value_name = "NAME")]
    deployment: String,
    /// How long it holds, at most 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = life)]
    life: Duration,
    /// Whose requests alone it holds for [default: whoever's show it]
    #[arg(long, value_name = "ID")]
    user: Option<String>,
}

/// Mints, and prints the token or why there is none.
pub(super) fn run(args: &Args) -> io::Result<ExitCode> {
    let Command::Mint(mint) = &args.command;
    match mint.token() {
        Ok(token) => {
            writeln!(io::stdout().lock(), "{token}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            admin_client::tell(&format!("{error:#}"));
            Ok(ExitCode::from(NOT_SO))
        }
    }
}

impl Mint {
    fn token(&self) -> anyhow::Result<String> {
        let now = clock::now();
        let (config, rules) = read(&self.config.config, now)?;
        let snapshot = assemble(&config, 1, &mut Offline::default(), &mut NoopMeters);
        let named = snapshot.services.named(&self.service);
        let service = named.ok_or_else(|| self.unknown_service(&config))?;
        let seconds = now.unix_ms.div_euclid(1000);
        let life = i64::try_from(self.life.as_secs()).unwrap_or(i64::MAX);
        let minted = Override {
            service: self.service.as_str().into(),
            deployment: self.deployment.as_str().into(),
            user: self.user.as_deref().map(Into::into),
            expires: seconds.saturating_add(life),
        };
        let token = minted.sign(&rules.key)?;
        self.warn(service);
        tell(&minted, &rules);
        Ok(token)
    }

    fn unknown_service(&self, config: &Config) -> anyhow::Error {
        let names = || config.services.iter().map(|service| &*service.name);
        let hint = match nearest(&self.service, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        let file = self.config.config.display();
        anyhow!("{file} has no service {:?}; {hint}", self.service)
    }

    /// Says so if the file knows no such deployment: a flag server or a registration may.
    fn warn(&self, service: &Service) {
        let names = || service.deployments.iter().map(|known| &*known.name);
        if names().any(|known| *known == *self.deployment) {
            return;
        }
        let near = nearest(&self.deployment, names());
        let hint = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
        let (file, name) = (self.config.config.display(), &self.deployment);
        admin_client::tell(&format!(
            "warning: {file} knows no deployment {name:?} of {}{hint}; where no flag server and no registration has it \
             either, the token is ignored",
            service.name
        ));
    }
}

/// Says what a token is for, until when, and where it goes.
fn tell(minted: &Override, rules: &OverrideRules) {
    let until = Moment {
        unix_ms: minted.expires.saturating_mul(1000),
    };
    let whose = match &minted.user {
        Some(user) => format!("the user {user:?}"),
        None => "whoever shows it".to_owned(),
    };
    let Override {
        service,
        deployment,
        ..
    } = minted;
    let OverrideRules { header, cookie, .. } = rules;
    let _ = writeln!(
        io::stderr(),
        "{service} is {deployment} for {whose}, until {until}\n\
         it goes into the header {header} or the cookie {cookie}; commas between several"
    );
}

/// Reads a file of which only the key's variable has to be set.
fn read(path: &Path, now: Moment) -> anyhow::Result<(Config, OverrideRules)> {
    let name = path.display().to_string();
    let text = source::file::read(path).with_context(|| name.clone())?;
    let invalid = |problems: &Findings| {
        let colour = colour(io::stderr().is_terminal());
        let found = render::text(&name, &text, problems, colour);
        anyhow!("{name} is invalid\n{found}")
    };
    let compile = |unset| config::compile(&text, &ProcessEnvironment, unset, now);
    let config = compile(OnUnset::StandIn).map_err(|problems| invalid(&problems))?;
    match config.identity.overrides.clone() {
        Some(rules) => Ok((config, rules)),
        None => {
            // Its key may be a variable that is not set.
            compile(OnUnset::Refuse).map_err(|problems| invalid(&problems))?;
            bail!("{name} has no `identity.override`; its `key` signs overrides")
        }
    }
}

fn life(text: &str) -> Result<Duration, String> {
    let life = value::duration(text)?;
    match life {
        _ if life < Duration::from_secs(1) => Err("at least 1s".to_owned()),
        _ if life > LONGEST => Err(format!("at most {}", value::written_duration(LONGEST))),
        _ => Ok(life),
    }
}
