//! Unleash's flags, from the server's document to the form that is evaluated.
//!
//! A strategy becomes a [`crate::engine::Ring`] and a constraint a [`crate::engine::condition::Condition`]; after that an
//! Unleash flag is evaluated like a local one. Flags answer as they do in `unleash-yggdrasil`, the engine that Unleash
//! publishes; `tests/oracle.rs` beside this file lists the deliberate differences. Nothing is left to chance: where Unleash
//! would choose at random the flag is off, or the user gets stable, and a warning names it.
//!
//! What cannot be compiled affects as little as possible: a strategy that is unknown or cannot be read takes nobody while
//! the others decide, a flag is off where Unleash's engine turns it off, and a flag without a name is left out.

mod broken;
mod constraint;
mod dependency;
mod document;
mod feature;
mod payload;
mod rule;
mod segment;
mod set;
mod strategy;
mod variant;

use std::sync::Arc;

use super::compile_context::CompileContext;
use super::flag::Flag;
use crate::cluster::policy::UrlPolicy;
use crate::context::Field;
use feature::{FeatureRecord, FlagCompiler};
use segment::Segments;

pub use set::{DocumentError, FeatureSet};

/// A set, compiled, with what is needed to compile the next one incrementally.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The flags, by name.
    pub flags: Vec<Arc<Flag>>,
    /// What is odd or broken, each naming its flag or segment.
    pub warnings: Vec<String>,
    /// The feature that each flag was compiled from, in the flags' order.
    records: Vec<FeatureRecord>,
    segments: Segments,
    basis: Basis,
}

/// The inputs of a compilation beside the set: a flag is taken over unchanged only while they are the same.
#[derive(Debug, Default, PartialEq)]
struct Basis {
    source: Arc<str>,
    canary_urls: Option<UrlPolicy>,
    app_name: Box<str>,
    environment: Option<Box<str>>,
    hostname: Box<str>,
    /// The properties by slot, as far as they had been mentioned.
    names: Vec<Arc<str>>,
}

/// Compiles a set. Flags that are the same as in `previous`, and whose segments and parents are, stay the very same
/// [`Flag`].
pub fn compile(
    set: &FeatureSet,
    mut context: CompileContext<'_>,
    previous: Option<&Compiled>,
) -> Compiled {
    let previous = previous.filter(|previous| previous.basis.holds_for(&mut context));
    let segments = Segments::compile(
        set.segments(),
        &mut context,
        previous.map(|previous| &previous.segments),
    );
    let changed = previous.map(|previous| segments.changed_since(&previous.segments));
    let mut earlier = previous.into_iter().flat_map(Compiled::parts).peekable();
    let mut flags = Vec::with_capacity(set.len());
    let mut records = Vec::with_capacity(set.len());
    for (name, text) in set.features() {
        while earlier.next_if(|part| part.flag.name < *name).is_some() {}
        let same = earlier.next_if(|part| {
            let changed = changed.as_ref();
            part.flag.name == *name
                && (Arc::ptr_eq(&part.record.text, text) || part.record.text == *text)
                && changed.is_some_and(|changed| !part.record.refers_to(changed))
        });
        let (flag, record) = match same {
            Some(part) => (part.flag.clone(), part.record.clone()),
            None => FlagCompiler::new(&mut context, &segments, name.clone()).compile(text),
        };
        flags.push(flag);
        records.push(record);
    }
    dependency::link(&mut flags);
    let of_flags = records.iter().flat_map(|record| &*record.warnings).cloned();
    let of_segments = segments.warnings().cloned();
    let warnings = set.left_out().chain(of_segments).chain(of_flags);
    Compiled {
        warnings: warnings.chain(dependency::unmet(&flags)).collect(),
        basis: Basis::of(&context),
        flags,
        records,
        segments,
    }
}

/// One flag of an earlier set.
struct Part<'a> {
    flag: &'a Arc<Flag>,
    record: &'a FeatureRecord,
}

impl Compiled {
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let records = self.flags.iter().zip(&self.records);
        records.map(|(flag, record)| Part { flag, record })
    }
}

impl Basis {
    fn of(context: &CompileContext<'_>) -> Self {
        Self {
            source: context.source.clone(),
            canary_urls: Some(context.canary_urls.clone()),
            app_name: context.app_name.into(),
            environment: context.environment.map(Into::into),
            hostname: context.hostname.into(),
            names: context.vocabulary.names().to_vec(),
        }
    }

    /// Whether the same texts would compile to the same flags again: every name must still lead to the same slot.
    /// Mentioning the names in their old order sees to that.
    fn holds_for(&self, context: &mut CompileContext<'_>) -> bool {
        let mut names = self.names.iter().enumerate();
        *self.source == **context.source
            && self.canary_urls.as_ref() == Some(context.canary_urls)
            && *self.app_name == *context.app_name
            && self.environment.as_deref() == context.environment
            && *self.hostname == *context.hostname
            && names.all(|(index, name)| match context.vocabulary.field(name) {
                Some(Field::Property(slot)) => usize::from(slot.0) == index,
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests;
