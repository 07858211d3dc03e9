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

#[cfg(test)]
mod tests {
    use super::run;

    fn said(content: &[u8], json: bool) -> (bool, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("routes.yaml");
        std::fs::write(&path, content).expect("a file");
        let mut out = Vec::new();
        let valid = run(&path, json, false, &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        (
            valid,
            text.replace(&format!("{}/", folder.path().display()), ""),
        )
    }

    #[test]
    fn a_good_file_is_said_to_be_good() {
        let file = b"services: { a: http://127.0.0.1:1 }\nroutes: [{ service: a }]\n";
        assert_eq!(
            said(file, false),
            (true, "routes.yaml: no problems\n".to_owned())
        );
        let (valid, json) = said(file, true);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert!(valid && json["errors"] == 0 && json["problems"] == serde_json::json!([]));
    }

    #[test]
    fn a_bad_file_is_told_why_in_both_forms() {
        let (valid, text) = said(b"services: {}\n", false);
        assert!(!valid && text.contains("error: `routes` is missing\n --> routes.yaml:1:1"));
        let (valid, json) = said(b"services: {}\n", true);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert!(!valid && json["errors"] == 2 && json["problems"][0]["line"] == 1);
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        let (valid, text) = said(b"services:\n  a: \xff\n", false);
        assert_eq!(
            (valid, text.as_str()),
            (false, "error: routes.yaml: line 2 is not UTF-8\n")
        );
        let mut out = Vec::new();
        let missing = std::path::Path::new("/nonexistent/routes.yaml");
        assert!(!run(missing, true, false, &mut out).expect("written"));
        let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(json["problems"][0]["severity"], "error");
    }
}
