//! `serin check`: says everything that is wrong with a file, or with several.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::certificates;
use crate::config::attribution::{AttributionConfig, ReceiptKey};
use crate::config::diagnostic::{Diagnostic, Findings, Severity};
use crate::config::tls::StatedFile;
use crate::config::{OnUnset, compile, render};
use crate::context::Moment;
use crate::durable::{is_absence, read_small};
use crate::receipts::keys::SigningKey;
use crate::source::environment::ProcessEnvironment;
use crate::source::file::{FileError, read, read_stream};
use crate::tokens::keys;

/// How files are checked, and how the result is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Warnings fail, too, and what is unset is an error.
    pub strict: bool,
    /// As JSON: an object for one file, a list of them for several.
    pub json: bool,
    /// With colours.
    pub colour: bool,
}

/// A file that was looked at.
struct Checked {
    name: String,
    /// Its text and what is wrong with it, or why it cannot be read.
    found: Result<(String, Findings), String>,
    is_good: bool,
}

/// Checks the files and writes what it finds. Whether all of them can be used.
///
/// # Errors
/// When `out` cannot be written to. A file that cannot be read is a finding.
pub fn run(files: &[PathBuf], how: How, out: &mut dyn Write) -> io::Result<bool> {
    let mut is_good = true;
    let mut reports = Vec::new();
    for path in files {
        let checked = check(path, how);
        is_good &= checked.is_good;
        if how.json {
            reports.push(checked.report());
        } else {
            checked.write(how.colour, out)?;
        }
    }
    match reports.as_slice() {
        [] => {}
        [report] => writeln!(out, "{report:#}")?,
        reports => writeln!(out, "{:#}", json!(reports))?,
    }
    Ok(is_good)
}

fn check(path: &Path, how: How) -> Checked {
    let is_stdin = path == Path::new("-");
    let (name, text) = match is_stdin {
        true => ("stdin".to_owned(), read_stream(io::stdin().lock())),
        false => (path.display().to_string(), read(path)),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            return Checked {
                name,
                found: Err(unreadable(&error)),
                is_good: false,
            };
        }
    };
    let mode = if how.strict {
        OnUnset::Refuse
    } else {
        OnUnset::StandIn
    };
    let findings = match compile(&text, &ProcessEnvironment, mode, now()) {
        Ok(config) => {
            let process = &config.process;
            let listeners = process.listeners.iter();
            let listeners = listeners.filter_map(|listener| listener.tls.as_ref());
            let tls = listeners.chain(&process.admin.tls);
            let found = tls.flat_map(|files| certificates::check(files, now()));
            let upstreams = certificates::of_upstreams(&config.services, now());
            let found = found.chain(upstreams);
            let found = found.map(|problem| problem.finding(mode == OnUnset::StandIn));
            let receipts = receipt_key(&config.process.attribution, mode);
            let key_sets = config.key_sets.iter();
            let key_sets = key_sets.filter_map(|file| key_set(file, mode));
            config
                .warnings
                .with(found.chain(receipts).chain(key_sets).collect())
        }
        Err(findings) => findings,
    };
    Checked {
        name,
        is_good: findings.errors() == 0 && !(how.strict && findings.warnings() > 0),
        found: Ok((text, findings)),
    }
}

/// What keeps receipts from being signed by the file that is to do so.
fn receipt_key(attribution: &AttributionConfig, mode: OnUnset) -> Option<Diagnostic> {
    let ReceiptKey::PrivateKey(file) = &attribution.receipts.as_ref()?.key else {
        return None;
    };
    let error = SigningKey::from_file(&file.path).err()?;
    let is_elsewhere = error.is_absence() && mode == OnUnset::StandIn;
    Some(Diagnostic {
        severity: if is_elsewhere {
            Severity::Warning
        } else {
            Severity::Error
        },
        message: error.to_string(),
        span: file.span,
        path: file.key.clone(),
        hint: None,
    })
}

/// What keeps tokens from being verified by the keys of a file. The gateway goes on without, and says so.
fn key_set(file: &StatedFile, mode: OnUnset) -> Option<Diagnostic> {
    let content = read_small(&file.path);
    let is_elsewhere = content.as_ref().is_err_and(is_absence) && mode == OnUnset::StandIn;
    let why = match content {
        Ok(content) => keys::read(&content).err()?.to_string(),
        Err(error) if is_absence(&error) => "there is no such file".to_owned(),
        Err(error) => format!("it cannot be read: {error}"),
    };
    Some(Diagnostic {
        severity: if is_elsewhere {
            Severity::Warning
        } else {
            Severity::Error
        },
        message: format!("`{}`: {why}", file.path.display()),
        span: file.span,
        path: file.key.clone(),
        hint: None,
    })
}

fn unreadable(error: &FileError) -> String {
    match error {
        FileError::Io(error) => format!("cannot be read: {error}"),
        FileError::NotAFile => {
            format!("{error}; what a command writes is piped in: `| serin check -`")
        }
        _ => error.to_string(),
    }
}

impl Checked {
    fn report(&self) -> Value {
        match &self.found {
            Ok((_, findings)) => render::json(&self.name, findings),
            Err(error) => json!({
                "file": self.name,
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
                "not_shown": 0,
            }),
        }
    }

    fn write(&self, colour: bool, out: &mut dyn Write) -> io::Result<()> {
        let name = &self.name;
        match &self.found {
            Ok((_, findings)) if findings.is_empty() => writeln!(out, "{name}: no problems"),
            Ok((text, findings)) => {
                write!(out, "{}", render::text(name, text, findings, colour))
            }
            Err(error) => writeln!(out, "error: {name}: {error}"),
        }
    }
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
    use super::{How, run};

    fn said(content: &[u8], json: bool) -> (bool, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("routes.yaml");
        std::fs::write(&path, content).expect("a file");
        let mut out = Vec::new();
        let how = How {
            json,
            ..How::default()
        };
        let valid = run(&[path], how, &mut out).expect("written");
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
    fn a_file_of_keys_is_looked_into() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let file = format!(
            "services: {{ a: http://127.0.0.1:1 }}\nroutes: [{{ service: a }}]\nidentity:\n  user_id:\n    - jwt: {{ jwks_file: '{}', issuer: i, audience: a }}\n",
            path.display()
        );
        let told = || said(file.as_bytes(), false);
        let (valid, text) = told();
        assert!(
            valid && text.contains("warning: `") && text.contains("there is no such file"),
            "{text}"
        );
        std::fs::write(&path, "{}").expect("written");
        let (valid, text) = told();
        assert!(
            !valid && text.contains("it is no key set (RFC 7517)\n --> routes.yaml:5:25"),
            "{text}"
        );
        let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        std::fs::write(&path, key).expect("written");
        assert!(told().0);
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        let (valid, text) = said(b"services:\n  a: \xff\n", false);
        assert_eq!(
            (valid, text.as_str()),
            (false, "error: routes.yaml: line 2 is not UTF-8\n")
        );
        let mut out = Vec::new();
        let how = How {
            json: true,
            ..How::default()
        };
        let missing = "/nonexistent/routes.yaml".into();
        assert!(!run(&[missing], how, &mut out).expect("written"));
        let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(json["problems"][0]["severity"], "error");
    }
}
