//! The flags and segments that Serin keeps itself, compiled against the configuration that runs.

use std::sync::Arc;

use crate::clock;
use crate::config::Config;
use crate::config::kept::{CompiledKept, Documents, Earlier, KeptDocuments};

/// What is kept. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct KeptFlags {
    documents: Arc<KeptDocuments>,
    compiled: Arc<CompiledKept>,
}

impl KeptFlags {
    /// Documents that were kept before, whatever has become of what they refer to.
    pub(super) fn new(documents: Arc<KeptDocuments>, config: &Config) -> Self {
        let compiled = Arc::new(documents.compile(config, clock::now(), None));
        Self {
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
        let compiled = documents.compile(config, clock::now(), Some(earlier));
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
