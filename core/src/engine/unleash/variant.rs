//! Variants: their weights, the users who get one whatever their ID, and where their payloads lead.

use std::sync::Arc;

use super::constraint::named;
use super::document::{Item, Parameter, StrategyDocument, VariantDocument};
use super::feature::FlagCompiler;
use super::payload::Lead;
use super::strategy::Sticky;
use crate::cluster::UpstreamUrl;
use crate::engine::bucketing::{Bucketing, HashedId};
use crate::engine::condition::Condition;
use crate::engine::variants::{
    CanaryUrl, Override, Payload, Stickiness, Variant, VariantIndex, Variants,
};

impl FlagCompiler<'_, '_> {
    /// The variants of the flag itself: the first one's stickiness is that of all.
    pub(super) fn flag_variants(&mut self, documents: &[VariantDocument<'_>]) -> Option<Variants> {
        let stickiness = documents.first()?.stickiness.as_deref();
        let sticky = self.sticky_or_off(stickiness);
        let mut overrides = Vec::new();
        for (variant, document) in (0..).map(VariantIndex::new).zip(documents) {
            for one in document.overrides.as_deref().unwrap_or_default() {
                let values: Vec<_> = one.values.iter().map(|value| &**value).collect();
                let condition = match self.context.subject(&one.context_name) {
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
        let parameters = strategy.parameters.as_ref().and_then(Item::get);
        let group = parameters.and_then(|all| text(&all.group_id));
        let group = group.map_or_else(|| self.name.clone(), Into::into);
        let sticky = self.sticky_or_off(parameters.and_then(|all| text(&all.stickiness)));
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
        let bucketing = Bucketing::Unleash { group };
        let Some(variants) = Variants::as_served(list, bucketing, stickiness, overrides) else {
            self.warn("its variants have no weight, so none can be had");
            return None;
        };
        if let Some(id) = constant {
            return Some(decided_by(variants, &id));
        }
        if stickiness == Stickiness::Nothing && variants.only().is_none() {
            self.warn(
                "its variants would be drawn by lot, with every request anew: stable instead",
            );
        }
        Some(variants)
    }

    fn variant(&mut self, document: &VariantDocument<'_>) -> Variant {
        let payload = match &document.payload {
            Some(Item(Ok(payload))) => Some(payload),
            Some(Item(Err(why))) => {
                let name = &*document.name;
                self.warn(&format!(
                    "the payload of variant {name:?} cannot be read: {why}"
                ));
                None
            }
            None => None,
        };
        let lead = payload.map(|payload| Lead::read(&payload.value));
        let lead = lead.unwrap_or_default();
        let url = lead.url.map(|url| self.canary_url(&document.name, &url));
        self.priority = self.priority.max(lead.priority);
        Variant {
            name: (*document.name).into(),
            weight: document.weight,
            url,
            service: lead.service,
            payload: payload.map(|payload| Payload {
                kind: (*payload.kind).into(),
                value: (*payload.value).into(),
            }),
            nearly: lead.nearly.map(Into::into),
        }
    }

    fn canary_url(&mut self, variant: &str, text: &str) -> CanaryUrl {
        let why = match text.parse::<UpstreamUrl>() {
            Ok(url) => match self.context.canary_urls.check(&url) {
                Ok(()) => return CanaryUrl::Allowed(url),
                Err(refusal) => refusal.to_string(),
            },
            Err(error) => error.to_string(),
        };
        self.warn(&format!("variant {variant:?} is stable: {why}"));
        CanaryUrl::Refused(why.into())
    }
}

/// A parameter that can be read; the strategy is off if one that it needs cannot.
fn text<'d>(parameter: &'d Parameter<'_>) -> Option<&'d str> {
    let text = parameter.as_ref()?.get()?;
    Some(text)
}

/// The same variants, with everybody getting the one that this ID gets.
fn decided_by(variants: Variants, id: &str) -> Variants {
    let value = variants.bucket_value(Some(HashedId::Text(id)));
    match value.and_then(|value| variants.by_bucket_value(value)) {
        Some(variant) => variants.overridden(Override {
            variant,
            condition: Condition::All(Vec::new()),
        }),
        None => variants,
    }
}
