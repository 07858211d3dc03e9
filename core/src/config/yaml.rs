//! YAML 1.2 text to a tree of nodes: anchors, aliases and merge keys are resolved here, and nowhere above.

mod advice;
mod builder;

use serde_saphyr::granit_parser::{Marker, Parser, ScanError, Span as YamlSpan};

use super::diagnostic::{Diagnostic, Severity, Span};
use super::node::Node;
use super::problems::Problems;
use advice::advice;
use builder::Builder;

/// Reads one document. `None` when it cannot be read to its end; everything wrong is in `problems`.
pub fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::new(problems);
    for next in Parser::new_from_str(text) {
        let fatal = match next {
            Ok((event, span)) => builder.take(event, span).err(),
            Err(error) => Some(syntax_error(&error, text)),
        };
        if let Some(diagnostic) = fatal {
            problems.push(diagnostic);
            return None;
        }
    }
    let root = builder
        .finished()
        .filter(|root| root.scalar().is_none_or(|scalar| !scalar.is_nothing()));
    if root.is_none() {
        problems
            .error(start(), "the file is empty")
            .hint("`services` and `routes` are needed");
    }
    root
}

fn start() -> Span {
    Span {
        line: 1,
        column: 1,
        length: 1,
    }
}

fn syntax_error(error: &ScanError, text: &str) -> Diagnostic {
    let (message, marker) = (error.info(), error.marker());
    fatal(
        at(marker, 1),
        format!("this is not YAML: {message}"),
        advice(&message, marker, text),
    )
}

/// An error after which nothing more can be said.
fn fatal(span: Span, message: impl Into<String>, hint: Option<String>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        message: message.into(),
        span,
        path: String::new(),
        hint,
    }
}

/// So many characters from a place on.
fn at(marker: &Marker, length: usize) -> Span {
    Span {
        line: marker.line().max(1),
        column: marker.col() + 1,
        length: length.max(1),
    }
}

/// The part of a span that lies on its first line.
fn first_line(span: &YamlSpan) -> Span {
    let length = if span.start.line() == span.end.line() {
        span.end.col().saturating_sub(span.start.col())
    } else {
        1
    };
    at(&span.start, length)
}
