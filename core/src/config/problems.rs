//! Everything that is found wrong with a file, collected on the way.

use std::collections::{HashMap, HashSet};

use super::diagnostic::{Diagnostic, Findings, Severity, Span};
use super::node::{Node, Value};
use crate::spelling::nearest;

/// Beyond this many problems no more names are suggested: the comparison is with every valid name.
const SUGGESTING: usize = 100;

/// How many problems of one severity are kept; the others are counted. More than are ever told, because they are noted
/// in another order than they are told in, and what an anchor stands for is noted several times.
const KEPT: usize = 1000;

/// A growing list of problems.
#[derive(Debug, Default)]
pub struct Problems {
    errors: Kept,
    warnings: Kept,
    /// Warnings about how values go together, which mean something only when all of them could be read.
    follow_ups: Kept,
}

/// The first problems of a kind, and how many more there were.
#[derive(Debug, Default)]
struct Kept {
    first: Vec<Diagnostic>,
    more: usize,
}

impl Kept {
    fn len(&self) -> usize {
        self.first.len() + self.more
    }

    fn add(&mut self, diagnostic: Diagnostic) -> Noted<'_> {
        if self.first.len() == KEPT {
            self.more += 1;
            return Noted(None);
        }
        self.first.push(diagnostic);
        Noted(self.first.last_mut())
    }
}

/// A problem just noted, to which more can be said.
#[derive(Debug)]
pub struct Noted<'p>(Option<&'p mut Diagnostic>);

impl Noted<'_> {
    /// Adds a hint.
    pub fn hint(self, hint: impl Into<String>) {
        self.maybe_hint(Some(hint.into()));
    }

    /// Adds a hint, if there is one.
    pub fn maybe_hint(self, hint: Option<String>) {
        if let Some(diagnostic) = self.0 {
            diagnostic.hint = hint;
        }
    }
}

impl Problems {
    /// Notes a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Error => self.errors.add(diagnostic),
            Severity::Warning => self.warnings.add(diagnostic),
        };
    }

    /// Notes an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> Noted<'_> {
        let error = diagnostic(Severity::Error, span, message.into());
        self.errors.add(error)
    }

    /// Notes a warning about one value.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) -> Noted<'_> {
        let warning = diagnostic(Severity::Warning, span, message.into());
        self.warnings.add(warning)
    }

    /// Notes a warning about how values go together. It is told only if the file has no errors: with one of the values
    /// misread, it could be untrue.
    pub fn follow_up(&mut self, span: Span, message: impl Into<String>) -> Noted<'_> {
        let warning = diagnostic(Severity::Warning, span, message.into());
        self.follow_ups.add(warning)
    }

    /// How many there are so far.
    pub fn len(&self) -> usize {
        self.errors.len() + self.warnings.len() + self.follow_ups.len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether anything makes the file unusable.
    pub fn has_errors(&self) -> bool {
        self.errors.len() > 0
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

    /// The problems with their paths: errors first, in file order, each once. What is wrong with an anchor's value would
    /// otherwise be said again for each of its aliases.
    pub fn finish(mut self, root: Option<&Node>) -> Findings {
        if self.has_errors() {
            self.follow_ups = Kept::default();
        }
        let mut all = self.errors.first;
        all.append(&mut self.warnings.first);
        all.append(&mut self.follow_ups.first);
        let mut seen = HashSet::new();
        all.retain(|d| seen.insert((d.span, d.message.clone())));
        all.sort_by_key(|d| (d.severity, d.span.line, d.span.column));
        if let (Some(root), false) = (root, all.is_empty()) {
            let mut paths = all.iter().map(|d| (d.span, None)).collect();
            locate(root, &mut String::new(), &mut paths);
            for diagnostic in &mut all {
                if let Some(Some(path)) = paths.get(&diagnostic.span) {
                    diagnostic.path.clone_from(path);
                }
            }
        }
        Findings::new(all, |severity| match severity {
            Severity::Error => self.errors.more,
            Severity::Warning => self.warnings.more + self.follow_ups.more,
        })
    }
}

fn diagnostic(severity: Severity, span: Span, message: String) -> Diagnostic {
    Diagnostic {
        severity,
        message,
        span,
        path: String::new(),
        hint: None,
    }
}

/// Fills in the paths of keys and values by their places, where they are asked for. An alias's value stands where its
/// anchor is; the first path that leads there is kept.
fn locate(node: &Node, path: &mut String, paths: &mut HashMap<Span, Option<String>>) {
    note(node.span, path, paths);
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
        Value::Map(pairs) => {
            for pair in pairs {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(&pair.key);
                note(pair.key_span, path, paths);
                locate(&pair.value, path, paths);
                path.truncate(length);
            }
        }
    }
}

fn note(span: Span, path: &str, paths: &mut HashMap<Span, Option<String>>) {
    if let Some(wanted @ None) = paths.get_mut(&span) {
        *wanted = Some(path.to_owned());
    }
}
