//! Strategies: each becomes a ring.

use std::sync::Arc;

use super::constraint::{Broken, Subject, all, condition, named, networks_of};
use super::document::{ParametersDocument, StrategyDocument};
use super::feature::FlagCompiler;
use crate::context::Field;
use crate::engine::bucket::rollout_position;
use crate::engine::condition::{Condition, Operator, Test};
use crate::engine::{Ring, Rollout, Stickiness};
use crate::flag::Share;

/// What is hashed for a user.
pub(super) enum Sticky {
    /// A field, or the default order of them; the same for a user as long as they keep their ID.
    By(Stickiness),
    /// Something that is the same for every request, if it is known.
    Constant(Option<Box<str>>),
    /// Another number for every request.
    Chance,
}

/// Whom a strategy takes.
struct Taken {
    condition: Condition,
    rollout: Rollout,
}

/// 100 %, with or without an ID.
pub(super) fn everyone(group: &Arc<str>) -> Rollout {
    Rollout {
        share: Share::ALL,
        group: group.clone(),
        stickiness: Stickiness::Default,
        needs_id: false,
    }
}

impl FlagCompiler<'_, '_> {
    /// The strategies as rings. A flag without any is on for everyone.
    pub(super) fn rings(&mut self, strategies: &[StrategyDocument<'_>]) -> Vec<Ring> {
        if strategies.is_empty() {
            return vec![Ring {
                name: "no strategies: everyone".into(),
                condition: Condition::All(Vec::new()),
                rollout: everyone(&self.name),
                variants: None,
            }];
        }
        let strategies = strategies.iter().enumerate();
        strategies
            .map(|(index, strategy)| self.ring(index, strategy))
            .collect()
    }

    fn ring(&mut self, index: usize, document: &StrategyDocument<'_>) -> Ring {
        let name: Arc<str> = match document.title.as_deref() {
            Some(title) if !title.trim().is_empty() => title.into(),
            _ => format!("{} {}", &*document.name, index + 1).into(),
        };
        let taken = self.audience(&name, document).unwrap_or_else(|broken| {
            let Broken(why) = broken;
            Taken {
                condition: self.off(Broken(format!("strategy {name:?}: {why}"))),
                rollout: everyone(&self.name),
            }
        });
        Ring {
            condition: taken.condition,
            rollout: taken.rollout,
            variants: self.strategy_variants(document),
            name,
        }
    }

    /// Everything that a strategy asks.
    fn audience(&mut self, name: &str, document: &StrategyDocument<'_>) -> Result<Taken, Broken> {
        let taken = self.taken(name, document)?;
        let mut parts = match taken.condition {
            Condition::All(parts) => parts,
            condition => vec![condition],
        };
        if document.disabled == Some(true) {
            parts.push(Condition::Never("the strategy is disabled".into()));
        }
        for constraint in document.constraints.as_deref().unwrap_or_default() {
            let mut odd = Vec::new();
            parts.push(self.surroundings.constraint(constraint, &mut odd)?);
            self.warn_all(name, odd);
        }
        for id in document.segments.as_deref().unwrap_or_default() {
            parts.push(self.segment(name, *id)?);
        }
        Ok(Taken {
            condition: all(parts),
            ..taken
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

    fn segment(&mut self, strategy: &str, id: i64) -> Result<Condition, Broken> {
        match self.segments.get(id) {
            Some(Ok(segment)) => Ok(Condition::Segment(segment.clone())),
            Some(Err(broken)) => Err(broken.clone()),
            None => Ok(self.never(strategy, &format!("there is no segment {id}"))),
        }
    }

    fn taken(&mut self, name: &str, document: &StrategyDocument<'_>) -> Result<Taken, Broken> {
        let none = ParametersDocument::default();
        let parameters = document.parameters.as_ref().unwrap_or(&none);
        let condition = match &*document.name {
            "default" => Condition::All(Vec::new()),
            "userWithId" => self.user_with_id(name, parameters)?,
            "remoteAddress" => self.remote_address(name, parameters)?,
            "applicationHostname" => self.hostname(parameters),
            "flexibleRollout" => {
                let sticky = self.sticky(parameters.stickiness.as_deref())?;
                let group = parameters.group_id.as_deref();
                let group = group.map_or_else(|| self.name.clone(), Into::into);
                return self.rollout(name, parameters.rollout.as_deref(), group, sticky);
            }
            "gradualRolloutUserId" => return self.gradual(name, parameters, Field::UserId),
            "gradualRolloutSessionId" => return self.gradual(name, parameters, Field::SessionId),
            "gradualRolloutRandom" => {
                let group = self.name.clone();
                let percentage = parameters.percentage.as_deref();
                return self.rollout(name, percentage, group, Sticky::Chance);
            }
            unknown => return Err(Broken(format!("there is no strategy {unknown:?}"))),
        };
        Ok(Taken {
            condition,
            rollout: everyone(&self.name),
        })
    }

    fn user_with_id(
        &mut self,
        strategy: &str,
        parameters: &ParametersDocument<'_>,
    ) -> Result<Condition, Broken> {
        let Some(ids) = parameters.user_ids.as_deref() else {
            return Ok(self.never(strategy, "it has no user IDs"));
        };
        let ids: Vec<_> = ids.split(',').map(str::trim).collect();
        Ok(named(self.surroundings.subject("userId")?, &ids))
    }

    fn remote_address(
        &mut self,
        strategy: &str,
        parameters: &ParametersDocument<'_>,
    ) -> Result<Condition, Broken> {
        let Some(ips) = parameters.ips.as_deref() else {
            return Ok(self.never(strategy, "it has no addresses"));
        };
        let mut odd = Vec::new();
        let networks = networks_of(ips.split(',').map(str::trim), &mut odd);
        self.warn_all(strategy, odd);
        let subject = self.surroundings.subject("remoteAddress")?;
        Ok(condition(subject, Test::Within(networks)))
    }

    /// Names of machines are compared without regard to case.
    fn hostname(&self, parameters: &ParametersDocument<'_>) -> Condition {
        let names = parameters.host_names.as_deref().unwrap_or_default();
        let names: Vec<_> = names.split(',').map(str::trim).collect();
        let own = self.surroundings.hostname;
        let subject = Subject::Constant("hostname".into(), Some(own.into()));
        match Test::of_text(Operator::In, &names, true) {
            Ok(test) => condition(subject, test),
            Err(error) => Condition::Never(error.to_string().into()),
        }
    }

    fn gradual(
        &mut self,
        strategy: &str,
        parameters: &ParametersDocument<'_>,
        field: Field,
    ) -> Result<Taken, Broken> {
        let percentage = parameters.percentage.as_deref();
        let Some(group) = parameters.group_id.as_deref() else {
            return Ok(Taken {
                condition: self.never(strategy, "it has no groupId"),
                rollout: everyone(&self.name),
            });
        };
        let sticky = Sticky::By(Stickiness::Field(field));
        self.rollout(strategy, percentage, group.into(), sticky)
    }

    /// What a stickiness hashes; without one, or with an empty one, it is the default.
    pub(super) fn sticky(&mut self, name: Option<&str>) -> Result<Sticky, Broken> {
        let name = match name {
            None | Some("" | "default") => return Ok(Sticky::By(Stickiness::Default)),
            Some("random") => return Ok(Sticky::Chance),
            Some(name) => name,
        };
        Ok(match self.surroundings.subject(name)? {
            // The time is another with every request.
            Subject::Field(_, Field::Now) => Sticky::Chance,
            Subject::Field(_, field) => Sticky::By(Stickiness::Field(field)),
            Subject::Constant(_, value) => Sticky::Constant(value),
        })
    }

    /// A percentage. All and none of all users are that without any ID, unless a certain one is asked for.
    fn rollout(
        &mut self,
        strategy: &str,
        percentage: Option<&str>,
        group: Arc<str>,
        sticky: Sticky,
    ) -> Result<Taken, Broken> {
        let never = |condition| Taken {
            condition,
            rollout: everyone(&group),
        };
        let Some(percent) = percentage.and_then(|text| text.trim().parse::<usize>().ok()) else {
            let why = match percentage {
                Some(text) => format!("{text:?} is not a percentage"),
                None => "it has no percentage".to_owned(),
            };
            return Ok(never(self.never(strategy, &why)));
        };
        let share = u16::try_from(percent.saturating_mul(100)).ok();
        let share = share
            .and_then(Share::new)
            .ok_or_else(|| Broken(format!("{percent} % is more than everyone")))?;
        let (share, stickiness) = match sticky {
            Sticky::By(stickiness) => (share, stickiness),
            Sticky::Constant(Some(id)) => {
                let taken = rollout_position(&group, &id) < share.hundredths();
                let share = if taken { Share::ALL } else { Share::NONE };
                (share, Stickiness::Default)
            }
            Sticky::Constant(None) => {
                return Ok(never(
                    self.never(strategy, "what its ID would be is not known"),
                ));
            }
            Sticky::Chance if share == Share::ALL || share == Share::NONE => {
                (share, Stickiness::Default)
            }
            Sticky::Chance => {
                let why = "its users would be drawn by lot, with every request anew";
                return Ok(never(self.never(strategy, why)));
            }
        };
        let rollout = Rollout {
            share,
            needs_id: matches!(stickiness, Stickiness::Field(_)),
            stickiness,
            group,
        };
        Ok(Taken {
            condition: Condition::All(Vec::new()),
            rollout,
        })
    }
}
