//! Orders about what Serin keeps: what is ordered, on which terms, and how it ends.

use std::sync::Arc;

use crate::audit::actor::Actor;
use crate::config::document::{Document, FieldProblem};
use crate::config::kept::Subject;
use crate::config::kept::ring::RingChange;
use crate::engine::Origin;
use crate::publisher::{PublishError, Stopped};
use crate::snapshot::changes::Changes;
use crate::snapshot::changes::effects::Effects;
use crate::state::StoreError;

/// How many flags, and how many segments, may be kept.
pub const MAX_DOCUMENTS: usize = 10_000;

/// Who keeps a flag, and so who is asked to change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// `routes.yaml`: whoever may change that file.
    File,
    /// Serin itself.
    Serin,
    /// The registration of the canary.
    Registration,
    /// The Unleash server of this name.
    Unleash(Arc<str>),
    /// The LaunchDarkly environment of this name.
    LaunchDarkly(Arc<str>),
}

/// What must be so for a change to be made (RFC 9110, section 13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// There is a document.
    Present,
    /// There is none.
    Absent,
    /// There is one of these.
    OneOf(Vec<String>),
    /// There is none of these.
    NoneOf(Vec<String>),
}

/// What is ordered.
#[derive(Clone, Debug)]
pub enum KeptOrder {
    /// This is the document.
    Put(Subject, Arc<Document>),
    /// There is to be none.
    Delete(Subject),
    /// One ring of a flag is to be otherwise.
    Ring(Arc<str>, String, RingChange),
}

/// How an order is meant.
#[derive(Clone, Debug, Default)]
pub struct KeptTerms {
    /// What must be so.
    pub precondition: Precondition,
    /// It is only asked what would come of it.
    pub is_dry_run: bool,
    /// Who gives it.
    pub actor: Actor,
}

/// What an order has come to, or would.
#[derive(Clone, Debug)]
pub struct KeptReport {
    /// What it was about.
    pub subject: Subject,
    /// The document now; `None`: there is none.
    pub document: Option<Arc<Document>>,
    /// Whether there was none before.
    pub is_new: bool,
    /// Whether it was otherwise before.
    pub changed: bool,
    /// Where it is stored now.
    pub recorded_in: &'static [&'static str],
    /// What is odd about it.
    pub warnings: Vec<FieldProblem>,
    /// The flags that differ.
    pub changes: Arc<Changes>,
    /// What that comes to.
    pub effects: Effects,
    /// The generation that holds it; of a dry run, the one that runs.
    pub generation: u64,
}

/// Why an order was not carried out. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum KeptFailure {
    /// The document has errors.
    #[error("the document has errors")]
    Invalid(Vec<FieldProblem>),
    /// Somebody else keeps it.
    #[error("somebody else keeps it")]
    KeptBy(Keeper),
    /// What had to be so is not.
    #[error("it is not what it was expected to be")]
    Precondition(Option<Arc<Document>>),
    /// There is nothing of this name; the nearest name that there is.
    #[error("there is none")]
    Missing(Option<String>),
    /// The flag has no such ring; these are the ones it has.
    #[error("there is no such ring")]
    NoRing(Vec<String>),
    /// These would not compile any more.
    #[error("others use it")]
    InUse(Vec<Subject>),
    /// There are as many as there may be.
    #[error("no more than {MAX_DOCUMENTS} are kept")]
    Full,
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others were faster, time and again.
    #[error("other gateways change it all the time: try again")]
    Contended,
    /// It is stored, but no snapshot can be made of it.
    #[error("it is stored, but the decisions do not say so yet: {0}")]
    Unpublished(Arc<str>),
    /// The process ends.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<PublishError> for KeptFailure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Stopped(stopped) => Self::Stopped(stopped),
            PublishError::Failed(why) => Self::Unpublished(why),
        }
    }
}

impl From<&Origin> for Keeper {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Local => Self::File,
            Origin::Serin => Self::Serin,
            Origin::Registration => Self::Registration,
            Origin::Unleash(name) => Self::Unleash(name.clone()),
            Origin::LaunchDarkly(name) => Self::LaunchDarkly(name.clone()),
        }
    }
}

/// The strong entity tag of a document, without its quotes.
pub fn tag(document: &Document) -> String {
    let mut tag = document.digest().to_string();
    tag.truncate(32);
    tag
}

impl Precondition {
    pub(super) fn holds(&self, document: Option<&Document>) -> bool {
        let is_among =
            |tags: &[String]| document.is_some_and(|document| tags.contains(&tag(document)));
        match self {
            Self::None => true,
            Self::Present => document.is_some(),
            Self::Absent => document.is_none(),
            Self::OneOf(tags) => is_among(tags),
            Self::NoneOf(tags) => !is_among(tags),
        }
    }
}
