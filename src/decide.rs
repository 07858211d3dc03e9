//! THE product: which deployment a user is assigned, and why. Pure; one brain for the proxy, `explain` and the API.

use crate::canary::ReasonKind;
use crate::context::{Context, Moment};
use crate::snapshot::{DeploymentIndex, Service};

/// What was decided for one request on one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The deployment the user is meant for.
    pub assigned: DeploymentIndex,
    /// The deciding flag: a position in [`Service::candidates`].
    pub candidate: Option<usize>,
    /// The variant that the flag gave.
    pub variant: Option<VariantRef>,
    /// Why.
    pub reason: Reason,
    /// Whether a percentage decided; only such assignments may be compared as an experiment.
    pub randomised: bool,
}

/// A variant of the deciding flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariantRef {
    /// The ring whose own variants are meant; `None`: the flag's.
    pub ring: Option<usize>,
    /// The position in name order.
    pub index: usize,
}

/// Why a deployment was assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The ring at this position of the deciding flag holds.
    Ring(usize),
    /// Any of the others, which need no particulars.
    Plain(ReasonKind),
}

impl Reason {
    /// Without the particulars.
    pub fn kind(self) -> ReasonKind {
        match self {
            Self::Ring(_) => ReasonKind::Ring,
            Self::Plain(kind) => kind,
        }
    }
}
