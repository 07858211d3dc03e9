//! What the audit trail gets to know of registrations.

use serde_json::Value;

use super::Registrar;
use super::order::Effect;
use crate::audit::Receipt;
use crate::audit::actor::Actor;
use crate::audit::entry::{Action, Deed};
use crate::registry::registrations::Name;
use crate::registry::registrations::record::Record;
use crate::state::Stored;

/// What was registered before a change and after it.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    before: Value,
    after: Value,
}

impl Difference {
    pub(super) fn of(before: Option<&Record>, after: Option<&Record>) -> Self {
        let summary = |record: Option<&Record>| record.map_or(Value::Null, Record::summary);
        Self {
            before: summary(before),
            after: summary(after),
        }
    }

    /// Where the canary was.
    pub(super) fn url(&self) -> &str {
        let url = self.before.get("url").and_then(Value::as_str);
        url.unwrap_or_default()
    }
}

impl Registrar {
    /// Enters a change in the audit trail.
    pub(super) fn enter(
        &self,
        (service, canary): &Name,
        action: Action,
        actor: &Actor,
        differs: Difference,
        stored: Stored,
    ) -> Receipt {
        let deed = Deed::new(actor.clone(), action, &**canary).of_service(service.clone());
        let deed = deed.changing(differs.before, differs.after);
        let audit = self.publisher.events().audit();
        audit.record(deed.in_scope(stored.scope()))
    }
}

impl Effect {
    /// What it is called in the audit trail.
    pub(super) fn action(self) -> Action {
        match self {
            Self::Registered => Action::Register,
            // A renewal that changes nothing else is not entered.
            Self::Renewed | Self::Changed => Action::ChangeRegistration,
            Self::Moving => Action::MoveRegistration,
        }
    }
}
