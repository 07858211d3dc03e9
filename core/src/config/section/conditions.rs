//! Conditions, and the segments that they and rings refer to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::keys::SEGMENTS;
use crate::config::keys::flags as keys;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Pair, Value};
use crate::config::reader::Reader;
use crate::config::value;
use crate::context::{Field, Slot};
use crate::engine::Segment;
use crate::engine::condition::compile::ConstraintError;
use crate::engine::condition::{Condition, Constraint, Operator};
use crate::identity::Property;

/// How many tests one segment may come to, with the segments it refers to: what a request may cost at worst.
const MAX_TESTS: usize = 10_000;

/// How long a chain of segments may be that refer to each other.
pub const MAX_CHAIN: usize = 32;

/// What conditions may refer to: fields and segments.
#[derive(Debug)]
pub struct Audience<'t> {
    fields: Vec<(Arc<str>, Field)>,
    by_name: HashMap<Arc<str>, usize>,
    /// Segments that are compiled already; they come before those of `sources`.
    given: &'t BTreeMap<Arc<str>, Arc<Segment>>,
    sources: Vec<&'t Pair>,
    known: HashMap<&'t str, usize>,
    compiled: HashMap<&'t str, CompiledSegment>,
    /// The segments that are being compiled, each because of the one before.
    chain: Vec<&'t str>,
    /// The tests of what is being compiled.
    tests: usize,
}

#[derive(Debug)]
enum CompiledSegment {
    Whole {
        segment: Arc<Segment>,
        tests: usize,
    },
    /// It has an error, which is noted.
    Broken,
}

impl<'t> Audience<'t> {
    /// Collects the names that conditions of a file may use.
    pub fn new(root: &'t Node, properties: &[Property]) -> Self {
        Self::over(&NO_SEGMENTS, SEGMENTS.pairs(root), properties)
    }

    /// Collects the names that conditions may use where some segments are `given`.
    pub fn over(
        given: &'t BTreeMap<Arc<str>, Arc<Segment>>,
        sources: &'t [Pair],
        properties: &[Property],
    ) -> Self {
        let mut fields: Vec<(Arc<str>, Field)> = vec![
            ("userId".into(), Field::UserId),
            ("sessionId".into(), Field::SessionId),
            ("remoteAddress".into(), Field::RemoteAddress),
            ("now".into(), Field::Now),
        ];
        for (property, slot) in properties.iter().zip(0..) {
            fields.push((property.name.clone(), Field::Property(Slot(slot))));
        }
        let by_name = fields.iter().map(|(name, _)| name.clone()).zip(0..);
        let sources: Vec<&Pair> = sources.iter().collect();
        Self {
            given,
            by_name: by_name.collect(),
            fields,
            known: sources
                .iter()
                .map(|pair| pair.key.as_str())
                .zip(0..)
                .collect(),
            sources,
            compiled: HashMap::new(),
            chain: Vec::new(),
            tests: 0,
        }
    }

    /// Every segment, by name.
    pub fn compile_segments(&mut self, reader: &mut Reader) -> Vec<Arc<Segment>> {
        let sources = self.sources.clone();
        let mut segments: Vec<Arc<Segment>> = sources
            .into_iter()
            .filter_map(|pair| {
                if pair.key.is_empty() {
                    reader.problems.error(pair.key_span, "a name is not empty");
                }
                self.segment(reader, pair)
            })
            .collect();
        segments.sort_by(|a, b| a.name.cmp(&b.name));
        segments
    }

    /// A field that flags may look at: a property, or one of those that every request has.
    pub fn field(&self, name: &str) -> Option<(Arc<str>, Field)> {
        let index = self.by_name.get(name)?;
        self.fields.get(*index).cloned()
    }

    /// The name of every field.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }

    /// The segment that a node names.
    pub fn segment_named(&mut self, reader: &mut Reader, node: &'t Node) -> Condition {
        let Some(name) = reader.name(node) else {
            return NEVER;
        };
        if let Some(segment) = self.given.get(name) {
            let tests = segment.condition.tests();
            self.tests = self.tests.saturating_add(tests).saturating_add(1);
            return Condition::Segment(segment.clone());
        }
        let pair = self
            .known
            .get(name)
            .and_then(|index| self.sources.get(*index).copied());
        let Some(pair) = pair else {
            let shown = node.scalar().map_or("", |scalar| scalar.shown());
            let given = self.given.keys().map(|name| &**name);
            let names = self.known.keys().copied().chain(given);
            let hint = reader.problems.suggest(shown, names);
            reader
                .problems
                .error(node.span, format!("there is no segment `{shown}`"))
                .maybe_hint(hint);
            return NEVER;
        };
        if let Some(at) = self.chain.iter().position(|outer| *outer == pair.key) {
            let mut circle = self.chain.get(at..).unwrap_or_default().to_vec();
            circle.push(&pair.key);
            let circle = circle.join(" → ");
            reader.problems.error(
                node.span,
                format!("segments refer to each other in a circle: {circle}"),
            );
            return NEVER;
        }
        if self.chain.len() >= MAX_CHAIN {
            let message = format!("more than {MAX_CHAIN} segments refer to each other in a chain");
            reader.problems.error(node.span, message);
            return NEVER;
        }
        self.segment(reader, pair).map_or(NEVER, Condition::Segment)
    }

    /// The segment that a pair of a name and conditions is; `None`: it comes to too much.
    pub fn segment(&mut self, reader: &mut Reader, pair: &'t Pair) -> Option<Arc<Segment>> {
        let name = pair.key.as_str();
        if !self.compiled.contains_key(name) {
            let outer = std::mem::take(&mut self.tests);
            self.chain.push(name);
            let condition = self.condition(reader, &pair.value);
            self.chain.pop();
            let tests = std::mem::replace(&mut self.tests, outer);
            let compiled = if tests > MAX_TESTS {
                let message = format!("this segment comes to more than {MAX_TESTS} tests");
                reader
                    .problems
                    .error(pair.key_span, message)
                    .hint("a list of values is one test");
                CompiledSegment::Broken
            } else {
                let segment = Arc::new(Segment {
                    name: name.into(),
                    condition,
                });
                CompiledSegment::Whole { segment, tests }
            };
            self.compiled.insert(name, compiled);
        }
        match self.compiled.get(name)? {
            CompiledSegment::Whole { segment, tests } => {
                // The reference counts, too: segments without tests can refer to each other many times over.
                self.tests = self.tests.saturating_add(*tests).saturating_add(1);
                Some(segment.clone())
            }
            CompiledSegment::Broken => None,
        }
    }

    /// One map of conditions, or a list of them; all must hold.
    pub fn condition(&mut self, reader: &mut Reader, node: &'t Node) -> Condition {
        match &node.value {
            Value::List(items) => all(self.conditions(reader, items, false)),
            _ => self.condition_map(reader, node, false),
        }
    }

    fn conditions(
        &mut self,
        reader: &mut Reader,
        nodes: &'t [Node],
        ignore_case: bool,
    ) -> Vec<Condition> {
        nodes
            .iter()
            .map(|node| self.condition_map(reader, node, ignore_case))
            .collect()
    }

    fn condition_map(
        &mut self,
        reader: &mut Reader,
        node: &'t Node,
        ignore_case: bool,
    ) -> Condition {
        let ignore_case = keys::IGNORE_CASE.read(reader, node).unwrap_or(ignore_case);
        let not = keys::NOT.read(reader, node).unwrap_or(false);
        let mut stated = Vec::new();
        for pair in node.pairs() {
            let items = pair.value.items();
            stated.push(match pair.key.as_str() {
                "not" | "ignore_case" => continue,
                "any" => Condition::Any(self.conditions(reader, items, ignore_case)),
                "all" => Condition::All(self.conditions(reader, items, ignore_case)),
                "segment" => self.segment_named(reader, &pair.value),
                _ => self.field_tests(reader, pair, ignore_case),
            });
        }
        negated(not, all(stated))
    }

    /// A field with what it must be: a value, one of a list, or operators.
    fn field_tests(&mut self, reader: &mut Reader, pair: &'t Pair, ignore_case: bool) -> Condition {
        let Some((name, field)) = self.field(&pair.key) else {
            let hint = reader
                .problems
                .suggest(&pair.key, self.field_names())
                .unwrap_or_else(|| {
                    let names: Vec<String> =
                        self.field_names().map(|name| format!("`{name}`")).collect();
                    format!(
                        "flags may look at {}; more under `identity.properties`",
                        names.join(", ")
                    )
                });
            reader
                .problems
                .error(pair.key_span, format!("there is no field `{}`", pair.key))
                .hint(hint);
            return NEVER;
        };
        let node = &pair.value;
        let Value::Map(operators) = &node.value else {
            return self.test(reader, (&name, field), Operator::In, pair, ignore_case);
        };
        let ignore_case = self.ignore_case_beside(reader, node, ignore_case);
        let not = keys::NOT.read(reader, node).unwrap_or(false);
        let mut stated = Vec::new();
        for operator in operators {
            if let Some(known) = Operator::from_name(&operator.key) {
                stated.push(self.test(reader, (&name, field), known, operator, ignore_case));
            }
        }
        let modifiers = |pair: &Pair| matches!(pair.key.as_str(), "not" | "ignore_case");
        if operators.iter().all(modifiers) {
            let names = Operator::NAMES.join(", ");
            reader
                .problems
                .error(pair.key_span, format!("`{name}` is compared with nothing"))
                .hint(format!("operators are {names}"));
        }
        negated(not, all(stated))
    }

    /// `ignore_case` beside operators; it must mean something to one of them.
    fn ignore_case_beside(&self, reader: &mut Reader, node: &Node, outer: bool) -> bool {
        let Some(ignore_case) = keys::IGNORE_CASE.read(reader, node) else {
            return outer;
        };
        let mut operators = node
            .pairs()
            .iter()
            .filter_map(|pair| Operator::from_name(&pair.key));
        if !operators.any(Operator::takes_ignore_case)
            && let Some(pair) = keys::IGNORE_CASE.pair(node)
        {
            reader.problems.error(
                pair.key_span,
                "`ignore_case` goes with operators that compare texts",
            );
        }
        ignore_case
    }

    fn test(
        &mut self,
        reader: &mut Reader,
        (name, field): (&Arc<str>, Field),
        operator: Operator,
        pair: &Pair,
        ignore_case: bool,
    ) -> Condition {
        self.tests = self.tests.saturating_add(1);
        let nodes = match &pair.value.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&pair.value),
        };
        // Problems with lists, maps and placeholders are noted already.
        let scalars: Option<Vec<_>> = nodes
            .iter()
            .map(|node| node.scalar().filter(|scalar| !scalar.is_placeholder()))
            .collect();
        let Some(scalars) = scalars else {
            return NEVER;
        };
        let dates = matches!(operator, Operator::After | Operator::Before);
        let texts: Vec<String> = scalars
            .iter()
            .filter(|_| dates)
            .map(|scalar| value::moment(scalar.text()))
            .collect();
        let values: Vec<&str> = if dates {
            texts.iter().map(String::as_str).collect()
        } else {
            scalars.iter().map(|scalar| scalar.text()).collect()
        };
        match Constraint::new(field, name.clone(), operator, &values, ignore_case) {
            Ok(constraint) => Condition::Test(constraint),
            Err(error) => {
                refuse(reader, pair, nodes, &error);
                NEVER
            }
        }
    }
}

/// Nothing is compiled before a file is.
static NO_SEGMENTS: BTreeMap<Arc<str>, Arc<Segment>> = BTreeMap::new();

/// Stands for a condition that cannot be compiled; the file is refused anyway.
const NEVER: Condition = Condition::Any(Vec::new());

fn refuse(reader: &mut Reader, pair: &Pair, nodes: &[Node], error: &ConstraintError) {
    match error.value.and_then(|index| nodes.get(index)) {
        Some(node) if node.scalar().is_some_and(|scalar| scalar.is_filled()) => {
            let shown = node.scalar().map_or("", |scalar| scalar.shown());
            let message = format!("what stands for `{shown}` does not go with `{}`", pair.key);
            reader.problems.error(node.span, message);
        }
        Some(node) => {
            reader.problems.error(node.span, error.to_string());
        }
        None => {
            reader.problems.error(pair.key_span, error.to_string());
        }
    }
}

/// All of these; one needs no bracket around it.
pub fn all(mut conditions: Vec<Condition>) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        Some(last) => {
            conditions.push(last);
            Condition::All(conditions)
        }
        None => Condition::All(conditions),
    }
}

fn negated(not: bool, condition: Condition) -> Condition {
    if not {
        Condition::Not(Box::new(condition))
    } else {
        condition
    }
}
