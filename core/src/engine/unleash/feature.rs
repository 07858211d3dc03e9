//! One flag, from its text to its compiled form.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::broken::Broken;
use super::dependency::unlinked;
use super::document::{FeatureDocument, Item, why};
use super::segment::Segments;
use crate::engine::compile_context::CompileContext;
use crate::engine::condition::Condition;
use crate::engine::flag::{About, Flag, Ring, Rollout};
use crate::engine::origin::Origin;

/// The feature that a flag was compiled from, and what compiling it found.
#[derive(Clone, Debug)]
pub(super) struct FeatureRecord {
    /// The server's text.
    pub(super) text: Arc<str>,
    /// The warnings.
    pub(super) warnings: Arc<[String]>,
    /// The segments that it refers to, whether or not they are there.
    segments: Arc<[i64]>,
}

impl FeatureRecord {
    /// Whether it refers to one of these segments.
    pub(super) fn refers_to(&self, segments: &BTreeSet<i64>) -> bool {
        !segments.is_empty() && self.segments.iter().any(|id| segments.contains(id))
    }
}

/// Compiles one flag.
pub(super) struct FlagCompiler<'c, 's> {
    pub(super) context: &'c mut CompileContext<'s>,
    pub(super) segments: &'c Segments,
    pub(super) name: Arc<str>,
    /// Warnings so far.
    warnings: Vec<String>,
    /// The first thing that turns the whole flag off.
    broken: Option<String>,
    /// The highest that a payload states.
    pub(super) priority: Option<i32>,
}

impl<'c, 's> FlagCompiler<'c, 's> {
    pub(super) fn new(
        context: &'c mut CompileContext<'s>,
        segments: &'c Segments,
        name: Arc<str>,
    ) -> Self {
        Self {
            context,
            segments,
            name,
            warnings: Vec::new(),
            broken: None,
            priority: None,
        }
    }

    /// Compiles the flag; its dependencies are linked later.
    pub(super) fn compile(mut self, text: &Arc<str>) -> (Arc<Flag>, FeatureRecord) {
        let (flag, segments) = match serde_json::from_str::<FeatureDocument<'_>>(text) {
            Ok(document) => (self.flag(&document), segments_of(&document)),
            Err(error) => (self.unreadable(&error), Vec::new()),
        };
        let record = FeatureRecord {
            text: text.clone(),
            warnings: self.warnings.into(),
            segments: segments.into(),
        };
        (Arc::new(flag), record)
    }

    /// Notes why the flag is off; the condition takes nobody until that is applied to the whole flag.
    pub(super) fn off(&mut self, Broken(why): Broken) -> Condition {
        let never = Condition::Never(why.as_str().into());
        self.broken.get_or_insert(why);
        never
    }

    /// Adds a warning about the flag.
    pub(super) fn warn(&mut self, what: &str) {
        let name = &self.name;
        self.warnings.push(format!("flag {name:?}: {what}"));
    }

    fn flag(&mut self, document: &FeatureDocument<'_>) -> Flag {
        let strategies = document.strategies.as_deref().unwrap_or_default();
        let mut rings = self.rings(strategies);
        let variants = self.flag_variants(document.variants.as_deref().unwrap_or_default());
        // The variants stay: people are shown where a flag leads even while it is off.
        if let Some(why) = self.broken.take() {
            self.warn(&format!("it is off: {why}"));
            for ring in &mut rings {
                ring.condition = Condition::Never(why.as_str().into());
            }
        }
        let dependencies = document.dependencies.as_deref().unwrap_or_default();
        Flag {
            enabled: document.enabled,
            priority: self.priority.unwrap_or_default(),
            dependencies: dependencies.iter().map(unlinked).collect(),
            rings,
            variants,
            about: About {
                description: document
                    .description
                    .as_ref()
                    .and_then(Item::get)
                    .map(|text| (**text).into()),
                ..About::default()
            },
            impression_data: document
                .impression_data
                .as_ref()
                .and_then(Item::get)
                .copied()
                .unwrap_or_default(),
            ..self.blank()
        }
    }

    fn blank(&self) -> Flag {
        Flag {
            origin: Origin::Unleash(self.context.source.clone()),
            ..Flag::new(self.name.clone())
        }
    }

    fn unreadable(&mut self, error: &serde_json::Error) -> Flag {
        let why = format!("it cannot be read: {}", why(error));
        self.warn(&format!("it is off: {why}"));
        Flag {
            rings: vec![Ring {
                name: "unreadable".into(),
                enabled: true,
                condition: Condition::Never(why.into()),
                rollout: Rollout::everybody(&self.name),
                variants: None,
            }],
            ..self.blank()
        }
    }
}

fn segments_of(document: &FeatureDocument<'_>) -> Vec<i64> {
    let strategies = document.strategies.as_deref().unwrap_or_default().iter();
    strategies
        .filter_map(Item::get)
        .flat_map(|strategy| strategy.segments.as_deref().unwrap_or_default())
        .filter_map(Item::get)
        .copied()
        .collect()
}
