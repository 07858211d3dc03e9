//! One document, compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::config::diagnostic::Span;
use crate::config::document::{Document, FieldProblem, located, tree};
use crate::config::keys::flags::{CONDITIONS, FLAG};
use crate::config::keys::shape::Shape;
use crate::config::node::Pair;
use crate::config::problems::Problems;
use crate::config::reader::Reader;
use crate::config::section::conditions::{Audience, MAX_CHAIN};
use crate::config::section::flags;
use crate::config::{lookalikes, structure};
use crate::context::Moment;
use crate::engine::condition::Condition;
use crate::engine::origin::Origin;
use crate::engine::{Flag, Ring, Rollout, Segment};

/// What one document is compiled with.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) known: &'a BTreeMap<Arc<str>, Arc<Segment>>,
    /// Who keeps the flags.
    pub(super) keeper: &'a Origin,
    pub(super) now: Moment,
}

impl Surroundings<'_> {
    /// Reads a document as a tree, and holds it against a shape.
    fn read(&self, name: &str, document: &Document, shape: &Shape) -> (Reader, Pair) {
        let mut reader = Reader::new(self.now);
        let pair = Pair {
            key: name.to_owned(),
            key_span: Span::default(),
            value: tree(document.json(), 0, &mut reader.problems),
        };
        structure::check(&pair.value, shape, &mut reader.problems);
        lookalikes::check(&pair.value, &mut reader.problems);
        (reader, pair)
    }

    /// Compiles a segment, which may refer to those that are known and to `others`.
    pub(super) fn segment(
        &self,
        name: &str,
        document: &Document,
        others: &[Pair],
    ) -> Result<Arc<Segment>, Vec<FieldProblem>> {
        let (mut reader, pair) = self.read(name, document, &CONDITIONS);
        let properties = &self.config.identity.properties;
        let mut audience = Audience::over(self.known, others, properties);
        let segment = audience.segment(&mut reader, &pair);
        let depth = segment.as_ref().map(|one| one.condition.depth());
        if depth.is_some_and(|depth| depth >= MAX_CHAIN) {
            let message = format!("more than {MAX_CHAIN} segments refer to each other in a chain");
            reader.problems.error(pair.key_span, message);
        }
        match segment {
            Some(segment) if !reader.problems.has_errors() => Ok(segment),
            _ => Err(located(reader.problems, &pair.value)),
        }
    }

    /// Compiles a flag. One that has errors is off.
    pub(super) fn flag(&self, name: &Arc<str>, document: &Document) -> (Flag, Vec<FieldProblem>) {
        let (mut reader, pair) = self.read(name, document, &FLAG);
        let properties = &self.config.identity.properties;
        let mut audience = Audience::over(self.known, &[], properties);
        let policy = &self.config.canary_urls;
        let terms = (self.keeper, policy);
        let mut flag = flags::compile_kept(&mut reader, &pair, &mut audience, terms);
        if reader.problems.has_errors() {
            flag = off(name, self.keeper);
        }
        (flag, located(reader.problems, &pair.value))
    }
}

/// The trees of several documents, no two of which have a place in common.
pub(super) fn trees(left: &[(&Arc<str>, &Arc<Document>)]) -> Vec<Pair> {
    let tree = |(index, (name, document)): (usize, &(&Arc<str>, &Arc<Document>))| Pair {
        key: name.to_string(),
        key_span: Span::default(),
        value: tree(
            document.json(),
            (index + 1) * PLACES,
            &mut Problems::default(),
        ),
    };
    left.iter().enumerate().map(tree).collect()
}

/// More places than a document can have that fits into a request.
const PLACES: usize = 1_000_000;

/// Stands for a flag that does not compile.
fn off(name: &Arc<str>, keeper: &Origin) -> Flag {
    Flag {
        origin: keeper.clone(),
        rings: vec![Ring {
            name: "unreadable".into(),
            enabled: true,
            condition: Condition::Never("its document does not compile".into()),
            rollout: Rollout::everybody(name),
            variants: None,
        }],
        ..Flag::new(name.clone())
    }
}
