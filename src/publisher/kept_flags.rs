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

    /// These documents, with those that are kept already in place of equal ones, so that they are not read again.
    pub(super) fn unchanged(&self, mut documents: Documents) -> Documents {
        for (name, document) in &mut documents {
            if let Some(known) = self.documents.flags.get(name)
                && known.digest() == document.digest()
            {
                *document = known.clone();
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
