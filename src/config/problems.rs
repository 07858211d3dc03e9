//! Everything that is found wrong with a file, collected on the way.

use std::collections::{HashMap, HashSet};

use super::diagnostic::{Diagnostic, Severity, Span};
use super::node::{Node, Value};
use crate::spelling::nearest;

/// Beyond this many problems no more names are suggested: the comparison is with every valid name.
const SUGGESTING: usize = 100;

/// A growing list of problems.
#[derive(Debug, Default)]
pub struct Problems(Vec<Diagnostic>);

/// A problem just noted, to which more can be said.
#[derive(Debug)]
pub struct Noted<'p>(Option<&'p mut Diagnostic>);

impl Noted<'_> {
    /// Says what would help.
    pub fn hint(self, hint: impl Into<String>) {
        self.maybe_hint(Some(hint.into()));
    }

    /// Says what would help, if something would.
    pub fn maybe_hint(self, hint: Option<String>) {
        if let Some(diagnostic) = self.0 {
            diagnostic.hint = hint;
        }
    }
}

impl Problems {
    /// Notes a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Notes an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Error, span, message.into())
    }

    /// Notes a warning.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Warning, span, message.into())
    }

    fn note(&mut self, severity: Severity, span: Span, message: String) -> Noted<'_> {
        self.0.push(Diagnostic {
            severity,
            message,
            span,
            path: String::new(),
            hint: None,
        });
        Noted(self.0.last_mut())
    }

    /// How many there are so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything makes the file unusable.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// The valid name that is nearest to a wrong one, as a hint.
    pub fn suggest<'n>(
        &self,
        wrong: &str,
        valid: impl IntoIterator<Item = &'n str>,
    ) -> Option<String> {
        if self.len() > SUGGESTING {
            return None;
        }
        nearest(wrong, valid).map(|name| format!("did you mean `{name}`?"))
    }

    /// The problems in file order, each once, with their paths. What is wrong with an anchor's value would
    /// otherwise be said again for each of its aliases.
    pub fn finish(mut self, root: Option<&Node>) -> Vec<Diagnostic> {
        if let (Some(root), false) = (root, self.is_empty()) {
            let mut paths = HashMap::new();
            locate(root, &mut String::new(), &mut paths);
            for diagnostic in &mut self.0 {
                if let Some(path) = paths.get(&diagnostic.span) {
                    diagnostic.path.clone_from(path);
                }
            }
        }
        self.0.sort_by_key(|d| (d.span.line, d.span.column));
        let mut seen = HashSet::new();
        self.0.retain(|d| seen.insert((d.span, d.message.clone())));
        self.0
    }
}

/// The path of every key and value, by its place. An alias's value stands where its anchor is; the first path
/// that leads there is kept.
fn locate(node: &Node, path: &mut String, paths: &mut HashMap<Span, String>) {
    paths.entry(node.span).or_insert_with(|| path.clone());
    let length = path.len();
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                locate(item, path, paths);
                path.truncate(length);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(&entry.key);
                paths.entry(entry.key_span).or_insert_with(|| path.clone());
                locate(&entry.value, path, paths);
                path.truncate(length);
            }
        }
    }
}
