//! Which flags are whose, and in which order they are asked.

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::registered::Registered;
use crate::engine::Flag;
use crate::indexed::Indexed;
use crate::route::ServiceIndex;
use crate::snapshot::claims::Claims;
use crate::snapshot::recorded;
use crate::snapshot::seniority::Seniority;

/// A flag that a service has, and the position of the first entry of the service's `canaries` that matches it.
type OwnedFlag<'a> = (usize, &'a Arc<Flag>);

/// The flags of every service that record an upstream for it, or that one is registered for.
pub(super) struct Ownership<'a> {
    /// By service, in order of precedence.
    pub(super) owned: Indexed<ServiceIndex, Vec<OwnedFlag<'a>>>,
    /// What keeps flags from being canaries that were to be, in words.
    pub(super) disputes: Vec<String>,
}

impl<'a> Ownership<'a> {
    /// Gives every flag to the service that has the best claim to it.
    pub(super) fn of(
        claims: &Claims<'_>,
        seniority: &Seniority,
        flags: &'a [Arc<Flag>],
        registered: &Registered<'_>,
    ) -> Self {
        let services = claims.services().iter();
        let mut owned: Indexed<ServiceIndex, Vec<OwnedFlag<'_>>> =
            services.map(|_| Vec::new()).collect();
        let mut disputes = Vec::new();
        for flag in flags {
            let is_of_use = recorded::is_of_use(flag) || registered.gives(flag);
            if !is_of_use && recorded::nearly(flag).next().is_none() {
                continue;
            }
            match claims.of(flag) {
                Ok(Some(entry)) => {
                    let nearly = recorded::nearly(flag);
                    let name = claims.name(entry.service);
                    disputes.extend(nearly.map(|(variant, why)| {
                        format!(
                            "flag {} looks like a canary of {name}, but variant {variant:?} leads nowhere: {why}",
                            flag.name
                        )
                    }));
                    if is_of_use && let Some(owned) = owned.get_mut(entry.service) {
                        owned.push((entry.rank, flag));
                    }
                }
                Ok(None) => {}
                Err(why) => {
                    disputes.push(format!("flag {} {why}: nobody is sent there", flag.name));
                }
            }
        }
        for (service, flags) in owned.entries_mut() {
            order(flags, seniority.of(claims.name(service)));
        }
        Self { owned, disputes }
    }
}

/// By the entries of `canaries`, then by priority, then those that ran first, in their order, then by name.
fn order(flags: &mut [OwnedFlag<'_>], seniors: &[Arc<str>]) {
    let places: FxHashMap<&str, usize> = seniors.iter().map(|name| &**name).zip(0..).collect();
    let place = |flag: &Flag| places.get(&*flag.name).copied().unwrap_or(usize::MAX);
    flags.sort_by(|(a, one), (b, other)| {
        let ranks = (a, Reverse(one.priority)).cmp(&(b, Reverse(other.priority)));
        let places = || place(one).cmp(&place(other));
        ranks
            .then_with(places)
            .then_with(|| one.name.cmp(&other.name))
    });
}
