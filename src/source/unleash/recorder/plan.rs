//! What has to be done for a flag in Unleash to say what a canary's registration says: from what is there, purely.
//!
//! Serin changes what it made, and of that only what is its own: its line of the description, its tag, and the URL in the
//! payload of its variant. Strategies, rollouts, other variants and the environment's switch are people's.

use serde_json::{Map, Value, json};

use super::record::CanaryRecord;
use crate::config::unleash::{OnDeregister, UnleashPlace};
use crate::source::unleash::admin_api::Found;
use crate::source::unleash::admin_flag::{AdminFlag, AdminPayload, AdminStrategy, AdminVariant};

/// What Serin's line of a description begins with; a flag with such a line is Serin's, as is one with its tag.
const OWN_LINE: &str = "Recorded by Serin: ";
/// The variant whose payload is Serin's.
pub(super) const VARIANT: &str = "canary";
/// How often a plan is made anew before a flag counts as one that others are changing all the time.
pub(super) const ROUNDS: usize = 6;

/// One change of a flag.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// It is made, with this description; it is off everywhere and has no strategy.
    Create(String),
    /// It gets Serin's tag.
    Tag,
    /// It comes back from the archive, off everywhere.
    Revive,
    /// Its description becomes this.
    Describe(String),
    /// It is marked stale, or not any more.
    MarkStale(bool),
    /// It gets a strategy by which nobody gets it.
    AddGuard,
    /// It gets a strategy, disabled, whose variant has the URL.
    AddCanary,
    /// A part of a strategy is changed, as JSON Patch names it.
    Patch {
        /// The strategy's ID.
        strategy: Box<str>,
        /// The change.
        patch: Value,
    },
    /// It goes to the archive.
    Archive,
}

/// What to do so that a canary is recorded; nothing, when it is. An error says why it cannot be.
pub(super) fn to_record(
    canary: &CanaryRecord,
    found: &Found,
    place: &UnleashPlace,
) -> Result<Vec<Step>, String> {
    let (name, project) = (&canary.flag, &place.project);
    match found {
        Found::Nothing => Ok(vec![Step::Create(description("", canary)), Step::Tag]),
        Found::Elsewhere(other) => Err(format!(
            "the flag is in project `{other}` of Unleash, not in `{project}`: it stays as it is"
        )),
        Found::Archived { project: other, .. } if **other != **project => Err(format!(
            "a flag called `{name}` is in the archive of project `{other}` of Unleash: delete it there"
        )),
        Found::Archived {
            description,
            is_tagged,
            ..
        } if *is_tagged || has_own_line(description) => Ok(vec![Step::Revive]),
        Found::Archived { .. } => Err(format!(
            "a flag called `{name}` that Serin did not make is in the archive of Unleash: revive or delete it there"
        )),
        Found::Here { flag, is_tagged } if is_own(flag, *is_tagged) => {
            mend(canary, flag, *is_tagged, place)
        }
        Found::Here { .. } => Err(
            "the flag in Unleash was made there, not by Serin: it stays as it is, and users go where it and the \
             registration say"
                .to_owned(),
        ),
    }
}

/// What to do when a canary leaves; nothing, when that is done. What Serin did not make stays as it is.
pub(super) fn to_withdraw(found: &Found, place: &UnleashPlace) -> Vec<Step> {
    let Found::Here { flag, is_tagged } = found else {
        return Vec::new();
    };
    if !is_own(flag, *is_tagged) {
        return Vec::new();
    }
    let is_stale = match place.on_deregister {
        OnDeregister::Archive => return vec![Step::Archive],
        OnDeregister::Stale => flag.stale,
        OnDeregister::Keep => true,
    };
    let environment = flag.environment(&place.environment).unwrap_or_default();
    // The flag stays, but nobody may be sent to what has been torn down.
    let mut steps = own_variants(&environment.strategies, |strategy, path, variant| {
        let payload = variant.payload.as_ref()?;
        let patch = match without_url(payload) {
            Some(left) if left == *payload => return None,
            Some(left) => replace(&path, &left),
            None => json!({ "op": "remove", "path": path }),
        };
        Some(Step::Patch {
            strategy: strategy.id.clone(),
            patch,
        })
    });
    if !is_stale {
        steps.push(Step::MarkStale(true));
    }
    steps
}

fn mend(
    canary: &CanaryRecord,
    flag: &AdminFlag,
    is_tagged: bool,
    place: &UnleashPlace,
) -> Result<Vec<Step>, String> {
    let Some(environment) = flag.environment(&place.environment) else {
        let (name, project) = (&place.environment, &place.project);
        return Err(format!(
            "project `{project}` of Unleash has no environment `{name}`: check `registry.unleash.environment`"
        ));
    };
    let mut steps = Vec::new();
    if !is_tagged {
        steps.push(Step::Tag);
    }
    let old = flag.description.as_deref().unwrap_or_default();
    let new = description(old, canary);
    if new != old {
        steps.push(Step::Describe(new));
    }
    if flag.stale && place.on_deregister == OnDeregister::Stale {
        steps.push(Step::MarkStale(false));
    }
    let strategies = &environment.strategies;
    // Without a strategy, a flag that is on is on for everybody: somebody wants it so.
    if strategies.is_empty() && !environment.enabled {
        steps.push(Step::AddGuard);
    }
    let is_bare = |strategy: &AdminStrategy| strategy.is_guard() && !has_own_variant(strategy);
    let is_on_for_all = strategies.is_empty() && environment.enabled;
    if strategies.iter().all(is_bare) && !is_on_for_all {
        steps.push(Step::AddCanary);
    }
    steps.extend(own_variants(strategies, |strategy, path, variant| {
        let payload = payload_with_url(variant.payload.as_ref(), &canary.url)?;
        Some(Step::Patch {
            strategy: strategy.id.clone(),
            patch: replace(&path, &payload),
        })
    }));
    Ok(steps)
}

fn is_own(flag: &AdminFlag, is_tagged: bool) -> bool {
    is_tagged || flag.description.as_deref().is_some_and(has_own_line)
}

fn has_own_line(description: &str) -> bool {
    description.lines().any(|line| line.starts_with(OWN_LINE))
}

/// A description with Serin's line in it; whatever else it says stays.
fn description(old: &str, canary: &CanaryRecord) -> String {
    let own = format!("{OWN_LINE}{}", canary.in_words());
    if !has_own_line(old) {
        let people = old.trim_end();
        return if people.is_empty() {
            own
        } else {
            format!("{people}\n{own}")
        };
    }
    let lines = old.lines().map(|line| {
        if line.starts_with(OWN_LINE) {
            own.as_str()
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What is to be done about each variant that is Serin's; its payload's path is given with it.
fn own_variants(
    strategies: &[AdminStrategy],
    step: impl Fn(&AdminStrategy, String, &AdminVariant) -> Option<Step>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for strategy in strategies {
        let variants = strategy.variants.iter().flatten().enumerate();
        let own = variants.filter(|(_, variant)| &*variant.name == VARIANT);
        let path = |index| format!("/variants/{index}/payload");
        steps.extend(own.filter_map(|(index, variant)| step(strategy, path(index), variant)));
    }
    steps
}

fn has_own_variant(strategy: &AdminStrategy) -> bool {
    let mut variants = strategy.variants.iter().flatten();
    variants.any(|variant| &*variant.name == VARIANT)
}

/// `add` replaces what is there, and adds what is not.
fn replace(path: &str, payload: &AdminPayload) -> Value {
    json!({ "op": "add", "path": path, "value": { "type": payload.kind, "value": payload.value } })
}

/// The payload with this URL; `None`: it has it, or it is something else that people made of it.
fn payload_with_url(old: Option<&AdminPayload>, url: &str) -> Option<AdminPayload> {
    let Some(old) = old else {
        return Some(AdminPayload {
            kind: "json".into(),
            value: json!({ "url": url }).to_string(),
        });
    };
    let new = match members(old) {
        Some(mut members) => {
            if members.get("url").is_some_and(|own| own == url) {
                return None;
            }
            members.insert("url".to_owned(), url.into());
            Value::Object(members).to_string()
        }
        None if old.value.trim().starts_with("http") => url.to_owned(),
        None => return None,
    };
    (new != old.value).then(|| AdminPayload {
        kind: old.kind.clone(),
        value: new,
    })
}

/// The payload without a URL; `None`: nothing is left.
fn without_url(old: &AdminPayload) -> Option<AdminPayload> {
    let Some(mut members) = members(old) else {
        let is_url = old.value.trim().starts_with("http");
        return (!is_url).then(|| old.clone());
    };
    if members.remove("url").is_none() {
        return Some(old.clone());
    }
    (!members.is_empty()).then(|| AdminPayload {
        kind: old.kind.clone(),
        value: Value::Object(members).to_string(),
    })
}

fn members(payload: &AdminPayload) -> Option<Map<String, Value>> {
    serde_json::from_str(&payload.value).ok()
}

#[cfg(test)]
mod tests;
