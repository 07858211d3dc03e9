//! What a flag comes to for one user.

use crate::engine::VariantRef;
use crate::engine::evaluation::Evaluation;

/// What a flag comes to for one user: what clients get, and what routing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlagEvaluation {
    pub(super) on: bool,
    pub(super) variant: Option<VariantRef>,
    /// A percentage decided.
    pub(super) randomised: bool,
    /// There was no ID to decide by.
    pub(super) missing_id: bool,
}

impl From<Evaluation> for FlagEvaluation {
    fn from(evaluation: Evaluation) -> Self {
        Self {
            on: evaluation.on,
            variant: evaluation.variant,
            randomised: evaluation.randomised,
            missing_id: evaluation.missing_id,
        }
    }
}
