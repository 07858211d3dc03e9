//! Diagnostics as people and programs read them.

use std::fmt::Write as _;

use super::diagnostic::{Diagnostic, Findings, Severity, Span};

/// How many characters of a line are shown at most.
const WIDTH: usize = 110;

/// How many of them stand before the span, where the line is cut.
const BEFORE: usize = 40;

/// What stands where a line was cut.
const CUT: &str = "…";

/// Findings with the lines they are about, and a last line that counts them. `file` is what the file is called,
/// `source` its text. What was put in for `${…}` is in neither.
pub fn text(file: &str, source: &str, findings: &Findings, colour: bool) -> String {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let lines: Vec<&str> = source.lines().collect();
    let style = Style { colour };
    let mut out = String::new();
    for diagnostic in findings.iter() {
        let line = diagnostic
            .span
            .line
            .checked_sub(1)
            .and_then(|index| lines.get(index));
        one(&mut out, file, line.copied(), diagnostic, style);
        out.push('\n');
    }
    if !findings.is_empty() {
        let _ = write!(out, "{}: {}", printable(file), counted(findings));
        let _ = match findings.untold() {
            0 => writeln!(out),
            untold => writeln!(out, "; {untold} of them are not shown"),
        };
    }
    out
}

/// The same for programs: one JSON object.
pub fn json(file: &str, findings: &Findings) -> serde_json::Value {
    let problems: Vec<serde_json::Value> = findings
        .iter()
        .map(|diagnostic| {
            serde_json::json!({
                "severity": word(diagnostic.severity),
                "message": diagnostic.message,
                "line": diagnostic.span.line,
                "column": diagnostic.span.column,
                "length": diagnostic.span.length,
                "path": diagnostic.path,
                "hint": diagnostic.hint,
            })
        })
        .collect();
    serde_json::json!({
        "file": file,
        "errors": findings.errors(),
        "warnings": findings.warnings(),
        "problems": problems,
        "not_shown": findings.untold(),
    })
}

/// How many errors and warnings there are, in words.
pub fn counted(findings: &Findings) -> String {
    let some = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{number} {many}")),
    };
    let errors = some(findings.errors(), "error", "errors");
    let warnings = some(findings.warnings(), "warning", "warnings");
    match (errors, warnings) {
        (Some(errors), Some(warnings)) => format!("{errors}, {warnings}"),
        (Some(counted), None) | (None, Some(counted)) => counted,
        (None, None) => "no problems".to_owned(),
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// ANSI colours, or none.
#[derive(Clone, Copy)]
struct Style {
    colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        self.paint(code, text)
    }

    fn frame(self, text: &str) -> String {
        self.paint("1;34", text)
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

fn one(out: &mut String, file: &str, line: Option<&str>, diagnostic: &Diagnostic, style: Style) {
    let Diagnostic {
        severity,
        message,
        span,
        hint,
        ..
    } = diagnostic;
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = style.frame("|");
    let head = style.severity(*severity, word(*severity));
    let message = style.bold(&format!(": {}", printable(message)));
    let place = format!("{}:{}:{}", printable(file), span.line, span.column);
    let _ = writeln!(out, "{head}{message}");
    let _ = writeln!(out, "{margin}{} {place}", style.frame("-->"));
    if let Some(line) = line {
        let (shown, carets) = excerpt(line, *span);
        let _ = writeln!(out, "{margin} {bar}");
        let _ = writeln!(out, "{} {bar} {shown}", style.frame(&number));
        let _ = writeln!(out, "{margin} {bar} {}", style.severity(*severity, &carets));
    }
    if let Some(hint) = hint {
        let hint = printable(hint);
        let _ = writeln!(out, "{margin} {} hint: {hint}", style.frame("="));
    }
}

/// The line, cut around the span if it is long, and carets under the span. Tabs are shown as one space, so that
/// a column is a character.
fn excerpt(line: &str, span: Span) -> (String, String) {
    let letters: Vec<char> = line.trim_end().chars().collect();
    let start = span.column.saturating_sub(1).min(letters.len());
    let from = if letters.len() <= WIDTH {
        0
    } else {
        start.saturating_sub(BEFORE)
    };
    let to = letters.len().min(from + WIDTH);
    let mut shown = String::new();
    let mut indent = start - from;
    if from > 0 {
        shown.push_str(CUT);
        indent += CUT.chars().count();
    }
    let middle: String = letters.get(from..to).unwrap_or_default().iter().collect();
    shown.push_str(&printable(&middle));
    if to < letters.len() {
        shown.push_str(CUT);
    }
    let under = span.length.min(to.saturating_sub(start)).max(1);
    (
        shown,
        format!("{}{}", " ".repeat(indent), "^".repeat(under)),
    )
}

/// Without what would move a terminal's cursor or change its colours.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests;
