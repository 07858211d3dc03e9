//! Strategies: each becomes a ring. A strategy that cannot be used takes nobody, and the others decide.

use std::borrow::Cow;
use std::sync::Arc;

use super::broken::Broken;
use super::constraint::{Subject, all, condition, named, networks_of};
use super::document::{Item, Parameter, ParametersDocument, StrategyDocument};
use super::feature::FlagCompiler;
use super::rule::{ends_well, quoted};
use crate::context::Field;
use crate::engine::bucketing::{Bucketing, HashedId};
use crate::engine::condition::{Condition, Operator, Test};
use crate::engine::flag::{Ring, Rollout};
use crate::engine::variants::Stickiness;
use crate::flag::Share;

/// The ID that a stickiness hashes.
pub(super) enum Sticky {
    /// A field, or the first of the default ones that is there; the same for a user as long as they keep their ID.
    By(Stickiness),
    /// A value that is the same for every request, if it is known.
    Constant(Option<Box<str>>),
    /// Another number for every request.
    Chance,
}

/// The users whom a strategy takes.
struct StrategyAudience {
    condition: Condition,
    rollout: Rollout,
}

/// Why a strategy takes nobody.
enum Unusable {
    /// The strategy cannot be used; the others decide.
    Alone(String),
    /// Unleash's engine cannot compile it, which turns the whole flag off.
    Flag(Broken),
}

impl From<Broken> for Unusable {
    fn from(broken: Broken) -> Self {
        Self::Flag(broken)
    }
}

impl FlagCompiler<'_, '_> {
    /// The strategies as rings. A flag without any is on for everyone.
    pub(super) fn rings(&mut self, strategies: &[Item<StrategyDocument<'_>>]) -> Vec<Ring> {
        if strategies.is_empty() {
            return vec![Ring {
                name: "no strategies: everyone".into(),
                enabled: true,
                condition: Condition::All(Vec::new()),
                rollout: Rollout::everybody(&self.name),
                variants: None,
            }];
        }
        let strategies = strategies.iter().enumerate();
        strategies
            .map(|(index, strategy)| self.ring(index, strategy))
            .collect()
    }

    fn ring(&mut self, index: usize, document: &Item<StrategyDocument<'_>>) -> Ring {
        let number = index + 1;
        let document = match &document.0 {
            Ok(document) => document,
            Err(why) => {
                let name = format!("strategy {number}");
                return Ring {
                    condition: self
                        .never(&number.to_string(), &format!("it cannot be read: {why}")),
                    rollout: Rollout::everybody(&self.name),
                    variants: None,
                    enabled: true,
                    name: name.into(),
                };
            }
        };
        let title = document.title.as_ref().and_then(Item::get);
        let name: Arc<str> = match title.map(|title| &**title) {
            Some(title) if !title.trim().is_empty() => title.into(),
            _ => format!("{} {number}", &*document.name).into(),
        };
        let audience = self.audience(&name, document).unwrap_or_else(|broken| {
            let Broken(why) = broken;
            StrategyAudience {
                condition: self.off(Broken(format!("strategy {name:?}: {why}"))),
                rollout: Rollout::everybody(&self.name),
            }
        });
        Ring {
            condition: audience.condition,
            rollout: audience.rollout,
            variants: self.strategy_variants(document),
            enabled: true,
            name,
        }
    }

    /// The condition and the rollout of a strategy. Its constraints and segments are compiled even if it takes nobody: what
    /// Unleash's engine cannot compile there turns the flag off all the same.
    fn audience(
        &mut self,
        name: &str,
        document: &StrategyDocument<'_>,
    ) -> Result<StrategyAudience, Broken> {
        let audience = match self.by_strategy(name, document) {
            Ok(audience) => audience,
            Err(Unusable::Flag(broken)) => return Err(broken),
            Err(Unusable::Alone(why)) => StrategyAudience {
                condition: self.never(name, &why),
                rollout: Rollout::everybody(&self.name),
            },
        };
        let mut parts = match audience.condition {
            Condition::All(parts) => parts,
            condition => vec![condition],
        };
        if document.disabled == Some(true) {
            parts.push(Condition::Never("the strategy is disabled".into()));
        }
        for constraint in document.constraints.as_deref().unwrap_or_default() {
            let mut odd = Vec::new();
            parts.push(self.context.constraint(constraint, &mut odd)?);
            self.warn_all(name, odd);
        }
        for id in document.segments.as_deref().unwrap_or_default() {
            parts.push(self.segment(id)?);
        }
        Ok(StrategyAudience {
            condition: all(parts),
            ..audience
        })
    }

    fn warn_all(&mut self, strategy: &str, odd: Vec<String>) {
        for what in odd {
            self.warn(&format!("strategy {strategy:?}: {what}"));
        }
    }

    /// A strategy that never takes anyone, with a warning.
    fn never(&mut self, strategy: &str, why: &str) -> Condition {
        self.warn(&format!("strategy {strategy:?} is off: {why}"));
        Condition::Never(why.into())
    }

    fn segment(&self, id: &Item<i64>) -> Result<Condition, Broken> {
        let id = id.0.as_ref().map_err(|why| {
            Broken(format!(
                "the number of one of its segments cannot be read: {why}"
            ))
        })?;
        match self.segments.get(*id) {
            Some(Ok(segment)) => Ok(Condition::Segment(segment.clone())),
            Some(Err(broken)) => Err(broken.clone()),
            None => Err(Broken(format!("there is no segment {id}"))),
        }
    }

    fn by_strategy(
        &mut self,
        name: &str,
        document: &StrategyDocument<'_>,
    ) -> Result<StrategyAudience, Unusable> {
        let none = ParametersDocument::default();
        let parameters = document.parameters.as_ref().and_then(Item::get);
        let parameters = parameters.unwrap_or(&none);
        let condition = match &*document.name {
            "default" => Condition::All(Vec::new()),
            "userWithId" => self.user_with_id(parameters)?,
            "remoteAddress" => self.remote_address(name, parameters)?,
            "applicationHostname" => self.hostname(parameters)?,
            "flexibleRollout" => return self.flexible(parameters),
            "gradualRolloutUserId" => return self.gradual(parameters, Field::UserId),
            "gradualRolloutSessionId" => return self.gradual(parameters, Field::SessionId),
            "gradualRolloutRandom" => return self.random(parameters),
            unknown => {
                return Err(Unusable::Alone(format!(
                    "there is no strategy {unknown:?} here"
                )));
            }
        };
        Ok(StrategyAudience {
            condition,
            rollout: Rollout::everybody(&self.name),
        })
    }

    fn user_with_id(&mut self, parameters: &ParametersDocument<'_>) -> Result<Condition, Unusable> {
        let ids = required("userIds", &parameters.user_ids)?;
        let ids: Vec<_> = ids.split(',').map(str::trim).collect();
        ids.iter().try_for_each(|id| ends_well(id))?;
        Ok(named(self.context.subject("userId")?, &ids))
    }

    fn remote_address(
        &mut self,
        strategy: &str,
        parameters: &ParametersDocument<'_>,
    ) -> Result<Condition, Unusable> {
        let ips = quoted_list(required("IPs", &parameters.ips)?)?;
        let mut odd = Vec::new();
        let networks = networks_of(ips.iter().map(|ip| &**ip), &mut odd);
        self.warn_all(strategy, odd);
        let subject = self.context.subject("remoteAddress")?;
        Ok(condition(subject, Test::Within(networks)))
    }

    /// Names of machines are compared without regard to case.
    fn hostname(&self, parameters: &ParametersDocument<'_>) -> Result<Condition, Unusable> {
        let names = optional("hostNames", &parameters.host_names)?;
        let names = quoted_list(names.unwrap_or_default())?;
        let names: Vec<_> = names.iter().map(|name| &**name).collect();
        let own = self.context.hostname;
        let subject = Subject::Constant("hostname".into(), Some(own.into()));
        let test = Test::of_text(Operator::In, &names, true);
        let test = test.map_err(|error| Broken(error.to_string()))?;
        Ok(condition(subject, test))
    }

    fn flexible(
        &mut self,
        parameters: &ParametersDocument<'_>,
    ) -> Result<StrategyAudience, Unusable> {
        let share = share(percent("rollout", &parameters.rollout)?)?;
        let stickiness = optional("stickiness", &parameters.stickiness)?;
        let group = match optional("groupId", &parameters.group_id)? {
            Some(group) => quoted(group)?.into(),
            None => self.name.clone(),
        };
        quoted(stickiness.unwrap_or_default())?;
        let sticky = self.sticky(stickiness)?;
        rollout(share, group, sticky)
    }

    fn gradual(
        &self,
        parameters: &ParametersDocument<'_>,
        field: Field,
    ) -> Result<StrategyAudience, Unusable> {
        let percent = percent("percentage", &parameters.percentage)?;
        let group = required("groupId", &parameters.group_id)?;
        let group = quoted(group)?.into();
        rollout(share(percent)?, group, Sticky::By(Stickiness::Field(field)))
    }

    /// Unleash's engine compares a random number from 1 to 99 with the percentage.
    fn random(&self, parameters: &ParametersDocument<'_>) -> Result<StrategyAudience, Unusable> {
        let share = match percent("percentage", &parameters.percentage)? {
            0 | 1 => Share::NONE,
            2..100 => return Err(by_lot()),
            _ => Share::ALL,
        };
        rollout(share, self.name.clone(), Sticky::Chance)
    }

    /// The ID that a stickiness hashes; without one it is the default.
    pub(super) fn sticky(&mut self, name: Option<&str>) -> Result<Sticky, Broken> {
        let name = match name {
            None | Some("default") => return Ok(Sticky::By(Stickiness::Default)),
            Some("random") => return Ok(Sticky::Chance),
            Some(name) => name,
        };
        Ok(match self.context.subject(name)? {
            // The time is another with every request.
            Subject::Field(_, Field::Now) => Sticky::Chance,
            Subject::Field(_, field) => Sticky::By(Stickiness::Field(field)),
            Subject::Constant(_, value) => Sticky::Constant(value),
        })
    }
}

/// The items of a list in one text, as the engine quotes them.
fn quoted_list(text: &str) -> Result<Vec<Cow<'_, str>>, Broken> {
    let items = text.split(',').map(str::trim);
    items.map(quoted).collect()
}

fn optional<'d>(name: &str, value: &'d Parameter<'_>) -> Result<Option<&'d str>, Unusable> {
    match value {
        None => Ok(None),
        Some(Item(Ok(text))) => Ok(Some(text)),
        Some(Item(Err(why))) => Err(Unusable::Alone(format!("its {name} cannot be read: {why}"))),
    }
}

fn required<'d>(name: &str, value: &'d Parameter<'_>) -> Result<&'d str, Unusable> {
    let missing = || Unusable::Alone(format!("it has no {name}"));
    optional(name, value)?.ok_or_else(missing)
}

fn percent(name: &str, value: &Parameter<'_>) -> Result<usize, Unusable> {
    let text = required(name, value)?;
    let number = text.parse();
    number.map_err(|_| Unusable::Alone(format!("its {name} is {text:?}, no percentage")))
}

fn share(percent: usize) -> Result<Share, Broken> {
    let hundredths = u16::try_from(percent.saturating_mul(100)).ok();
    let share = hundredths.and_then(Share::new);
    share.ok_or_else(|| Broken(format!("{percent} % is more than everyone")))
}

fn by_lot() -> Unusable {
    Unusable::Alone("its users would be drawn by lot, with every request anew".to_owned())
}

/// A percentage. 100 % and 0 % need no ID, unless a certain one is asked for.
fn rollout(share: Share, group: Arc<str>, sticky: Sticky) -> Result<StrategyAudience, Unusable> {
    let bucketing = Bucketing::Unleash { group };
    let (share, stickiness) = match sticky {
        Sticky::By(stickiness) => (share, stickiness),
        Sticky::Constant(Some(id)) => {
            let position = bucketing.position(Some(HashedId::Text(&id)));
            let is_below = position.is_some_and(|position| position.is_below(share));
            let share = if is_below { Share::ALL } else { Share::NONE };
            (share, Stickiness::Default)
        }
        Sticky::Constant(None) => {
            return Err(Unusable::Alone(
                "what its ID would be is not known".to_owned(),
            ));
        }
        Sticky::Chance if share == Share::ALL || share == Share::NONE => {
            (share, Stickiness::Default)
        }
        Sticky::Chance => return Err(by_lot()),
    };
    let rollout = Rollout {
        share,
        needs_id: matches!(stickiness, Stickiness::Field(_)),
        stickiness,
        bucketing,
    };
    Ok(StrategyAudience {
        condition: Condition::All(Vec::new()),
        rollout,
    })
}
