//! Flags and segments that are documents, kept by Serin itself or brought along by registrations, compiled against the
//! configuration that runs.

use std::sync::Arc;

use crate::clock;
use crate::config::Config;
use crate::config::kept::{CompiledKept, Documents, Earlier, KeptDocuments};
use crate::engine::Origin;

/// What is kept. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct KeptFlags {
    keeper: Origin,
    documents: Arc<KeptDocuments>,
    compiled: Arc<CompiledKept>,
}

impl KeptFlags {
    /// Documents that `keeper` kept before, whatever has become of what they refer to.
    pub(super) fn new(keeper: Origin, documents: Arc<KeptDocuments>, config: &Config) -> Self {
        let compiled = documents.compile_for(&keeper, config, clock::now(), None);
        let compiled = Arc::new(compiled);
        Self {
            keeper,
            documents,
            compiled,
        }
    }

    /// Makes these the documents that are kept.
    pub(super) fn replace(&mut self, documents: Arc<KeptDocuments>, config: &Config) {
        self.compile(documents, config, true);
    }

    /// Follows a change of the configuration. What does not compile any more is off until it does again.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        self.compile(self.documents.clone(), config, false);
    }

    fn compile(&mut self, documents: Arc<KeptDocuments>, config: &Config, is_same_config: bool) {
        let earlier = Earlier {
            documents: &self.documents,
            compiled: &self.compiled,
            is_same_config,
        };
        let now = clock::now();
        let compiled = documents.compile_for(&self.keeper, config, now, Some(earlier));
        self.compiled = Arc::new(compiled);
        self.documents = documents;
    }

    /// What other documents with the same segments come to, against the configuration that these were compiled against.
    pub(super) fn compiled_beside(
        &self,
        documents: &KeptDocuments,
        config: &Config,
    ) -> CompiledKept {
        let none = KeptDocuments {
            segments: self.documents.segments.clone(),
            ..KeptDocuments::default()
        };
        let earlier = Earlier {
            documents: &none,
            compiled: &self.compiled,
            is_same_config: true,
        };
        documents.compile_for(&self.keeper, config, clock::now(), Some(earlier))
    }

    /// These documents, with those that are kept already in place of equal ones, so that they are not read again.
    pub(super) fn unchanged(&self, mut documents: Documents) -> Documents {
        let mut known = self.documents.flags.iter().peekable();
        for (name, document) in &mut documents {
            while known.next_if(|(known, _)| *known < name).is_some() {}
            if let Some((_, known)) = known.next_if(|(known, _)| *known == name)
                && known.digest() == document.digest()
            {
                document.clone_from(known);
            }
        }
        documents
    }

    /// What they come to, to be kept longer than this.
    pub(super) fn shared(&self) -> Arc<CompiledKept> {
        self.compiled.clone()
    }

    /// What they come to.
    pub(super) fn compiled(&self) -> &CompiledKept {
        &self.compiled
    }
}
