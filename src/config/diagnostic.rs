//! What is wrong with a file, and where: rendered as rustc would, or as JSON.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but somebody should look.
    Warning,
}

/// A place in a file: lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The line.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// How many characters of that line are meant; at least 1.
    pub length: usize,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Where in the document, as in `services.search.stable`.
    pub path: String,
    /// What would help.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// For logs and lists: which part of the document, what is wrong with it, what would help.
    pub fn in_one_line(&self) -> String {
        let Self {
            message,
            path,
            hint,
            ..
        } = self;
        let place = if path.is_empty() { "" } else { ": " };
        match hint {
            Some(hint) => format!("{path}{place}{message}; {hint}"),
            None => format!("{path}{place}{message}"),
        }
    }
}
