//! What has to be done so that a ring of a flag, which is a strategy in Unleash, is switched and no other: purely.

use serde_json::{Value, json};

use super::{RingChange, SwitchError};
use crate::source::unleash::admin_flag::{AdminEnvironment, AdminStrategy, GRADUAL};

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// The flag gets a strategy by which nobody gets it: a flag that is on and has no enabled strategy is on for everybody.
    AddGuard,
    /// A part of the ring's strategy is changed, as JSON Patch names it.
    Patch {
        /// The strategy's ID.
        strategy: Box<str>,
        /// The change.
        patch: Value,
    },
}

/// What to do; nothing, when the ring is so already.
pub(super) fn plan(
    environment: &AdminEnvironment,
    flag: &str,
    ring: &str,
    change: &RingChange,
) -> Result<Vec<Step>, SwitchError> {
    let strategies = &environment.strategies;
    let strategy = find(strategies, flag, ring, change)?;
    let mut steps = Vec::new();
    if let Some(rollout) = &change.rollout {
        let percent = whole_percent(rollout)?;
        if *strategy.name != *GRADUAL {
            let kind = &strategy.name;
            return Err(SwitchError::Refused(format!(
                "the ring `{ring}` of `{flag}` is a strategy `{kind}` in Unleash, and only a `{GRADUAL}` has a rollout"
            )));
        }
        if strategy.parameters.get("rollout") != Some(&Value::from(percent.as_str())) {
            steps.push(patch(strategy, "/parameters/rollout", percent));
        }
    }
    if let Some(enabled) = change.enabled.filter(|on| *on != strategy.is_enabled()) {
        if !enabled && !has_other(strategies, strategy) {
            steps.insert(0, Step::AddGuard);
        }
        steps.push(patch(strategy, "/disabled", !enabled));
    }
    Ok(steps)
}

/// Whether clients are told of no strategy although there are some.
pub(super) fn is_unguarded(environment: &AdminEnvironment) -> bool {
    let mut strategies = environment.strategies.iter();
    !environment.strategies.is_empty() && !strategies.any(AdminStrategy::is_enabled)
}

fn patch(strategy: &AdminStrategy, path: &str, value: impl Into<Value>) -> Step {
    let value: Value = value.into();
    Step::Patch {
        strategy: strategy.id.clone(),
        patch: json!({ "op": "add", "path": path, "value": value }),
    }
}

fn has_other(strategies: &[AdminStrategy], than: &AdminStrategy) -> bool {
    let mut others = strategies.iter().filter(|other| other.id != than.id);
    others.any(AdminStrategy::is_enabled)
}

/// The strategy that a ring is: by title, else by its number among those that clients get, alone or behind its kind, as
/// in `flexibleRollout 2`.
fn find<'s>(
    strategies: &'s [AdminStrategy],
    flag: &str,
    ring: &str,
    change: &RingChange,
) -> Result<&'s AdminStrategy, SwitchError> {
    let titled = |strategy: &&AdminStrategy| title(strategy) == Some(ring.trim());
    let mut found = strategies.iter().filter(titled);
    if let Some(first) = found.next() {
        let more = found.count();
        return if more == 0 {
            Ok(first)
        } else {
            Err(SwitchError::Ambiguous(format!(
                "{} strategies of `{flag}` in Unleash are called `{ring}`: give each a title of its own there",
                more + 1
            )))
        };
    }
    let missing = || SwitchError::NoRing(missing(strategies, flag, ring));
    let (kind, number) = ring.rsplit_once(' ').unwrap_or(("", ring));
    let index = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    let index = index.ok_or_else(missing)?;
    let of_kind = |strategy: &&AdminStrategy| kind.is_empty() || *strategy.name == *kind;
    let in_all = strategies.get(index).filter(of_kind);
    let mut told = strategies.iter().filter(|own| own.is_enabled());
    let in_told = told.nth(index).filter(of_kind);
    // Those who look at Serin count what clients are told, those who look at Unleash count all.
    match (in_all, in_told) {
        (Some(all), Some(told)) if all.id == told.id => Ok(all),
        (Some(all), None) => Ok(all),
        (Some(all), Some(_)) if change.enabled == Some(true) && !all.is_enabled() => Ok(all),
        (None, Some(told)) => Ok(told),
        (None, None) => Err(missing()),
        (Some(_), Some(_)) => Err(SwitchError::Ambiguous(format!(
            "`{ring}` of `{flag}` is one strategy when disabled ones are counted and another when they are not: give \
             the strategies titles in Unleash"
        ))),
    }
}

fn title(strategy: &AdminStrategy) -> Option<&str> {
    let title = strategy.title.as_deref()?.trim();
    (!title.is_empty()).then_some(title)
}

fn missing(strategies: &[AdminStrategy], flag: &str, ring: &str) -> String {
    let names: Vec<String> = (1..)
        .zip(strategies)
        .map(|(number, strategy)| match title(strategy) {
            Some(title) => format!("`{title}`"),
            None => format!("`{} {number}`", strategy.name),
        })
        .collect();
    match names.as_slice() {
        [] => format!("the flag `{flag}` has no strategy in Unleash, so it has no ring `{ring}`"),
        names => {
            let names = names.join(", ");
            format!(
                "the flag `{flag}` has no strategy `{ring}` in Unleash; its strategies are {names}"
            )
        }
    }
}

/// A rollout as Unleash takes it: a text of digits.
fn whole_percent(text: &str) -> Result<String, SwitchError> {
    let number = text.trim().trim_end_matches('%').trim_end();
    let number = number.split_once('.').map_or(number, |(whole, rest)| {
        let is_whole = rest.bytes().all(|digit| digit == b'0');
        if is_whole { whole } else { number }
    });
    match number.parse::<u8>() {
        Ok(percent @ ..=100) => Ok(percent.to_string()),
        _ => Err(SwitchError::Refused(format!(
            "`{text}` is no rollout in Unleash, which knows whole percents from 0% to 100%"
        ))),
    }
}

#[cfg(test)]
mod tests;
