//! A server's flags and segments as the texts that it sent, one for each, so that a text that has not changed is shared
//! and not compiled again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::document::segments_of;
use crate::digest::Digest;

/// How many unreadable entries are kept, to warn about them.
const LEFT_OUT: usize = 20;

/// How many characters of each a warning shows.
const SHOWN: usize = 80;

/// A server's flags and segments: one raw JSON text for each, as the server sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet {
    features: BTreeMap<Arc<str>, Arc<str>>,
    segments: BTreeMap<i64, Arc<str>>,
    left_out: LeftOut,
    revision: Option<u64>,
}

/// Entries without a name or number, so that they cannot be told from others. A warning shows them; all others are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    features: BTreeSet<Arc<str>>,
    segments: BTreeSet<Arc<str>>,
}

/// Why a flag server's response cannot be used. The flags that were known before stay in force.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not the JSON document that was requested.
    #[error("the answer is not what an Unleash server sends: {0}")]
    Form(#[from] serde_json::Error),
    /// It has flags, but none of them has a name.
    #[error("none of the flags in the answer has a name")]
    Nameless,
    /// An event of a delta lacks what its kind has.
    #[error("an event of the kind {0:?} lacks what it should have")]
    Lacking(String),
}

impl FeatureSet {
    /// Reads a whole answer of `/api/client/features`, with segments at the top or inlined, or what [`Self::to_json`]
    /// wrote. Flags are not parsed any further: a broken one does not keep the others from being taken, and one without a
    /// name is left out.
    ///
    /// # Errors
    /// When it is not such a document, or has flags of which none has a name.
    pub fn parse(body: &[u8]) -> Result<Self, DocumentError> {
        let response: FeaturesResponse<'_> = serde_json::from_slice(body)?;
        let mut set = Self {
            revision: response.meta.and_then(revision),
            ..Self::default()
        };
        set.replace_all(&response.features, &response.segments.unwrap_or_default())?;
        Ok(set)
    }

    /// Applies the events of a delta (`{"events": […]}`), in their order. Events of unknown kinds are skipped.
    ///
    /// # Errors
    /// When it is no delta, or an event lacks what its kind has.
    pub fn apply(&self, delta: &[u8]) -> Result<Self, DocumentError> {
        let delta: Delta<'_> = serde_json::from_slice(delta)?;
        let mut set = self.clone();
        for event in delta.events {
            let event: Event<'_> = serde_json::from_str(event.get())?;
            set.take(&event)?;
        }
        Ok(set)
    }

    /// The same set, with the texts of `previous` wherever they are equal.
    #[must_use]
    pub fn share(mut self, previous: &Self) -> Self {
        let same = |text: &mut Arc<str>, earlier: Option<&Arc<str>>| {
            if let Some(earlier) = earlier.filter(|earlier| **earlier == *text) {
                *text = earlier.clone();
            }
        };
        for (name, text) in &mut self.features {
            same(text, previous.features.get(name));
        }
        for (id, text) in &mut self.segments {
            same(text, previous.segments.get(id));
        }
        self
    }

    /// The document that [`Self::parse`] reads, in the form of `/api/client/features`.
    pub fn to_json(&self) -> String {
        let length: usize = self.texts().map(|text| text.len() + 1).sum();
        let mut json = String::with_capacity(length + 100);
        let LeftOut { features, segments } = &self.left_out;
        json.push_str(r#"{"version":2,"features":["#);
        push_all(&mut json, self.features.values().chain(features));
        json.push_str(r#"],"segments":["#);
        push_all(&mut json, self.segments.values().chain(segments));
        json.push_str(r#"],"meta":{"#);
        if let Some(revision) = self.revision {
            // Writing to a `String` cannot fail.
            let _ = write!(json, r#""revisionId":{revision}"#);
        }
        json.push_str("}}");
        json
    }

    /// The server's number for this state.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// The names of all flags, in their order.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.features.keys()
    }

    /// How many flags there are.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are no flags.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Whether there is a flag of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.features.contains_key(name)
    }

    /// The text of the flag of this name.
    pub fn feature(&self, name: &str) -> Option<&Arc<str>> {
        self.features.get(name)
    }

    /// Puts a flag of an earlier set back, with the segments that it refers to and that are gone.
    pub fn keep(&mut self, name: &str, from: &Self) {
        let Some((name, text)) = from.features.get_key_value(name) else {
            return;
        };
        for id in segments_of(text) {
            if let Some(segment) = from.segments.get(&id) {
                self.segments.entry(id).or_insert_with(|| segment.clone());
            }
        }
        self.features.insert(name.clone(), text.clone());
    }

    /// The content's hash; neither the order in which flags came nor the revision is part of it.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update((self.features.len() as u64).to_be_bytes());
        for text in self.texts() {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Digest(hash.finalize().into())
    }

    /// The flags' texts, by name.
    pub(super) fn features(&self) -> &BTreeMap<Arc<str>, Arc<str>> {
        &self.features
    }

    /// The segments' texts, by ID.
    pub fn segments(&self) -> &BTreeMap<i64, Arc<str>> {
        &self.segments
    }

    /// A warning for each entry that is left out because it has no name or number.
    pub(super) fn left_out(&self) -> impl Iterator<Item = String> {
        let LeftOut { features, segments } = &self.left_out;
        let flags = features.iter().map(|text| ("a flag", "name", text));
        let all = flags.chain(segments.iter().map(|text| ("a segment", "number", text)));
        all.map(|(kind, lacks, text)| {
            let mut shown: String = text.chars().take(SHOWN).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            format!("{kind} in the answer has no {lacks} and is left out: {shown}")
        })
    }

    fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        let LeftOut { features, segments } = &self.left_out;
        let read = self.features.values().chain(self.segments.values());
        read.chain(features).chain(segments)
    }

    fn take(&mut self, event: &Event<'_>) -> Result<(), DocumentError> {
        let lacking = || DocumentError::Lacking(event.kind.clone().into_owned());
        match &*event.kind {
            "hydration" => {
                let features = event.features.as_ref().ok_or_else(lacking)?;
                let segments = event.segments.as_deref().unwrap_or_default();
                self.replace_all(features, segments)?;
            }
            "feature-updated" => self.add_feature(event.feature.ok_or_else(lacking)?.get()),
            "feature-removed" => {
                let name = event.feature_name.as_ref().ok_or_else(lacking)?;
                self.features.remove(&**name);
            }
            "segment-updated" => self.add_segment(event.segment.ok_or_else(lacking)?.get()),
            "segment-removed" => {
                let id = event.segment_id.ok_or_else(lacking)?;
                self.segments.remove(&id);
            }
            _ => {}
        }
        self.revision = self.revision.max(event.event_id);
        Ok(())
    }

    fn replace_all(
        &mut self,
        features: &[&RawValue],
        segments: &[&RawValue],
    ) -> Result<(), DocumentError> {
        self.features.clear();
        self.segments.clear();
        self.left_out = LeftOut::default();
        for text in features {
            self.add_feature(text.get());
        }
        for text in segments {
            self.add_segment(text.get());
        }
        // If no flag has a name, the document is no list of flags: better to keep the last good one.
        if self.features.is_empty() && !self.left_out.features.is_empty() {
            return Err(DocumentError::Nameless);
        }
        Ok(())
    }

    fn add_feature(&mut self, text: &str) {
        match serde_json::from_str::<Named<'_>>(text) {
            Ok(Named { name }) if !name.is_empty() => {
                self.features.insert(name.into(), text.into());
            }
            _ => leave_out(&mut self.left_out.features, text),
        }
    }

    fn add_segment(&mut self, text: &str) {
        match serde_json::from_str::<Numbered>(text) {
            Ok(Numbered { id }) => {
                self.segments.insert(id, text.into());
            }
            Err(_) => leave_out(&mut self.left_out.segments, text),
        }
    }
}

fn leave_out(list: &mut BTreeSet<Arc<str>>, text: &str) {
    if list.len() < LEFT_OUT {
        list.insert(text.into());
    }
}

/// The revision; an unreadable one is ignored rather than refusing the whole response.
fn revision(meta: &RawValue) -> Option<u64> {
    let meta: Option<Meta> = serde_json::from_str(meta.get()).ok();
    meta.and_then(|meta| meta.revision_id)
}

fn push_all<'a>(json: &mut String, texts: impl Iterator<Item = &'a Arc<str>>) {
    for (index, text) in texts.enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(text);
    }
}

#[derive(Deserialize)]
struct FeaturesResponse<'a> {
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
    #[serde(borrow)]
    segments: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    revision_id: Option<u64>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Numbered {
    id: i64,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// One event of a delta; what it has depends on its kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    event_id: Option<u64>,
    #[serde(borrow)]
    features: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    segments: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    feature: Option<&'a RawValue>,
    #[serde(borrow)]
    feature_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    segment: Option<&'a RawValue>,
    segment_id: Option<i64>,
}

#[cfg(test)]
mod tests;
