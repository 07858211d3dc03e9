//! Switches rings of Unleash's flags: there, so that its own clients and its UI see the same.

mod plan;

use super::admin_api::{AdminApi, AdminError};
use super::admin_flag::{AdminEnvironment, guard};
use crate::config::unleash::UnleashPlace;
use plan::Step;

/// What is to become of a ring. What is not stated stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingChange {
    /// Whether it is on.
    pub enabled: Option<bool>,
    /// How many of its users get the flag, as in `5%`.
    pub rollout: Option<String>,
}

/// A ring that was switched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchedRing {
    /// Whether it was anything else before.
    pub is_changed: bool,
    /// Whether this gateway decides by it already; else it will with the source's next answer.
    pub is_in_force: bool,
    /// Why that may not have the effect that one would expect.
    pub warnings: Vec<String>,
}

/// Why a ring was not switched. Nothing has been changed then, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// There is no flag server of this name.
    #[error("there is no flag server called {0}")]
    NoServer(String),
    /// Serin may not write there.
    #[error(
        "the rings of this flag are strategies in Unleash: switch `{ring}` there, or give the server `{server}` an `admin_token`"
    )]
    NoToken {
        /// The server.
        server: String,
        /// The ring.
        ring: String,
    },
    /// There is no such flag there.
    #[error("{0}")]
    NoFlag(String),
    /// There is no such ring.
    #[error("{0}")]
    NoRing(String),
    /// Several rings could be meant.
    #[error("{0}")]
    Ambiguous(String),
    /// Unleash has no such thing, or will not have it.
    #[error("{0}")]
    Refused(String),
    /// The token may not, or there is no such project or environment.
    #[error("{0}")]
    Forbidden(String),
    /// The server does not answer; trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

/// Switches a ring; `dry`: only says whether that would change anything.
pub(super) async fn switch(
    api: &AdminApi,
    flag: &str,
    ring: &str,
    change: &RingChange,
    dry: bool,
) -> Result<SwitchedRing, SwitchError> {
    let (project, environment) = read(api, flag).await?;
    let steps = plan::plan(&environment, flag, ring, change)?;
    if !dry {
        for step in &steps {
            take(api, (&project, flag), step).await?;
        }
        // Two who turn the last two rings off at once have each seen the other's on.
        if change.enabled == Some(false) && !steps.is_empty() {
            let (_, environment) = read(api, flag).await?;
            if plan::is_unguarded(&environment) {
                take(api, (&project, flag), &Step::AddGuard).await?;
            }
        }
    }
    Ok(SwitchedRing {
        is_changed: !steps.is_empty(),
        is_in_force: false,
        warnings: warning(api.place(), &environment, change),
    })
}

fn warning(
    place: &UnleashPlace,
    environment: &AdminEnvironment,
    change: &RingChange,
) -> Vec<String> {
    let opens = change.enabled == Some(true) || change.rollout.is_some();
    if !opens || environment.enabled {
        return Vec::new();
    }
    let name = &place.environment;
    vec![format!(
        "the flag is off in environment `{name}` of Unleash: nobody gets it before it is turned on there, with all of its \
         enabled strategies"
    )]
}

/// The flag's project, and what the flag is in the environment.
async fn read(api: &AdminApi, flag: &str) -> Result<(Box<str>, AdminEnvironment), SwitchError> {
    let UnleashPlace {
        project,
        environment,
        ..
    } = api.place();
    let missing = || SwitchError::NoFlag(format!("there is no flag `{flag}` in Unleash any more"));
    let found = match api.flag(project, flag).await? {
        Some(found) => found,
        None => {
            let project = api.project_of(flag).await?.ok_or_else(missing)?;
            api.flag(&project, flag).await?.ok_or_else(missing)?
        }
    };
    let own = found.environment(environment);
    let own = own.ok_or_else(|| {
        SwitchError::Forbidden(format!(
            "the project `{}` of Unleash has no environment `{environment}`: check \
             `registry.unleash.environment`",
            found.project
        ))
    })?;
    Ok((found.project, own))
}

async fn take(
    api: &AdminApi,
    (project, flag): (&str, &str),
    step: &Step,
) -> Result<(), SwitchError> {
    match step {
        Step::AddGuard => api.add_strategy(project, flag, &guard(flag)).await?,
        Step::Patch { strategy, patch } => {
            api.patch_strategy(project, (flag, strategy), patch).await?;
        }
    }
    Ok(())
}

impl From<AdminError> for SwitchError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Unavailable { message, .. } | AdminError::Changed(message) => {
                Self::Unavailable(message)
            }
            AdminError::Refused(message) => Self::Forbidden(message),
            AdminError::Impossible(message) => Self::Refused(message),
        }
    }
}
