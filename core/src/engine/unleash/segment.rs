//! Segments: named audiences that strategies refer to by number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::broken::Broken;
use super::constraint::all;
use super::document::{Item, SegmentDocument, why};
use crate::engine::compile_context::CompileContext;
use crate::engine::condition::Segment;

/// Every segment of a set, compiled.
#[derive(Debug, Default)]
pub(super) struct Segments(BTreeMap<i64, CompiledSegment>);

/// One segment, compiled.
#[derive(Clone, Debug)]
struct CompiledSegment {
    text: Arc<str>,
    outcome: Result<Arc<Segment>, Broken>,
    warnings: Arc<[String]>,
}

impl Segments {
    /// Compiles segments; those whose text is the same as before are taken over.
    pub(super) fn compile(
        texts: &BTreeMap<i64, Arc<str>>,
        context: &mut CompileContext<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let earlier = |id: &i64, text: &Arc<str>| {
            let earlier = previous?.0.get(id)?;
            (earlier.text == *text).then(|| earlier.clone())
        };
        let mut compiled = |(id, text): (&i64, &Arc<str>)| {
            let segment = earlier(id, text);
            (
                *id,
                segment.unwrap_or_else(|| segment_of(*id, text, context)),
            )
        };
        Self(texts.iter().map(&mut compiled).collect())
    }

    /// The segment of this number; `None` when there is none.
    pub(super) fn get(&self, id: i64) -> Option<&Result<Arc<Segment>, Broken>> {
        self.0.get(&id).map(|segment| &segment.outcome)
    }

    /// The numbers of segments that were added, changed or removed since.
    pub(super) fn changed_since(&self, earlier: &Self) -> BTreeSet<i64> {
        let differs = |one: &Self, other: &Self| {
            let texts = one.0.iter().map(|(id, segment)| (*id, &segment.text));
            let changed = texts
                .filter(|(id, text)| other.0.get(id).is_none_or(|segment| segment.text != **text));
            changed.map(|(id, _)| id).collect::<BTreeSet<_>>()
        };
        &differs(self, earlier) | &differs(earlier, self)
    }

    /// The warnings about them.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.0.values().flat_map(|segment| &*segment.warnings)
    }
}

fn segment_of(id: i64, text: &Arc<str>, context: &mut CompileContext<'_>) -> CompiledSegment {
    let document: Result<SegmentDocument<'_>, _> = serde_json::from_str(text);
    let named = document.as_ref().ok().and_then(|document| {
        let name = document.name.as_ref().and_then(Item::get)?;
        (!name.is_empty()).then(|| name.to_string())
    });
    let name = named.unwrap_or_else(|| id.to_string());
    let mut odd = Vec::new();
    let condition = document
        .map_err(|error| Broken(format!("it cannot be read: {}", why(&error))))
        .and_then(|document| {
            let conditions = document
                .constraints
                .iter()
                .map(|constraint| context.constraint(constraint, &mut odd));
            conditions.collect::<Result<Vec<_>, _>>().map(all)
        });
    let outcome = condition.map(|condition| Segment {
        name: name.as_str().into(),
        condition,
    });
    CompiledSegment {
        text: text.clone(),
        outcome: outcome
            .map(Arc::new)
            .map_err(|Broken(why)| Broken(format!("segment {name:?}: {why}"))),
        warnings: odd
            .into_iter()
            .map(|what| format!("segment {name:?}: {what}"))
            .collect(),
    }
}
