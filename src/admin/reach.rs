//! What operations are about, and so what a token that is for some services may have of them.

use super::actor::Actor;
use super::problem::Problem;
use crate::snapshot::Snapshot;

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing that runs: it is the same for everybody.
    Nothing,
    /// One service, which the path names.
    Service,
    /// One flag, which the path names.
    Flag,
    /// Every service; the operation itself leaves out what is not for the token's.
    Filtered,
    /// The gateway, or every service in one.
    Gateway,
}

impl Reach {
    /// That of the operations at a path. Whatever is not listed is for tokens without `services` alone.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/api/v1/openapi.json" | "/api/v1/config/check" => Self::Nothing,
            "/api/v1/services"
            | "/api/v1/flags"
            | "/api/v1/events"
            | "/api/v1/audit"
            | "/api/v1/explain"
            | "/api/v1/exposures"
            | "/api/v1/exposures/stats" => Self::Filtered,
            "/api/v1/flags/{name}" | "/api/v1/flags/{name}/rings/{ring}" => Self::Flag,
            path if path.contains("/{service}") => Self::Service,
            _ => Self::Gateway,
        }
    }
}

/// The services that a flag of this name is for, or could be by its name: whatever it says, no other's users follow it.
pub(super) fn services_of<'s>(
    snapshot: &'s Snapshot,
    flag: &'s str,
) -> impl Iterator<Item = &'s str> {
    let services = snapshot.services.iter();
    let concerned = services.filter(move |service| {
        let shutoff = service.shutoff.as_ref();
        service.canaries.iter().any(|glob| glob.matches(flag))
            || shutoff.is_some_and(|shutoff| *shutoff.name == *flag)
    });
    concerned.map(|service| &*service.name)
}

impl Actor {
    /// Whether their token is for a service.
    pub(super) fn is_for(&self, service: &str) -> bool {
        let own = self.services.as_deref();
        own.is_none_or(|own| own.iter().any(|own| **own == *service))
    }

    /// Whether they may see a flag: it is for one of their services, among others perhaps.
    pub(super) fn may_see_flag(&self, flag: &str, snapshot: &Snapshot) -> bool {
        self.services.is_none() || services_of(snapshot, flag).any(|service| self.is_for(service))
    }

    /// Whether they may change a flag: it is for their services alone.
    ///
    /// # Errors
    /// Whose it is, too.
    pub(super) fn may_change_flag(&self, flag: &str, snapshot: &Snapshot) -> Result<(), Problem> {
        let mut others = services_of(snapshot, flag).filter(|service| !self.is_for(service));
        let why = match others.next() {
            Some(other) => format!("`{flag}` is for {other:?}, too"),
            None if self.may_see_flag(flag, snapshot) => return Ok(()),
            None => format!("`{flag}` is for none of them: no `canaries` of theirs match it"),
        };
        Err(self.is_for_some_only(&why))
    }

    /// Refuses what is not for their services alone.
    pub(super) fn is_for_some_only(&self, why: &str) -> Problem {
        let names = self.services.as_deref().unwrap_or_default().join(", ");
        Problem::new(403, format!("the token {self} is for {names} only: {why}"))
    }
}
