//! What would come of a change, without anything being changed.

use std::sync::Arc;

use super::builder::SnapshotBuilder;
use super::{PublishError, PublisherHandle};
use crate::clock;
use crate::config::kept::{CompiledKept, KeptDocuments};
use crate::snapshot::Snapshot;
use crate::snapshot::changes::Changes;
use crate::snapshot::offline::{NoopMeters, Offline};

/// What would be in force if Serin kept other flags and segments.
#[derive(Debug)]
pub struct KeptPreview {
    /// What runs.
    pub before: Arc<Snapshot>,
    /// What would run, on handles that carry no traffic.
    pub after: Snapshot,
    /// How they differ.
    pub changes: Changes,
}

impl PublisherHandle {
    /// Compiles flags and segments against the configuration that runs.
    ///
    /// # Errors
    /// When they cannot be compiled for a reason that is not theirs, or the process ends.
    pub async fn compile_kept(
        &self,
        documents: Arc<KeptDocuments>,
    ) -> Result<Arc<CompiledKept>, PublishError> {
        let compile = move |builder: &mut SnapshotBuilder| {
            let (_, compiled) = builder.inputs().with_kept(documents);
            compiled
        };
        self.publisher.work(compile).await
    }

    /// Assembles the snapshot that they would make.
    ///
    /// # Errors
    /// When none can be made of them, or the process ends.
    pub async fn preview_kept(
        &self,
        documents: Arc<KeptDocuments>,
    ) -> Result<KeptPreview, PublishError> {
        let assemble = move |builder: &mut SnapshotBuilder| builder.preview(documents);
        self.publisher.work(assemble).await
    }
}

impl SnapshotBuilder {
    fn preview(&self, documents: Arc<KeptDocuments>) -> KeptPreview {
        let before = self.store().load();
        let (inputs, _) = self.inputs().with_kept(documents);
        let content = inputs.content(self.seniority(), None);
        let mut after = content.assemble(
            before.generation + 1,
            &mut Offline::default(),
            &mut NoopMeters,
        );
        after.withdraw(&self.withdrawn());
        let changes = Changes::between(&before, &after, clock::now());
        KeptPreview {
            before,
            after,
            changes,
        }
    }
}
