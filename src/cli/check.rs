//! `serin check`: says everything that is wrong with a file.

use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use crate::config::diagnostic::Diagnostic;
use crate::config::{Mode, compile, render};
use crate::context::Moment;
use crate::source::environment::ProcessEnvironment;

/// Checks the file and writes what it finds, as text or as one JSON object. Whether the file can be used.
///
/// # Errors
/// When `out` cannot be written to. A file that cannot be read is a finding.
pub fn run(path: &Path, json: bool, colour: bool, out: &mut dyn Write) -> io::Result<bool> {
    let file = path.display().to_string();
    let source = match read(path) {
        Ok(source) => source,
        Err(error) if json => {
            let report = serde_json::json!({
                "file": file,
                "errors": 1,
                "warnings": 0,
                "problems": [{
                    "severity": "error",
                    "message": error,
                    "line": null,
                    "column": null,
                    "length": null,
                    "path": "",
                    "hint": null,
                }],
            });
            writeln!(out, "{report:#}")?;
            return Ok(false);
        }
        Err(error) => {
            writeln!(out, "error: {file}: {error}")?;
            return Ok(false);
        }
    };
    let compiled = compile(&source, &ProcessEnvironment, Mode::Check, now());
    let valid = compiled.is_ok();
    let found: Vec<Diagnostic> = compiled.map_or_else(|all| all, |config| config.warnings);
    if json {
        writeln!(out, "{:#}", render::json(&file, &found))?;
    } else if found.is_empty() {
        writeln!(out, "{file}: no problems")?;
    } else {
        write!(out, "{}", render::text(&file, &source, &found, colour))?;
    }
    Ok(valid)
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let unix_ms = since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    });
    Moment { unix_ms }
}
