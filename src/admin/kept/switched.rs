//! Rings of flags that an Unleash server keeps are strategies there, and switched there.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::refusal::kept_by;
use super::terms::Terms;
use super::view::KeptView;
use crate::admin::AdminState;
use crate::admin::problem::Problem;
use crate::audit::actor::Actor as Signature;
use crate::audit::entry::{ALL_GATEWAYS, Action, Deed};
use crate::config::kept::ring::RingChange;
use crate::events::{EventKind, KeptAction};
use crate::publisher::flag_keeper::{Keeper, Precondition};
use crate::source::unleash::{self, SwitchError};

/// What is to be switched.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Ring {
    /// The flag's name.
    pub(in crate::admin) flag: String,
    /// The ring's.
    pub(in crate::admin) ring: String,
    /// What is to be otherwise about it.
    pub(in crate::admin) change: RingChange,
}

/// Switches a ring on the server that keeps its flag, on a task of its own: what has begun is carried through.
pub(in crate::admin) async fn switch(
    state: Arc<AdminState>,
    server: Arc<str>,
    ring: Ring,
    terms: Terms,
    actor: Signature,
) -> Result<Response, Problem> {
    if terms.precondition != Precondition::None {
        let detail =
            "a flag of Unleash has no entity tag here: leave If-Match and If-None-Match out";
        return Err(Problem::new(412, detail));
    }
    let place = state.bounds.order()?;
    let is_dry_run = terms.is_dry_run;
    let (servers, wanted, name) = (state.flag_servers.clone(), ring.clone(), server.clone());
    let events = state.publisher.events().clone();
    let switched = tokio::spawn(async move {
        let _place = place;
        let change = unleash::RingChange {
            enabled: wanted.change.enabled,
            rollout: wanted.change.rollout.map(|share| share.to_string()),
        };
        let ring = (wanted.flag.as_str(), wanted.ring.as_str());
        let switched = servers.switch_ring(&name, ring, &change, is_dry_run).await;
        if !is_dry_run && switched.as_ref().is_ok_and(|switched| switched.is_changed) {
            events.emit(EventKind::Kept {
                kind: "flag",
                name: wanted.flag.as_str().into(),
                action: KeptAction::Ring {
                    ring: wanted.ring.as_str().into(),
                    enabled: wanted.change.enabled,
                    rollout: wanted.change.rollout,
                },
                by: actor.by(),
            });
            let deed = deed(&name, &wanted, actor);
            events.audit().record(deed).written().await;
        }
        switched
    });
    match switched.await {
        Ok(Ok(switched)) => {
            let generation = state.publisher.store().load().generation;
            let view = KeptView::of_ring(&server, &ring.flag, &switched, (generation, is_dry_run));
            Ok(Json(view).into_response())
        }
        Ok(Err(error)) => Err(refusal(&error, server, &ring)),
        Err(panic) => Err(Problem::new(500, panic.to_string())),
    }
}

/// The entry of the audit trail. What it was before is Unleash's to say, whose own log has it.
fn deed(server: &str, Ring { flag, ring, change }: &Ring, actor: Signature) -> Deed {
    let rollout = change.rollout.map(|share| share.to_string());
    let after = json!({ "kept_by": server, "enabled": change.enabled, "rollout": rollout });
    let deed = Deed::new(actor, Action::ChangeRing, format!("{flag}/{ring}"));
    deed.changing(Value::Null, after).in_scope(ALL_GATEWAYS)
}

fn refusal(error: &SwitchError, server: Arc<str>, ring: &Ring) -> Problem {
    let status = match error {
        SwitchError::NoToken { .. } => {
            let keeper = Keeper::Unleash(server);
            return kept_by(&keeper, "flag", &ring.flag, Some(&ring.ring));
        }
        SwitchError::NoServer(_) | SwitchError::NoFlag(_) | SwitchError::NoRing(_) => 404,
        SwitchError::Ambiguous(_) | SwitchError::Forbidden(_) => 409,
        SwitchError::Refused(_) => 422,
        SwitchError::Unavailable(_) => 503,
    };
    Problem::new(status, error.to_string()).kept_by(&server)
}
