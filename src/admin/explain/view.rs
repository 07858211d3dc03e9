//! An explanation as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::lane::LaneView;
use super::now::{Circumstances, NowView};
use super::overriding::OverridingView;
use super::token::TokenView;
use crate::canary::ReasonKind;
use crate::decide::Reason;
use crate::decide::explain::Explanation;
use crate::dispatch::Explained;
use crate::engine::ParentState;
use crate::engine::condition::{Condition, FieldValue};
use crate::engine::evaluation::RingVerdict;
use crate::engine::trace::{ConditionRecord, DependencyRecord, FlagRecord, Purpose, RingRecord};
use crate::route::Action;
use crate::snapshot::{DeploymentIndex, Service, Snapshot};

/// What would be done with a request.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DecisionExplanation")]
pub struct ExplanationView {
    generation: u64,
    digest: String,
    route: String,
    #[schemars(extend("enum" = ["forward", "redirect", "respond"]))]
    action: &'static str,
    /// What comes of the token that the request shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Decision")]
struct DecisionView {
    service: String,
    assigned: String,
    flag: Option<String>,
    variant: Option<String>,
    #[schemars(extend("enum" = ReasonKind::ALL.map(ReasonKind::as_str)))]
    reason: &'static str,
    ring: Option<String>,
    randomised: bool,
    /// What the request's baggage says of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<LaneView>,
    /// What the overrides that the request shows come to.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    overriding: Option<OverridingView>,
    flags: Vec<FlagView>,
    preempted: Vec<PreemptedView>,
    /// The flag that shuts the service off for this user.
    shut_off_by: Option<String>,
    /// What would be served now, on a running gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<NowView>,
    /// The same for people.
    text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AskedFlag")]
struct FlagView {
    flag: String,
    /// Who keeps it: `file`, `serin`, `registration`, or the flag server's name.
    source: String,
    enabled: bool,
    on: bool,
    variant: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<DependencyView>,
    rings: Vec<RingView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AskedDependency")]
struct DependencyView {
    flag: String,
    enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variants: Vec<String>,
    met: bool,
    /// How that flag answered; nothing when there is no such flag.
    answer: Option<FlagView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AskedRing")]
struct RingView {
    ring: String,
    #[schemars(extend("enum" = ["decide", "compare"]))]
    purpose: &'static str,
    held: bool,
    #[schemars(extend("enum" = ["switched_off", "unmet", "nobody", "no_id", "missed", "hit", "everybody"]))]
    verdict: &'static str,
    rollout: RolloutView,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<ConditionView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rollout")]
struct RolloutView {
    share: String,
    group: String,
    id: Option<String>,
    position: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Step")]
struct ConditionView {
    condition: String,
    held: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Option<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<ConditionView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Preempted")]
struct PreemptedView {
    flag: String,
    deployment: String,
}

impl ExplanationView {
    /// The service that it is about.
    pub(super) fn service(&self) -> Option<&str> {
        Some(&self.decision.as_ref()?.service)
    }

    pub(super) fn new(
        snapshot: &Snapshot,
        explained: &Explained<'_>,
        meets: Option<Circumstances<'_>>,
    ) -> Self {
        Self {
            generation: snapshot.generation,
            digest: snapshot.digest.to_string(),
            route: explained.route.name.to_string(),
            action: match explained.route.action {
                Action::Forward(_) => "forward",
                Action::Redirect(_) => "redirect",
                Action::Respond(_) => "respond",
            },
            token: None,
            decision: explained
                .decision
                .as_ref()
                .map(|explanation| DecisionView::new(explained, explanation, meets)),
        }
    }

    /// The same, where this comes of the request's token: one that is refused for it is decided nothing of.
    pub(super) fn with_token(self, token: Option<TokenView>) -> Self {
        let is_refused = token.as_ref().is_some_and(TokenView::is_refused);
        Self {
            token,
            decision: self.decision.filter(|_| !is_refused),
            ..self
        }
    }
}

impl DecisionView {
    fn new(
        explained: &Explained<'_>,
        explanation: &Explanation<'_>,
        meets: Option<Circumstances<'_>>,
    ) -> Self {
        let now = meets.map(|meets| NowView::new(explained, explanation, meets));
        let mut text = explanation.to_string();
        if let Some(flag) = explained.shut_off_by {
            text.push_str(&format!("shut off by {flag}: the service is not asked\n"));
        }
        text.extend(now.as_ref().map(NowView::in_words));
        let decision = &explanation.decision;
        let deciding = explanation.deciding_flag();
        let ring = match decision.reason {
            Reason::Audience(_, index) => deciding.and_then(|record| record.flag.ring(index)),
            Reason::Plain(_) => None,
        };
        let preempted = explanation.preempted.iter().map(|later| PreemptedView {
            flag: later.flag.name.to_string(),
            deployment: deployment(explanation.service, later.deployment),
        });
        Self {
            service: explanation.service.name.to_string(),
            assigned: explanation.assigned().to_owned(),
            flag: explanation.flag().map(|flag| flag.name.to_string()),
            variant: explanation.variant().map(str::to_owned),
            reason: decision.reason.kind().as_str(),
            ring: ring.map(|ring| ring.name.to_string()),
            randomised: decision.randomised,
            lane: explanation.lane.as_ref().map(LaneView::from),
            overriding: OverridingView::new(&explanation.overriding),
            flags: explanation.asked.iter().map(FlagView::from).collect(),
            preempted: preempted.collect(),
            shut_off_by: explained.shut_off_by.map(str::to_owned),
            now,
            text,
        }
    }
}

fn deployment(service: &Service, index: DeploymentIndex) -> String {
    service.deployments.get(index).name.to_string()
}

fn variant(record: &FlagRecord<'_>) -> Option<String> {
    let variant = record.flag.variant(record.evaluation.variant?)?;
    Some(variant.name.to_string())
}

impl From<&FlagRecord<'_>> for FlagView {
    fn from(record: &FlagRecord<'_>) -> Self {
        Self {
            flag: record.flag.name.to_string(),
            source: record.flag.origin.source().to_owned(),
            enabled: record.flag.enabled,
            on: record.evaluation.on,
            variant: variant(record),
            dependencies: record
                .dependencies
                .iter()
                .map(DependencyView::from)
                .collect(),
            rings: record.rings.iter().map(RingView::from).collect(),
        }
    }
}

impl From<&DependencyRecord<'_>> for DependencyView {
    fn from(record: &DependencyRecord<'_>) -> Self {
        let dependency = record.dependency;
        let variants = dependency.variants.iter();
        Self {
            flag: dependency.name.to_string(),
            enabled: dependency.state != ParentState::Off,
            variants: variants.map(ToString::to_string).collect(),
            met: record.met,
            answer: record.parent.as_ref().map(FlagView::from),
        }
    }
}

impl From<&RingRecord<'_>> for RingView {
    fn from(record: &RingRecord<'_>) -> Self {
        let (verdict, placement) = match record.verdict {
            RingVerdict::Off => ("switched_off", None),
            RingVerdict::Unmet => ("unmet", None),
            RingVerdict::Nobody => ("nobody", None),
            RingVerdict::NoId => ("no_id", None),
            RingVerdict::Missed(placement) => ("missed", Some(placement)),
            RingVerdict::Hit(placement) => ("hit", Some(placement)),
            RingVerdict::Everybody => ("everybody", None),
        };
        let rollout = &record.ring.rollout;
        let id = placement.and_then(|placement| placement.id);
        Self {
            ring: record.ring.name.to_string(),
            purpose: match record.purpose {
                Purpose::Decide => "decide",
                Purpose::Compare => "compare",
            },
            held: record.verdict.holds(),
            verdict,
            rollout: RolloutView {
                share: rollout.share.to_string(),
                group: rollout.bucketing.hashed_with().into_owned(),
                id: id.map(|id| id.to_string()),
                position: placement.map(|placement| placement.position.to_string()),
            },
            condition: record
                .condition
                .as_ref()
                .filter(|record| !is_empty(record))
                .map(ConditionView::from),
        }
    }
}

/// A ring without conditions.
fn is_empty(record: &ConditionRecord<'_>) -> bool {
    matches!(
        record,
        ConditionRecord::Group { condition: Condition::All(parts), .. } if parts.is_empty()
    )
}

impl From<&ConditionRecord<'_>> for ConditionView {
    fn from(record: &ConditionRecord<'_>) -> Self {
        match record {
            ConditionRecord::Test {
                constraint,
                seen,
                held,
            } => Self {
                condition: constraint.to_string(),
                held: *held,
                seen: Some(shown(*seen)),
                steps: Vec::new(),
            },
            ConditionRecord::Group {
                condition,
                parts,
                held,
            } => Self {
                condition: title(condition),
                held: *held,
                seen: None,
                steps: parts.iter().map(Self::from).collect(),
            },
        }
    }
}

/// What a condition with parts is called; the parts stand below it.
fn title(condition: &Condition) -> String {
    match condition {
        Condition::All(_) => "all of".to_owned(),
        Condition::Any(_) => "any of".to_owned(),
        Condition::Not(_) => "not".to_owned(),
        _ => condition.to_string(),
    }
}

fn shown(seen: FieldValue<'_>) -> Option<String> {
    match seen {
        FieldValue::Missing => None,
        FieldValue::Text(text) => Some(text.to_owned()),
        FieldValue::Address(address) => Some(address.to_string()),
        FieldValue::Moment(moment) => Some(moment.to_string()),
    }
}
