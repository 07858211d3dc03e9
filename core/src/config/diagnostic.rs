//! What is wrong with a file, and where: rendered as rustc would, or as JSON.

use std::ops::Deref;

/// How many problems of one file are told; the others are counted.
pub const TOLD: usize = 100;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        in_one_line(&self.path, &self.message, self.hint.as_deref())
    }
}

/// A problem in one line: the part of the document, what is wrong with it, what would help.
pub fn in_one_line(path: &str, message: &str, hint: Option<&str>) -> String {
    let place = if path.is_empty() { "" } else { ": " };
    match hint {
        Some(hint) => format!("{path}{place}{message}; {hint}"),
        None => format!("{path}{place}{message}"),
    }
}

/// Everything that was found wrong with a file: errors first, each kind in file order. Of very many, the first
/// [`TOLD`], and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    told: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Findings {
    /// Of diagnostics in order; of each severity there may be `more` than these.
    pub fn new(mut all: Vec<Diagnostic>, more: impl Fn(Severity) -> usize) -> Self {
        let count = |severity| {
            let found = all.iter().filter(|one| one.severity == severity);
            found.count() + more(severity)
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        all.truncate(TOLD);
        Self {
            told: all,
            errors,
            warnings,
        }
    }

    /// With more of them.
    #[must_use]
    pub fn with(self, more: Vec<Diagnostic>) -> Self {
        let told = |severity| {
            let told = self.told.iter();
            told.filter(|one| one.severity == severity).count()
        };
        let untold = |severity| match severity {
            Severity::Error => self.errors.saturating_sub(told(severity)),
            Severity::Warning => self.warnings.saturating_sub(told(severity)),
        };
        let (errors, warnings) = (untold(Severity::Error), untold(Severity::Warning));
        let mut all = self.told;
        all.extend(more);
        all.sort_by_key(|one| (one.severity, one.span));
        Self::new(all, |severity| match severity {
            Severity::Error => errors,
            Severity::Warning => warnings,
        })
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// How many are only counted.
    pub fn untold(&self) -> usize {
        (self.errors + self.warnings).saturating_sub(self.told.len())
    }
}

impl From<Vec<Diagnostic>> for Findings {
    fn from(all: Vec<Diagnostic>) -> Self {
        Self::new(all, |_| 0)
    }
}

/// Those that are told.
impl Deref for Findings {
    type Target = [Diagnostic];

    fn deref(&self) -> &[Diagnostic] {
        &self.told
    }
}
