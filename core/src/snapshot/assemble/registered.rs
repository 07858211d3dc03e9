//! Which registered upstreams flags use. What a flag carries itself counts before what is registered for it.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

use crate::cluster::UpstreamUrl;
use crate::cluster::policy::UrlPolicy;
use crate::digest::Digest;
use crate::engine::{CanaryUrl, Flag, STABLE};
use crate::snapshot::claims::Claims;
use crate::snapshot::recorded;
use crate::snapshot::registration::{FlagRegistrations, RegisteredUrl, Registration};

/// What flags use of the registrations.
#[derive(Default)]
pub(super) struct Registered<'a> {
    by_flag: FxHashMap<&'a str, FlagRegistrations>,
    /// The registrations that are not used, in words.
    pub(super) problems: Vec<String>,
}

impl<'a> Registered<'a> {
    /// Finds the place of every registration. `flags` are all there are, by name. Of two registrations for one place
    /// the first counts.
    pub(super) fn of(
        registrations: &'a [Registration],
        flags: &[Arc<Flag>],
        claims: &Claims<'_>,
        policy: &UrlPolicy,
    ) -> Self {
        let mut registered = Self::default();
        for one in registrations {
            if let Err(why) = registered.add(one, flags, claims, policy) {
                registered.problems.push(format!(
                    "{} registered {} for {}, which is not used: {why}",
                    one.registrar, one.url, one.flag
                ));
            }
        }
        registered
    }

    /// What a flag uses.
    pub(super) fn get(&self, flag: &Flag) -> &FlagRegistrations {
        self.by_flag
            .get(&*flag.name)
            .unwrap_or(const { &FlagRegistrations::NONE })
    }

    /// Whether a flag uses a registered upstream.
    pub(super) fn gives(&self, flag: &Flag) -> bool {
        !self.get(flag).urls.is_empty()
    }

    fn add(
        &mut self,
        one: &'a Registration,
        flags: &[Arc<Flag>],
        claims: &Claims<'_>,
        policy: &UrlPolicy,
    ) -> Result<(), String> {
        let place = flags.binary_search_by(|flag| flag.name.cmp(&one.flag));
        let flag = place.ok().and_then(|place| flags.get(place));
        let flag = flag.ok_or("there is no flag of that name, so it has no users")?;
        check_service(one, flag, claims)?;
        policy
            .check(&one.url)
            .map_err(|refusal| refusal.to_string())?;
        let variant = variant_of(one, flag)?;
        let uses = self.by_flag.entry(&one.flag).or_default();
        let instead_of = outdated(one, flag);
        let known = carried(flag, variant).or_else(|| uses.url(variant));
        match known {
            Some(CanaryUrl::Allowed(known)) if instead_of.contains(known) => {}
            Some(CanaryUrl::Allowed(known)) if *known == one.url => {}
            Some(known) => return Err(preceded(known, carried(flag, variant).is_some())),
            None => {}
        }
        if known.is_none() || !instead_of.is_empty() {
            uses.urls.push(RegisteredUrl {
                variant: variant.map(Arc::from),
                url: CanaryUrl::Allowed(one.url.clone()),
                instead_of,
            });
        }
        uses.until = match (uses.until, one.until) {
            (Some(earlier), Some(end)) => Some(earlier.min(end)),
            (earlier, end) => earlier.or(end),
        };
        uses.is_checking |= !one.is_ready;
        Ok(())
    }
}

/// A registration is used only in the service that its flag belongs to.
fn check_service(one: &Registration, flag: &Flag, claims: &Claims<'_>) -> Result<(), String> {
    if let Some(stated) = one.service.as_deref()
        && !claims.services().contains(&stated)
    {
        return Err(format!("there is no service {stated:?}"));
    }
    let owner = match claims.of(flag) {
        Ok(Some(claim)) => claims.name(claim.service),
        Ok(None) => return Err("no service's `canaries` match the flag".to_owned()),
        Err(why) => return Err(format!("the flag {why}")),
    };
    match one.service.as_deref() {
        Some(stated) if stated != owner => Err(format!(
            "it is for {stated}, and the flag belongs to {owner}"
        )),
        _ => Ok(()),
    }
}

/// The variant that is to lead to a registered upstream; `None`: the flag itself.
fn variant_of<'f>(one: &Registration, flag: &'f Flag) -> Result<Option<&'f str>, String> {
    let mut names = flag
        .every_variant()
        .map(|variant| &*variant.name)
        .filter(|name| *name != STABLE);
    let Some(stated) = one.variant.as_deref() else {
        if flag.variants.is_none() {
            return Ok(None);
        }
        let first = names.next().ok_or("the flag has no variant but stable")?;
        return match names.find(|other| *other != first) {
            None => Ok(Some(first)),
            Some(other) => Err(format!(
                "it names no variant, and the flag has several, {first:?} and {other:?}"
            )),
        };
    };
    if stated == STABLE {
        return Err("the variant \"stable\" is no canary".to_owned());
    }
    let found = names.find(|name| *name == stated);
    found
        .map(Some)
        .ok_or_else(|| format!("the flag has no variant {stated:?}"))
}

/// The upstream that the flag itself carries there. Rings may give a variant several: one that is allowed comes first.
fn carried<'f>(flag: &'f Flag, variant: Option<&str>) -> Option<&'f CanaryUrl> {
    let Some(name) = variant else {
        return flag.url.as_ref();
    };
    let urls = || {
        flag.every_variant()
            .filter(move |variant| *variant.name == *name)
            .filter_map(|variant| variant.url.as_ref())
    };
    urls()
        .find(|url| url.allowed().is_some())
        .or_else(|| urls().next())
}

/// What canaries of a flag carry that Serin wrote there itself, and that the registration has left since.
fn outdated(one: &Registration, flag: &Flag) -> Vec<UpstreamUrl> {
    let carried = recorded::canaries(flag).filter_map(|(_, url)| url.allowed());
    let outdated = carried.filter(|url| **url != one.url && one.written.contains(url));
    outdated.cloned().collect()
}

fn preceded(by: &CanaryUrl, is_the_flags: bool) -> String {
    match (by, is_the_flags) {
        (CanaryUrl::Allowed(url), true) => format!("the flag itself carries {url}"),
        (CanaryUrl::Allowed(url), false) => format!("{url} was registered before it"),
        (CanaryUrl::Refused(why), _) => {
            format!("the flag itself carries a URL, which is refused: {why}")
        }
    }
}

/// Whether a hash tells registrations apart that differ in when they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Counted,
    LeftOut,
}

/// A content's hash with the registrations: who registered them makes no difference. Without any it is as it was.
pub(super) fn digest(content: Digest, registrations: &[Registration], ends: Ends) -> Digest {
    if registrations.is_empty() {
        return content;
    }
    let mut hash = Sha256::new();
    hash.update(b"registrations");
    for one in registrations {
        let url: &UpstreamUrl = &one.url;
        let optional = [one.service.as_deref(), one.variant.as_deref()];
        for part in optional
            .into_iter()
            .chain([Some(&*one.flag), Some(&*url.to_string())])
        {
            hash.update([u8::from(part.is_some())]);
            let part = part.unwrap_or_default();
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for written in &one.written {
            let written = written.to_string();
            hash.update((written.len() as u64).to_be_bytes());
            hash.update(written);
        }
        hash.update([u8::from(one.is_ready), u8::from(one.until.is_some())]);
        let end = one.until.filter(|_| ends == Ends::Counted);
        hash.update(end.map_or(0, |end| end.unix_ms).to_be_bytes());
    }
    hash.update(content.0);
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests;
