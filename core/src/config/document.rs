//! JSON documents as the trees that `routes.yaml` is read into, so that one reader serves both.

use std::fmt::Write as _;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::diagnostic::{Diagnostic, Severity, Span, in_one_line};
use super::node::{Node, Pair, Scalar, Value};
use super::problems::Problems;
use crate::digest::Digest;

/// A document as it was put, and its hash.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    json: Json,
    digest: Digest,
}

impl Document {
    /// A document that was put.
    pub fn new(json: Json) -> Self {
        let digest = Digest(Sha256::digest(json.to_string()).into());
        Self { json, digest }
    }

    /// The document.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Its hash: equal for documents that say the same, in whatever layout they came.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Something that is wrong with a document, and with which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where, for people, as in `rings[0].rollout`; empty: the whole document.
    pub path: String,
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What would help.
    pub hint: Option<String>,
}

impl FieldProblem {
    /// For logs and lists: which part of the document, what is wrong with it, what would help.
    pub fn in_one_line(&self) -> String {
        in_one_line(&self.path, &self.message, self.hint.as_deref())
    }
}

/// Reads a document as a tree. A place in the tree is a number of its own for every key and value, in the document's
/// order and greater than `after`. A number with a fraction is refused: texts are compared as they are written, and JSON does not keep `1.10`.
pub fn tree(document: &Json, after: usize, problems: &mut Problems) -> Node {
    let next = after;
    Planter { next, problems }.node(document)
}

struct Planter<'p> {
    next: usize,
    problems: &'p mut Problems,
}

impl Planter<'_> {
    fn place(&mut self) -> Span {
        self.next += 1;
        Span {
            line: self.next,
            column: 1,
            length: 1,
        }
    }

    fn node(&mut self, document: &Json) -> Node {
        let span = self.place();
        let bare = |text: String| Value::Scalar(Scalar::new(text, false));
        let value = match document {
            Json::Null => bare("null".to_owned()),
            Json::Bool(truth) => bare(truth.to_string()),
            Json::Number(number) => {
                if number.is_f64() {
                    let message = format!("`{number}` is a number with a fraction");
                    self.problems
                        .error(span, message)
                        .hint(format!("write it in quotes: \"{number}\""));
                }
                bare(number.to_string())
            }
            Json::String(text) => Value::Scalar(Scalar::new(text.clone(), true)),
            Json::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            Json::Object(members) => {
                let pairs = members.iter().map(|(key, value)| Pair {
                    key: key.clone(),
                    key_span: self.place(),
                    value: self.node(value),
                });
                Value::Map(pairs.collect())
            }
        };
        Node { span, value }
    }
}

/// What was found wrong with a document, each with its place in the document's tree.
pub fn located(problems: Problems, root: &Node) -> Vec<FieldProblem> {
    let findings = problems.finish(Some(root));
    let located = findings.iter().map(|found: &Diagnostic| FieldProblem {
        severity: found.severity,
        message: found.message.clone(),
        path: found.path.clone(),
        pointer: pointer(root, found.span).unwrap_or_default(),
        hint: found.hint.clone(),
    });
    located.collect()
}

/// Where in the tree a place is: a key stands for its value.
fn pointer(node: &Node, place: Span) -> Option<String> {
    if node.span == place {
        return Some(String::new());
    }
    let below = |step: &str, node: &Node| Some(format!("/{step}{}", pointer(node, place)?));
    match &node.value {
        Value::Scalar(_) => None,
        Value::List(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| below(&index.to_string(), item))
        }
        Value::Map(pairs) => pairs.iter().find_map(|pair| match pair.key_span == place {
            true => Some(format!("/{}", escaped(&pair.key))),
            false => below(&escaped(&pair.key), &pair.value),
        }),
    }
}

/// A member's name as a step of a JSON pointer.
fn escaped(name: &str) -> String {
    let mut step = String::with_capacity(name.len());
    for letter in name.chars() {
        let _ = match letter {
            '~' => step.write_str("~0"),
            '/' => step.write_str("~1"),
            other => step.write_char(other),
        };
    }
    step
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{located, tree};
    use crate::config::problems::Problems;

    #[test]
    fn every_key_and_value_has_a_pointer_of_its_own() {
        let document = json!({ "a/b": [true, { "c~d": null }], "e": "1.10", "f": 7 });
        let mut problems = Problems::default();
        let root = tree(&document, 0, &mut problems);
        assert!(problems.is_empty());
        let list = root.get("a/b").expect("a list");
        let inner = list.items()[1].pair("c~d").expect("a pair");
        problems.error(root.span, "whole");
        problems.error(list.items()[0].span, "item");
        problems.error(inner.key_span, "key");
        problems.error(inner.value.span, "value");
        let found = located(problems, &root);
        let places: Vec<_> = found
            .iter()
            .map(|one| (&*one.message, &*one.path, &*one.pointer))
            .collect();
        assert_eq!(
            places,
            [
                ("whole", "", ""),
                ("item", "a/b[0]", "/a~1b/0"),
                ("key", "a/b[1].c~d", "/a~1b/1/c~0d"),
                ("value", "a/b[1].c~d", "/a~1b/1/c~0d"),
            ]
        );
        let text = |key: &str| root.get(key).and_then(|node| Some(node.scalar()?.text()));
        assert_eq!((text("e"), text("f")), (Some("1.10"), Some("7")));
    }

    #[test]
    fn a_number_with_a_fraction_is_refused() {
        let mut problems = Problems::default();
        let root = tree(&json!({ "when": { "appVersion": 1.5 } }), 0, &mut problems);
        let found = located(problems, &root);
        let [one] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(one.pointer, "/when/appVersion");
        assert_eq!(
            one.in_one_line(),
            "when.appVersion: `1.5` is a number with a fraction; write it in quotes: \"1.5\""
        );
    }
}
