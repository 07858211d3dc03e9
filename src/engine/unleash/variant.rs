//! Variants: their weights, who gets one without a draw, and where their payloads lead.

use std::sync::Arc;

use serde::Deserialize;

use super::constraint::named;
use super::document::{PayloadDocument, StrategyDocument, VariantDocument};
use super::feature::FlagCompiler;
use super::strategy::Sticky;
use crate::cluster::UpstreamUrl;
use crate::engine::bucket::variant_ticket;
use crate::engine::condition::Condition;
use crate::engine::{CanaryUrl, Override, Payload, Stickiness, Variant, Variants};

/// What of a JSON payload says where users go.
#[derive(Deserialize)]
struct Target {
    url: Option<String>,
    service: Option<String>,
}

impl FlagCompiler<'_, '_> {
    /// The variants of the flag itself: the first one's stickiness is that of all.
    pub(super) fn flag_variants(&mut self, documents: &[VariantDocument<'_>]) -> Option<Variants> {
        let stickiness = documents.first()?.stickiness.as_deref();
        let sticky = self.sticky_or_off(stickiness);
        let mut overrides = Vec::new();
        for (variant, document) in documents.iter().enumerate() {
            for one in document.overrides.as_deref().unwrap_or_default() {
                let values: Vec<_> = one.values.iter().map(|value| &**value).collect();
                let condition = match self.surroundings.subject(&one.context_name) {
                    Ok(subject) => named(subject, &values),
                    Err(broken) => self.off(broken),
                };
                overrides.push(Override { variant, condition });
            }
        }
        self.variants(documents, self.name.clone(), sticky, overrides)
    }

    /// The variants of a strategy: its stickiness and its group are theirs.
    pub(super) fn strategy_variants(
        &mut self,
        strategy: &StrategyDocument<'_>,
    ) -> Option<Variants> {
        let documents = strategy.variants.as_deref()?;
        let parameters = strategy.parameters.as_ref();
        let group = parameters.and_then(|parameters| parameters.group_id.as_deref());
        let group = group.map_or_else(|| self.name.clone(), Into::into);
        let sticky = parameters.and_then(|parameters| parameters.stickiness.as_deref());
        let sticky = self.sticky_or_off(sticky);
        self.variants(documents, group, sticky, Vec::new())
    }

    fn sticky_or_off(&mut self, name: Option<&str>) -> Sticky {
        self.sticky(name).unwrap_or_else(|broken| {
            self.off(broken);
            Sticky::Chance
        })
    }

    fn variants(
        &mut self,
        documents: &[VariantDocument<'_>],
        group: Arc<str>,
        sticky: Sticky,
        overrides: Vec<Override>,
    ) -> Option<Variants> {
        if documents.is_empty() {
            return None;
        }
        let list: Vec<_> = documents.iter().map(|one| self.variant(one)).collect();
        let (stickiness, constant) = match sticky {
            Sticky::By(stickiness) => (stickiness, None),
            Sticky::Chance => (Stickiness::Nothing, None),
            Sticky::Constant(id) => (Stickiness::Nothing, id),
        };
        let Some(variants) = Variants::as_served(list, group, stickiness, overrides) else {
            self.warn("its variants have no weight, so none can be had");
            return None;
        };
        if let Some(id) = constant {
            return Some(variants.settled_by(&id));
        }
        if stickiness == Stickiness::Nothing && variants.only().is_none() {
            self.warn(
                "its variants would be drawn by lot, with every request anew: stable instead",
            );
        }
        Some(variants)
    }

    fn variant(&mut self, document: &VariantDocument<'_>) -> Variant {
        let (url, service) = match &document.payload {
            Some(payload) => self.upstream(&document.name, payload),
            None => (None, None),
        };
        Variant {
            name: (*document.name).into(),
            weight: document.weight,
            url,
            service,
            payload: document.payload.as_ref().map(|payload| Payload {
                kind: (*payload.kind).into(),
                value: (*payload.value).into(),
            }),
        }
    }

    /// Where a payload leads: it is a URL, or JSON with one. Everything else is for others to read.
    fn upstream(
        &mut self,
        variant: &str,
        payload: &PayloadDocument<'_>,
    ) -> (Option<CanaryUrl>, Option<Arc<str>>) {
        let text = payload.value.trim();
        if text.starts_with('{') {
            return match serde_json::from_str::<Target>(text) {
                Ok(target) => {
                    let url = target.url.map(|url| self.canary_url(variant, url.trim()));
                    (url, target.service.map(Into::into))
                }
                Err(_) => (None, None),
            };
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let known = scheme.is_some_and(|scheme| {
            let mut schemes = SCHEMES.iter();
            schemes.any(|known| known.eq_ignore_ascii_case(scheme))
        });
        let url = known.then(|| self.canary_url(variant, text));
        (url, None)
    }

    fn canary_url(&mut self, variant: &str, text: &str) -> CanaryUrl {
        let why = match text.parse::<UpstreamUrl>() {
            Ok(url) if self.surroundings.canary_urls.allows(&url) => {
                return CanaryUrl::Allowed(url);
            }
            Ok(url) => format!("canary_urls does not allow {url}"),
            Err(error) => error.to_string(),
        };
        self.warn(&format!("variant {variant:?} is stable: {why}"));
        CanaryUrl::Refused
    }
}

/// With these a text is meant to be an upstream, though not every one of them is built.
const SCHEMES: [&str; 4] = ["http", "https", "h2c", "srv+http"];

impl Variants {
    /// The same, with everyone getting the variant that this ID draws.
    fn settled_by(mut self, id: &str) -> Self {
        let ticket = variant_ticket(self.group(), id, self.total_weight());
        if let Some(variant) = self.by_ticket(ticket) {
            self.overrides.push(Override {
                variant,
                condition: Condition::All(Vec::new()),
            });
        }
        self
    }
}
