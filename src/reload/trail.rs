//! What the audit trail gets to know of reloads.

use serde_json::{Value, json};

use super::{History, ReloadFailure, ReloadReport, ReloadTrigger, Reloader};
use crate::audit::actor::Actor;
use crate::audit::entry::{Action, Deed};
use crate::config::diagnostic::Severity;
use crate::digest::Digest;

impl Reloader {
    /// What is in force, as the audit trail has it.
    pub(super) fn in_force(&self) -> Value {
        let running = self.publisher.store().load();
        json!({ "generation": running.generation, "digest": running.digest.to_string() })
    }

    /// Notes a reload that came because the file changed.
    pub(super) fn note_change(
        &self,
        before: Value,
        result: &Result<ReloadReport, ReloadFailure>,
        history: &History,
    ) {
        let cause = ReloadTrigger::Changed;
        self.note(cause, result);
        let deed = self.deed(Actor::gateway(), before, result, history);
        let deed = deed.because(Some(cause.as_str().to_owned()));
        self.publisher.events().audit().record(deed).let_go();
    }

    /// The entry of a reload. Of errors it has the number and the places: the file's own words may be secrets.
    pub(super) fn deed(
        &self,
        actor: Actor,
        before: Value,
        result: &Result<ReloadReport, ReloadFailure>,
        history: &History,
    ) -> Deed {
        let file = Digest(history.judged).to_string();
        let after = match result {
            Ok(report) => json!({
                "result": "ok", "generation": report.generation, "digest": report.digest.to_string(),
                "changed": report.is_new, "file_sha256": file,
            }),
            Err(ReloadFailure::Invalid(problems)) => {
                let errors = problems.iter();
                let errors = errors.filter(|problem| problem.severity == Severity::Error);
                let places: Vec<Value> = errors
                    .take(10)
                    .map(|error| json!({ "line": error.span.line, "column": error.span.column }))
                    .collect();
                json!({ "result": "invalid", "errors": problems.errors(), "at": places, "file_sha256": file })
            }
            Err(failure) => json!({ "result": failure.as_str() }),
        };
        let object = self.path.display().to_string();
        Deed::new(actor, Action::Reload, object).changing(before, after)
    }
}
