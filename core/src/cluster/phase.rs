//! Where an endpoint stands with outlier detection, in one word, so that it changes in one step.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::canary::Cause;

/// Where an endpoint stands. Times are milliseconds since the endpoint's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was never ejected.
    Settled,
    /// It gets no requests until then; after that it is on trial.
    Ejected { until: u64, ejection: Ejection },
    /// It is back since then.
    Returned { since: u64, times: u8 },
}

/// What is remembered of an ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// What it was ejected for.
    pub rule: EjectionRule,
    /// The failure that was one too many.
    pub failure: Cause,
    /// How many ejections there were of late, this one included.
    pub times: u8,
}

/// What an endpoint is ejected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionRule {
    /// Failures without a good answer between them.
    ConsecutiveFailures,
    /// Too large a part of its answers of late.
    ErrorRatio,
    /// It failed again while it was on trial.
    Relapse,
}

impl EjectionRule {
    const ALL: [Self; 3] = [Self::ConsecutiveFailures, Self::ErrorRatio, Self::Relapse];

    /// The name that logs and the API carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::ErrorRatio => "error_ratio",
            Self::Relapse => "relapse",
        }
    }
}

/// A [`Phase`], packed: from the lowest bit its kind (2), rule (2), failure (4) and times (8); the rest is the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PhaseWord(u64);

const EJECTED: u64 = 1;
const RETURNED: u64 = 2;

impl From<Phase> for PhaseWord {
    fn from(phase: Phase) -> Self {
        let with = |kind: u64, times: u8, time: u64| kind | u64::from(times) << 8 | time << 16;
        Self(match phase {
            Phase::Settled => 0,
            Phase::Ejected { until, ejection } => {
                let (rule, failure) = (ejection.rule as u64, ejection.failure.index() as u64);
                with(EJECTED, ejection.times, until) | rule << 2 | failure << 4
            }
            Phase::Returned { since, times } => with(RETURNED, times, since),
        })
    }
}

impl From<PhaseWord> for Phase {
    fn from(PhaseWord(word): PhaseWord) -> Self {
        let (times, time) = ((word >> 8) as u8, word >> 16);
        let rule = EjectionRule::ALL.get((word >> 2 & 3) as usize);
        let failure = Cause::ALL.get((word >> 4 & 15) as usize);
        match (word & 3, rule, failure) {
            (EJECTED, Some(&rule), Some(&failure)) => Self::Ejected {
                until: time,
                ejection: Ejection {
                    rule,
                    failure,
                    times,
                },
            },
            (RETURNED, ..) => Self::Returned { since: time, times },
            _ => Self::Settled,
        }
    }
}

/// The word that all threads share.
#[derive(Debug, Default)]
pub(super) struct PhaseCell(AtomicU64);

impl PhaseCell {
    pub(super) fn load(&self) -> PhaseWord {
        PhaseWord(self.0.load(Ordering::Acquire))
    }

    /// Puts another phase in the place of the one that was seen. Of several threads that saw it, one succeeds.
    pub(super) fn replace(&self, seen: PhaseWord, next: Phase) -> bool {
        let next = PhaseWord::from(next).0;
        self.0
            .compare_exchange(seen.0, next, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Ejection, EjectionRule, Phase, PhaseWord};
    use crate::canary::Cause;

    #[test]
    fn a_word_holds_every_phase() {
        let time = (1_u64 << 48) - 1;
        let mut phases = vec![Phase::Settled];
        phases.extend([0, 1, 10, 255].map(|times| Phase::Returned { since: time, times }));
        for rule in EjectionRule::ALL {
            phases.extend(Cause::ALL.map(|failure| Phase::Ejected {
                until: time,
                ejection: Ejection {
                    rule,
                    failure,
                    times: 7,
                },
            }));
        }
        for phase in phases {
            assert_eq!(Phase::from(PhaseWord::from(phase)), phase);
        }
    }
}
