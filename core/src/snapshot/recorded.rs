//! What a flag's definition records about upstreams.

use crate::cluster::UpstreamUrl;
use crate::engine::{CanaryUrl, Flag, STABLE};

/// The variants that are canaries, by name and URL.
pub(super) fn canaries(flag: &Flag) -> impl Iterator<Item = (&str, &CanaryUrl)> {
    flag.every_variant()
        .filter(|variant| *variant.name != *STABLE)
        .filter_map(|variant| Some((&*variant.name, variant.url.as_ref()?)))
}

/// The URLs that the flag gives for its service's stable deployment, and that are allowed.
pub(super) fn stables(flag: &Flag) -> impl Iterator<Item = &UpstreamUrl> {
    flag.every_variant()
        .filter(|variant| *variant.name == *STABLE)
        .filter_map(|variant| variant.url.as_ref()?.allowed())
}

/// Whether the flag is a canary flag: one of its variants, or the flag itself, says where its users go, and they may go
/// there. A flag that records nothing but where stable is, or whose every URL is refused, takes no users from the canary
/// flags behind it.
pub(super) fn is_canary(flag: &Flag) -> bool {
    let own = flag.url.iter().filter(|_| flag.variants.is_none());
    let mut urls = own.chain(canaries(flag).map(|(_, url)| url));
    urls.any(|url| url.allowed().is_some())
}

/// Whether the flag means anything to a service.
pub(super) fn is_of_use(flag: &Flag) -> bool {
    is_canary(flag) || stables(flag).next().is_some()
}

/// The variants whose payloads nearly say where users go, with what keeps them from it.
pub(super) fn nearly(flag: &Flag) -> impl Iterator<Item = (&str, &str)> {
    let variants = flag.every_variant();
    variants.filter_map(|variant| Some((&*variant.name, variant.nearly.as_deref()?)))
}

/// The service that its payloads name.
pub(super) fn service(flag: &Flag) -> Stated<'_> {
    let mut names = flag
        .every_variant()
        .filter_map(|variant| variant.service.as_deref());
    match names.next() {
        None => Stated::Nothing,
        Some(first) => match names.find(|other| *other != first) {
            None => Stated::Service(first),
            Some(other) => Stated::Several(first, other),
        },
    }
}

/// What payloads say about the service that they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stated<'a> {
    /// None says anything.
    Nothing,
    /// All that say anything say this.
    Service(&'a str),
    /// Two of them say different things.
    Several(&'a str, &'a str),
}
