//! The upstreams that are registered, and the flags that they bring along, compiled against the configuration that runs.

use std::sync::Arc;

use super::kept_flags::KeptFlags;
use crate::clock;
use crate::config::Config;
use crate::config::document::{Document, FieldProblem};
use crate::config::kept::{CompiledKept, Documents, KeptDocuments, Subject};
use crate::engine::Origin;
use crate::registry::registrations::Registrations;
use crate::snapshot::registration::Registration;

/// What is registered, as it was when it was last looked at. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct RegisteredUpstreams {
    source: Registrations,
    registrations: Arc<[Registration]>,
    /// With the segments that Serin keeps, which their rings may refer to.
    fallbacks: KeptFlags,
    segments: Documents,
}

impl RegisteredUpstreams {
    /// What is registered when the process begins.
    pub(super) fn new(source: Registrations, kept: &KeptDocuments, config: &Config) -> Self {
        let registered = source.registered(clock::reading());
        let segments = kept.segments.clone();
        let documents = KeptDocuments {
            flags: registered.fallbacks,
            segments: segments.clone(),
        };
        Self {
            source,
            registrations: registered.registrations.into(),
            fallbacks: KeptFlags::new(Origin::Registration, Arc::new(documents), config),
            segments,
        }
    }

    /// Looks at what is registered now.
    pub(super) fn refresh(&mut self, config: &Config) {
        let registered = self.source.registered(clock::reading());
        self.registrations = registered.registrations.into();
        let documents = KeptDocuments {
            flags: self.fallbacks.unchanged(registered.fallbacks),
            segments: self.segments.clone(),
        };
        self.fallbacks.replace(Arc::new(documents), config);
    }

    /// Follows a change of the segments that Serin keeps.
    pub(super) fn follow(&mut self, kept: &KeptDocuments, config: &Config) {
        self.segments = kept.segments.clone();
        self.refresh(config);
    }

    /// Follows a change of the configuration.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        self.fallbacks.reconfigure(config);
    }

    /// What is wrong with a flag that a registration would bring along.
    pub(super) fn problems(
        &self,
        flag: &Arc<str>,
        document: Document,
        config: &Config,
    ) -> Vec<FieldProblem> {
        let documents = KeptDocuments {
            flags: [(flag.clone(), Arc::new(document))].into(),
            segments: self.segments.clone(),
        };
        let compiled = self.fallbacks.compiled_beside(&documents, config);
        compiled.problems(&Subject::Flag(flag.clone())).to_vec()
    }

    /// The upstreams.
    pub(super) fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// The flags that they bring along.
    pub(super) fn fallbacks(&self) -> &CompiledKept {
        self.fallbacks.compiled()
    }
}
