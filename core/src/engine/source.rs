//! What a flag server says, whichever product it is.
//!
//! This file alone lists the products. Publisher, assembly and snapshots know a source by the names and texts of its flags
//! and by what they compile to; a product that is added here gets every match below to fill in.

use std::sync::Arc;

use super::compile_context::CompileContext;
use super::flag::Flag;
use super::unleash::{self, Compiled, FeatureSet};
use crate::digest::Digest;

/// Which product a flag server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// Unleash, and what speaks its client API.
    Unleash,
}

/// Every flag that a server has, in the server's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSet {
    /// An Unleash server's features and segments.
    Unleash(FeatureSet),
}

/// A set, compiled, with what is needed to compile the next one incrementally.
#[derive(Debug)]
pub enum CompiledSet {
    /// An Unleash server's.
    Unleash(Compiled),
}

/// Why a document is no set of a product's flags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableSet(String);

impl SourceSet {
    /// The set without any flags.
    pub fn empty(kind: SourceKind) -> Self {
        match kind {
            SourceKind::Unleash => Self::Unleash(FeatureSet::default()),
        }
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// When it is not a document of this product.
    pub fn parse(kind: SourceKind, document: &[u8]) -> Result<Self, UnreadableSet> {
        match kind {
            SourceKind::Unleash => FeatureSet::parse(document)
                .map(Self::Unleash)
                .map_err(|error| UnreadableSet(error.to_string())),
        }
    }

    /// The whole set as a document, to be stored.
    pub fn to_json(&self) -> String {
        let Self::Unleash(set) = self;
        set.to_json()
    }

    /// Which product's it is.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Unleash(_) => SourceKind::Unleash,
        }
    }

    /// An Unleash server's set; `None`: it is another product's.
    pub fn as_unleash(&self) -> Option<&FeatureSet> {
        match self {
            Self::Unleash(set) => Some(set),
        }
    }

    /// The server's number for this state.
    pub fn revision(&self) -> Option<u64> {
        let Self::Unleash(set) = self;
        set.revision()
    }

    /// The names of all flags, in their order.
    pub fn names(&self) -> Box<dyn Iterator<Item = &Arc<str>> + '_> {
        let Self::Unleash(set) = self;
        Box::new(set.names())
    }

    /// How many flags there are.
    pub fn len(&self) -> usize {
        let Self::Unleash(set) = self;
        set.len()
    }

    /// Whether there are no flags.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a flag of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// The text of the flag of this name, as it came.
    pub fn text(&self, name: &str) -> Option<&Arc<str>> {
        let Self::Unleash(set) = self;
        set.feature(name)
    }

    /// Puts a flag of an earlier set back, with whatever it refers to and is gone.
    pub fn keep(&mut self, name: &str, from: &Self) {
        let (Self::Unleash(set), Self::Unleash(from)) = (self, from);
        set.keep(name, from);
    }

    /// The same set, with the texts of `previous` wherever they are equal.
    #[must_use]
    pub fn share(self, previous: &Self) -> Self {
        let (Self::Unleash(set), Self::Unleash(previous)) = (self, previous);
        Self::Unleash(set.share(previous))
    }

    /// The content's hash; neither the order in which flags came nor the revision is part of it.
    pub fn digest(&self) -> Digest {
        let Self::Unleash(set) = self;
        set.digest()
    }

    /// Compiles the set. Flags that are the same as in `previous`, and whatever they refer to, stay the very same
    /// [`Flag`].
    pub fn compile(
        &self,
        context: CompileContext<'_>,
        previous: Option<&CompiledSet>,
    ) -> CompiledSet {
        let Self::Unleash(set) = self;
        let previous = previous.map(|CompiledSet::Unleash(previous)| previous);
        CompiledSet::Unleash(unleash::compile(set, context, previous))
    }
}

impl From<FeatureSet> for SourceSet {
    fn from(set: FeatureSet) -> Self {
        Self::Unleash(set)
    }
}

impl CompiledSet {
    /// The flags, by name.
    pub fn flags(&self) -> &[Arc<Flag>] {
        let Self::Unleash(compiled) = self;
        &compiled.flags
    }

    /// What is odd or broken, each naming its flag or whatever else it is about.
    pub fn warnings(&self) -> &[String] {
        let Self::Unleash(compiled) = self;
        &compiled.warnings
    }
}
