//! `${NAME}`, `${NAME:-default}` and `${file:/path}`, put in after YAML is parsed: a value never changes the structure.

use super::diagnostic::Span;
use super::node::{Node, Scalar, Value};
use super::problems::Problems;
use super::{Environment, OnUnset};

/// Puts values into every scalar of the tree. Keys are left alone.
pub fn interpolate(
    root: &mut Node,
    environment: &dyn Environment,
    on_unset: OnUnset,
    problems: &mut Problems,
) {
    match &mut root.value {
        Value::Scalar(scalar) => {
            let mut filler = Filler {
                environment,
                on_unset,
                problems,
                span: root.span,
                placeholder: false,
            };
            filler.fill(scalar);
        }
        Value::List(items) => {
            for item in items {
                interpolate(item, environment, on_unset, problems);
            }
        }
        Value::Map(pairs) => {
            for pair in pairs {
                interpolate(&mut pair.value, environment, on_unset, problems);
            }
        }
    }
}

struct Filler<'a> {
    environment: &'a dyn Environment,
    on_unset: OnUnset,
    problems: &'a mut Problems,
    span: Span,
    placeholder: bool,
}

impl Filler<'_> {
    fn fill(&mut self, scalar: &mut Scalar) {
        if !scalar.text().contains("${") {
            return;
        }
        let mut text = String::new();
        let mut rest = scalar.text();
        while let Some(at) = rest.find("${") {
            let (before, found) = rest.split_at(at);
            let inner = &found[2..];
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str("${");
                rest = inner;
                continue;
            }
            text.push_str(before);
            let Some(end) = inner.find('}') else {
                self.malformed("`${` has no `}`");
                rest = "";
                break;
            };
            // Its `}` would be taken for the outer one's.
            if inner[..end].contains("${") {
                self.malformed("`${` stands within another, or the one before it has no `}`");
                rest = "";
                break;
            }
            if let Some(value) = self.value(&inner[..end]) {
                text.push_str(&value);
            }
            rest = &inner[end + 1..];
        }
        text.push_str(rest);
        scalar.fill(text, self.placeholder);
    }

    /// The value for the words between the braces; `None`: there is none, and the whole scalar becomes a placeholder.
    fn value(&mut self, inner: &str) -> Option<String> {
        if let Some(path) = inner.strip_prefix("file:") {
            if path.is_empty() {
                self.malformed("`${file:}` names no file");
                return None;
            }
            let content = self.environment.file(path);
            return content
                .map_err(|error| self.unset(format!("`{path}` cannot be read: {error}"), None))
                .ok();
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            self.malformed(format!("`{name}` is not the name of a variable"));
            return None;
        }
        let value = self.environment.variable(name);
        match (value, default) {
            // As in a shell, `:-` takes an empty variable for an unset one.
            (Some(value), Some(default)) if value.is_empty() => Some(default.to_owned()),
            (Some(value), _) => Some(value),
            (None, Some(default)) => Some(default.to_owned()),
            (None, None) => {
                let hint = format!("set it, or write `${{{name}:-a default}}`");
                self.unset(format!("the variable `{name}` is not set"), Some(hint));
                None
            }
        }
    }

    fn malformed(&mut self, message: impl Into<String>) {
        self.placeholder = true;
        self.problems
            .error(self.span, message)
            .hint("`$${` stands for `${` itself");
    }

    fn unset(&mut self, message: String, hint: Option<String>) {
        self.placeholder = true;
        let noted = match self.on_unset {
            OnUnset::Refuse => self.problems.error(self.span, message),
            OnUnset::StandIn => self.problems.warning(self.span, message),
        };
        noted.maybe_hint(hint);
    }
}
