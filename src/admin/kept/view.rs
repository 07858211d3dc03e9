//! What an order has come to, as JSON.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::document::PutDocument;
use super::named;
use crate::admin::diagnostic::DiagnosticView;
use crate::admin::events::ChangesView;
use crate::engine::origin::SERIN;
use crate::publisher::flag_keeper::KeptReport;
use crate::snapshot::changes::effects::{DeploymentEffect, Effects, RingEffect, RingState};
use crate::source::unleash::SwitchedRing;

/// What an order about a flag or a segment has come to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kept")]
pub(in crate::admin) struct KeptView<'a> {
    #[schemars(extend("enum" = ["flag", "segment"]))]
    kind: &'static str,
    name: &'a str,
    /// `serin`, or the flag server's name.
    kept_by: &'a str,
    /// Whether there was none before.
    new: bool,
    changed: bool,
    dry_run: bool,
    recorded_in: &'a [&'static str],
    generation: u64,
    /// The flags that the snapshot made of it does not have in common with the one before; `null`: another server will say.
    changes: Option<ChangesView<'a>>,
    services: Vec<&'a str>,
    deployments: Vec<DeploymentView<'a>>,
    rings: Vec<RingEffectView<'a>>,
    warnings: Vec<DiagnosticView>,
    /// `null`: it is gone.
    #[schemars(with = "Option<PutDocument>")]
    document: Option<&'a Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeploymentEffect")]
struct DeploymentView<'a> {
    service: &'a str,
    deployment: &'a str,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RingEffect")]
struct RingEffectView<'a> {
    flag: &'a str,
    ring: &'a str,
    before: Option<RingStateView>,
    after: Option<RingStateView>,
    other_audience: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RingState")]
struct RingStateView {
    enabled: bool,
    rollout: String,
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
            changes: Some(ChangesView::from(&*report.changes)),
            services: services.iter().map(|name| &**name).collect(),
            deployments: deployments.iter().map(DeploymentView::from).collect(),
            rings: rings.iter().map(RingEffectView::from).collect(),
            warnings: report.warnings.iter().map(DiagnosticView::from).collect(),
            document: report.document.as_ref().map(|document| document.json()),
        }
    }
    /// Of a ring that was switched on the server that keeps its flag; effects are that server's to say.
    pub(super) fn of_ring(
        server: &'a str,
        flag: &'a str,
        switched: &'a SwitchedRing,
        (generation, is_dry_run): (u64, bool),
    ) -> Self {
        let mut warnings = switched.warnings.clone();
        if switched.is_changed && !switched.is_in_force && !is_dry_run {
            warnings.push(
                "Unleash has it, but has not told this gateway yet: it decides by it after the next poll".to_owned(),
            );
        }
        Self {
            kind: "flag",
            name: flag,
            kept_by: server,
            new: false,
            changed: switched.is_changed,
            dry_run: is_dry_run,
            recorded_in: if is_dry_run { &[] } else { &["unleash"] },
            generation,
            changes: None,
            services: Vec::new(),
            deployments: Vec::new(),
            rings: Vec::new(),
            warnings: warnings.into_iter().map(DiagnosticView::warning).collect(),
            document: None,
        }
    }
}
