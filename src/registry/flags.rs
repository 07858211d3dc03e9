//! The flags and segments that Serin keeps itself: in memory to be read, in the store for good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, watch};

use crate::config::document::Document;
use crate::config::kept::{Documents, KeptDocuments, Subject};
use crate::state::{Expected, Kind, StateStore, StoreError, Stored, Write};

/// What is kept. Clones are the same registry.
#[derive(Clone, Debug)]
pub struct FlagRegistry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    documents: Mutex<Arc<KeptDocuments>>,
    store: StateStore,
    /// Held by the one change that is being made.
    turn: Turn<()>,
}

/// A document to be kept, or to be kept no more.
#[derive(Clone, Debug)]
pub struct DocumentChange {
    /// What it is about.
    pub subject: Subject,
    /// The document; `None`: there is to be none.
    pub document: Option<Arc<Document>>,
}

/// The right to change what is kept, which nobody else in this process has meanwhile.
#[derive(Debug)]
pub struct FlagTurn<'a> {
    registry: &'a FlagRegistry,
    _turn: TurnGuard<'a, ()>,
}

impl FlagRegistry {
    /// With what is stored.
    pub fn open(store: StateStore) -> Self {
        let documents = stored(&store, &KeptDocuments::default());
        Self(Arc::new(Inner {
            documents: Mutex::new(Arc::new(documents)),
            store,
            turn: Turn::default(),
        }))
    }

    /// What is kept now.
    pub fn documents(&self) -> Arc<KeptDocuments> {
        self.current().clone()
    }

    /// Waits until nobody else changes anything.
    pub async fn turn(&self) -> FlagTurn<'_> {
        FlagTurn {
            registry: self,
            _turn: self.0.turn.lock().await,
        }
    }

    /// Tells of changes by others, of flags and of segments: read again then.
    pub fn subscribe(&self) -> [watch::Receiver<u64>; 2] {
        [Kind::Flags, Kind::Segments].map(|kind| self.0.store.subscribe(kind))
    }

    fn current(&self) -> MutexGuard<'_, Arc<KeptDocuments>> {
        let documents = self.0.documents.lock();
        documents.unwrap_or_else(PoisonError::into_inner)
    }
}

impl FlagTurn<'_> {
    /// Stores a change, and keeps the `documents` that it makes from then on.
    ///
    /// # Errors
    /// When it cannot be stored, or the store has another document than the one that is known here: then everything is as
    /// it was.
    pub async fn keep(
        &self,
        change: &DocumentChange,
        documents: Arc<KeptDocuments>,
    ) -> Result<Stored, StoreError> {
        let known = self.registry.documents();
        let (kind, name) = match &change.subject {
            Subject::Segment(name) => (Kind::Segments, name),
            Subject::Flag(name) => (Kind::Flags, name),
        };
        let expected = match known.get(&change.subject) {
            Some(document) => Expected::Is(document.json().clone()),
            None => Expected::Absent,
        };
        let key = name.to_string();
        let write = match &change.document {
            Some(document) => Write::Put {
                key,
                value: document.json().clone(),
                expected,
            },
            None => Write::Remove { key, expected },
        };
        let stored = self.registry.0.store.write(kind, vec![write]).await?;
        *self.registry.current() = documents;
        Ok(stored)
    }

    /// Reads again what is stored, and returns it.
    pub fn refresh(&self) -> Arc<KeptDocuments> {
        let mut current = self.registry.current();
        let documents = stored(&self.registry.0.store, &current);
        *current = Arc::new(documents);
        current.clone()
    }
}

/// What is stored. Documents that are the same as known ones are these.
fn stored(store: &StateStore, known: &KeptDocuments) -> KeptDocuments {
    let read = |kind: Kind, known: &Documents| {
        let records = store.records(kind).into_iter();
        let documents = records.map(|(name, json)| {
            let same = known.get(&*name).filter(|known| *known.json() == json);
            let document = same.cloned();
            let document = document.unwrap_or_else(|| Arc::new(Document::new(json)));
            (name.into(), document)
        });
        documents.collect()
    };
    KeptDocuments {
        flags: read(Kind::Flags, &known.flags),
        segments: read(Kind::Segments, &known.segments),
    }
}

impl DocumentChange {
    /// The documents with this change made.
    pub fn applied_to(&self, documents: &KeptDocuments) -> KeptDocuments {
        let mut changed = documents.clone();
        let Self { subject, document } = self;
        let (list, name): (&mut Documents, _) = match subject {
            Subject::Segment(name) => (&mut changed.segments, name),
            Subject::Flag(name) => (&mut changed.flags, name),
        };
        match document {
            Some(document) => list.insert(name.clone(), document.clone()),
            None => list.remove(name),
        };
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{DocumentChange, FlagRegistry};
    use crate::config::document::Document;
    use crate::config::kept::Subject;
    use crate::state::{Expected, Kind, StateStore, StoreError, Stored, Write};

    fn change(subject: Subject, json: Option<Value>) -> DocumentChange {
        let document = json.map(|json| Arc::new(Document::new(json)));
        DocumentChange { subject, document }
    }

    fn flag(name: &str, json: Value) -> DocumentChange {
        change(Subject::Flag(name.into()), Some(json))
    }

    async fn keep(registry: &FlagRegistry, change: &DocumentChange) -> Result<Stored, StoreError> {
        let turn = registry.turn().await;
        let changed = Arc::new(change.applied_to(&registry.documents()));
        turn.keep(change, changed).await
    }

    #[tokio::test]
    async fn what_is_kept_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::open(folder.path());
        let registry = FlagRegistry::open(store.clone());
        let segment = Subject::Segment("Users — \"Team\"\n".into());
        let segment = change(segment, Some(json!({ "userId": ["ann"] })));
        let gone = change(Subject::Flag("search.b".into()), None);
        for change in [
            flag("search.a/b", json!({ "url": "http://x", "enabled": true })),
            flag("search.b", json!({})),
            segment,
            gone,
        ] {
            let stored = keep(&registry, &change).await.unwrap();
            assert_eq!(stored.recorded_in, ["state"]);
        }
        drop(store);
        let again = FlagRegistry::open(StateStore::open(folder.path()));
        assert_eq!(again.documents(), registry.documents());
        let documents = again.documents();
        assert_eq!((documents.flags.len(), documents.segments.len()), (1, 1));
    }

    #[tokio::test]
    async fn what_another_writer_changed_is_not_written_over() {
        let store = StateStore::in_memory();
        let registry = FlagRegistry::open(store.clone());
        keep(&registry, &flag("search.a", json!({}))).await.unwrap();
        let theirs = Write::Put {
            key: "search.a".to_owned(),
            value: json!({ "priority": 7 }),
            expected: Expected::Any,
        };
        store.write(Kind::Flags, vec![theirs]).await.unwrap();
        let lost = keep(&registry, &flag("search.a", json!({ "priority": 1 }))).await;
        assert!(matches!(lost, Err(StoreError::Changed(_))), "{lost:?}");
        let known = registry.turn().await.refresh();
        let subject = Subject::Flag("search.a".into());
        let document = known.get(&subject).map(|document| document.json().clone());
        assert_eq!(document, Some(json!({ "priority": 7 })));
        keep(&registry, &flag("search.a", json!({ "priority": 1 })))
            .await
            .unwrap();
    }
}
