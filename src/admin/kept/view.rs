//! What an order has come to, as JSON.

use serde::Serialize;
use serde_json::{Value, json};

use super::named;
use crate::admin::events::ChangesView;
use crate::admin::schema::{count, list, object, or_null, reference, text, truth};
use crate::config::diagnostic::Severity;
use crate::config::document::FieldProblem;
use crate::engine::origin::SERIN;
use crate::publisher::flag_keeper::KeptReport;
use crate::snapshot::changes::effects::{DeploymentEffect, Effects, RingEffect, RingState};

/// What an order about a flag or a segment has come to.
#[derive(Debug, Serialize)]
pub(super) struct KeptView<'a> {
    kind: &'static str,
    name: &'a str,
    kept_by: &'static str,
    /// Whether there was none before.
    new: bool,
    changed: bool,
    dry_run: bool,
    recorded_in: &'a [&'static str],
    generation: u64,
    changes: ChangesView<'a>,
    services: Vec<&'a str>,
    deployments: Vec<DeploymentView<'a>>,
    rings: Vec<RingEffectView<'a>>,
    warnings: Vec<FieldProblemView<'a>>,
    /// `null`: it is gone.
    document: Option<&'a Value>,
}

#[derive(Debug, Serialize)]
struct DeploymentView<'a> {
    service: &'a str,
    deployment: &'a str,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Serialize)]
struct RingEffectView<'a> {
    flag: &'a str,
    ring: &'a str,
    before: Option<RingStateView>,
    after: Option<RingStateView>,
    other_audience: bool,
}

#[derive(Debug, Serialize)]
struct RingStateView {
    enabled: bool,
    rollout: String,
}

/// Something that is wrong with a document.
#[derive(Debug, Serialize)]
pub(super) struct FieldProblemView<'a> {
    severity: &'static str,
    message: &'a str,
    path: &'a str,
    pointer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// The schema of [`KeptView`].
pub(in crate::admin) fn schema() -> Value {
    let maybe = || json!({ "type": ["string", "null"] });
    let deployment = object(&[
        ("service", text()),
        ("deployment", text()),
        ("before", maybe()),
        ("after", maybe()),
    ]);
    let state = or_null(&object(&[("enabled", truth()), ("rollout", text())]));
    let ring = object(&[
        ("flag", text()),
        ("ring", text()),
        ("before", state.clone()),
        ("after", state),
        ("other_audience", truth()),
    ]);
    object(&[
        ("kind", json!({ "enum": ["flag", "segment"] })),
        ("name", text()),
        ("kept_by", text()),
        ("new", truth()),
        ("changed", truth()),
        ("dry_run", truth()),
        ("recorded_in", list(&text())),
        ("generation", count()),
        ("changes", json!({ "type": "object" })),
        ("services", list(&text())),
        ("deployments", list(&deployment)),
        ("rings", list(&ring)),
        ("warnings", list(&reference("Diagnostic"))),
        ("document", json!({ "type": ["object", "array", "null"] })),
    ])
}

/// The schema of a document: what `serin schema` prints of `flags` and `segments`.
pub(in crate::admin) fn document_schema() -> Value {
    json!({
        "type": "object",
        "description": "As an entry of `flags` in routes.yaml, in JSON (`serin schema` has every key). `url` may be missing where a registration records one",
    })
}

/// The schema of a segment's document.
pub(in crate::admin) fn segment_schema() -> Value {
    json!({
        "type": ["object", "array"],
        "description": "As an entry of `segments` in routes.yaml, in JSON: one map of conditions or a list of them, all of which must hold",
    })
}

impl<'a> From<&'a FieldProblem> for FieldProblemView<'a> {
    fn from(problem: &'a FieldProblem) -> Self {
        Self {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: &problem.message,
            path: &problem.path,
            pointer: &problem.pointer,
            hint: problem.hint.as_deref(),
        }
    }
}

impl<'a> From<&'a DeploymentEffect> for DeploymentView<'a> {
    fn from(effect: &'a DeploymentEffect) -> Self {
        Self {
            service: &effect.service,
            deployment: &effect.deployment,
            before: effect.before.as_ref().map(ToString::to_string),
            after: effect.after.as_ref().map(ToString::to_string),
        }
    }
}

impl From<RingState> for RingStateView {
    fn from(state: RingState) -> Self {
        Self {
            enabled: state.enabled,
            rollout: state.rollout.to_string(),
        }
    }
}

impl<'a> From<&'a RingEffect> for RingEffectView<'a> {
    fn from(effect: &'a RingEffect) -> Self {
        Self {
            flag: &effect.flag,
            ring: &effect.ring,
            before: effect.before.map(RingStateView::from),
            after: effect.after.map(RingStateView::from),
            other_audience: effect.other_audience,
        }
    }
}

impl<'a> KeptView<'a> {
    /// `is_dry_run`: it is only asked what would come of it.
    pub(super) fn of(report: &'a KeptReport, is_dry_run: bool) -> Self {
        let (kind, name) = named(&report.subject);
        let Effects {
            services,
            deployments,
            rings,
        } = &report.effects;
        Self {
            kind,
            name,
            kept_by: SERIN,
            new: report.is_new,
            changed: report.changed,
            dry_run: is_dry_run,
            recorded_in: report.recorded_in,
            generation: report.generation,
            changes: ChangesView::from(&*report.changes),
            services: services.iter().map(|name| &**name).collect(),
            deployments: deployments.iter().map(DeploymentView::from).collect(),
            rings: rings.iter().map(RingEffectView::from).collect(),
            warnings: report.warnings.iter().map(FieldProblemView::from).collect(),
            document: report.document.as_ref().map(|document| document.json()),
        }
    }
}
