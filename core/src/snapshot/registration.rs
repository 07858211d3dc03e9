//! Upstreams that no flag carries: a pipeline or a canary registered them for a flag, perhaps for a time.

use std::sync::Arc;

use super::Candidate;
use crate::canary::Withdrawal;
use crate::cluster::UpstreamUrl;
use crate::context::Moment;
use crate::engine::CanaryUrl;

/// One upstream that was registered for a flag. The flag alone says who its users are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The service that it is for; `None`: the one that the flag belongs to.
    pub service: Option<Arc<str>>,
    /// The flag.
    pub flag: Arc<str>,
    /// The variant that leads there; `None`: the flag itself, or the one variant that it has beside `stable`.
    pub variant: Option<Arc<str>>,
    /// Where the canary is.
    pub url: UpstreamUrl,
    /// Where else the flag's variants may say that it is, because Serin wrote so there before the canary moved.
    pub written: Vec<UpstreamUrl>,
    /// Who registered it, for people.
    pub registrar: Arc<str>,
    /// When it ends: at this moment it is over. `None`: it has no end.
    pub until: Option<Moment>,
    /// Whether its first health check has passed.
    pub is_ready: bool,
}

/// A registered upstream that a canary flag uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredUrl {
    /// The variant that leads there; `None`: the flag itself.
    pub variant: Option<Arc<str>>,
    /// Where it leads. Assembly uses none that `canary_urls` refuses.
    pub url: CanaryUrl,
    /// What variants of the flag carry and no more lead to: Serin wrote it there before the canary moved.
    pub instead_of: Vec<UpstreamUrl>,
}

/// What one flag uses of all registrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FlagRegistrations {
    /// The upstreams that the flag itself does not carry.
    pub(super) urls: Vec<RegisteredUrl>,
    /// The earliest end of the registrations that are used.
    pub(super) until: Option<Moment>,
    /// Whether one of them has not passed its first health check.
    pub(super) is_checking: bool,
}

impl FlagRegistrations {
    /// That of a flag that nothing is registered for.
    pub(super) const NONE: Self = Self {
        urls: Vec::new(),
        until: None,
        is_checking: false,
    };

    /// The upstream of a variant, or of the flag itself.
    pub(super) fn url(&self, variant: Option<&str>) -> Option<&CanaryUrl> {
        let mut urls = self.urls.iter();
        let found = urls.find(|registered| registered.variant.as_deref() == variant);
        found.map(|registered| &registered.url)
    }

    /// The upstream that counts instead of what a variant carries; `None`: that itself counts.
    pub(super) fn instead_of(&self, carried: &CanaryUrl) -> Option<&CanaryUrl> {
        let carried = carried.allowed()?;
        let mut urls = self.urls.iter();
        let found = urls.find(|registered| registered.instead_of.contains(carried));
        found.map(|registered| &registered.url)
    }
}

impl Candidate {
    /// Why its canaries get no users at a moment, whatever its flag says; `None`: they get them. A kill is named before the
    /// end of a registration, and that before a health check that has not passed.
    pub fn withdrawal_at(&self, moment: Moment) -> Option<Withdrawal> {
        let is_over = self.until.is_some_and(|end| moment >= end);
        let over = is_over.then_some(Withdrawal::LeaseOver);
        let checking = self.is_checking.then_some(Withdrawal::NotReady);
        self.withdrawn.or(over).or(checking)
    }
}
