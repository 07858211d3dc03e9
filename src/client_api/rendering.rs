//! The JSON of each answer that a flag can give to clients, written once for all users.

use serde_json::{Value, json};

use super::evaluation::FlagEvaluation;
use crate::engine::condition::Condition;
use crate::engine::{Flag, Payload, PerVariant, Ring, Variant};
use crate::flag::Share;

/// The JSON of each of a flag's possible answers.
pub(super) struct FlagRendering {
    off: RenderedFlag,
    plain: RenderedFlag,
    variants: PerVariant<RenderedFlag>,
    /// Whether anything about the user or the moment can make a difference.
    pub(super) is_static: bool,
}

/// One of a flag's possible answers.
pub(super) struct RenderedFlag {
    /// As a member of Unleash's `toggles`.
    pub(super) toggle: Box<str>,
    /// For OFREP, as far as it goes: `"key":…,"value":…,"variant":…`.
    pub(super) evaluation: Box<str>,
}

impl FlagRendering {
    pub(super) fn of(flag: &Flag) -> Self {
        Self {
            off: RenderedFlag::of(flag, false, flag.off_variant.as_deref()),
            plain: RenderedFlag::of(flag, true, None),
            variants: PerVariant::of(flag, |variant| RenderedFlag::of(flag, true, Some(variant))),
            is_static: !flag.enabled
                || (flag.dependencies.is_empty() && flag.rings.iter().all(is_for_all_or_nobody)),
        }
    }

    /// The JSON of what a flag came to.
    pub(super) fn answer(&self, evaluation: &FlagEvaluation) -> &RenderedFlag {
        let variant = evaluation.variant.and_then(|at| self.variants.get(at));
        match (evaluation.on, variant) {
            (false, _) => &self.off,
            (true, Some(variant)) => variant,
            (true, None) => &self.plain,
        }
    }
}

fn is_for_all_or_nobody(ring: &Ring) -> bool {
    let always = matches!(&ring.condition, Condition::All(all) if all.is_empty());
    !ring.enabled || always && ring.rollout.share == Share::ALL && ring.variants.is_none()
}

impl RenderedFlag {
    fn of(flag: &Flag, on: bool, variant: Option<&Variant>) -> Self {
        let payload = variant.and_then(shown);
        Self {
            toggle: match on {
                true => toggle(flag, on, variant, payload.as_ref()),
                // Unleash knows no variant of a flag that is off.
                false => toggle(flag, on, None, None),
            }
            .into(),
            evaluation: evaluation(flag, on, variant, payload.as_ref()).into(),
        }
    }
}

fn toggle(flag: &Flag, on: bool, variant: Option<&Variant>, payload: Option<&Payload>) -> String {
    let mut told = json!({
        "name": variant.map_or("disabled", |variant| &*variant.name),
        "enabled": variant.is_some(),
        "feature_enabled": on,
        "featureEnabled": on,
    });
    if let (Some(told), Some(payload)) = (told.as_object_mut(), payload) {
        let payload = json!({ "type": &*payload.kind, "value": &*payload.value });
        told.insert("payload".to_owned(), payload);
    }
    json!({
        "name": &*flag.name,
        "enabled": on,
        "variant": told,
        "impressionData": flag.impression_data,
    })
    .to_string()
}

/// A flag is true or false; a variant's payload, where it has one, is the value instead, in its own type.
fn evaluation(
    flag: &Flag,
    on: bool,
    variant: Option<&Variant>,
    payload: Option<&Payload>,
) -> String {
    let value = payload.map_or(Value::Bool(on), typed);
    let plain = if on { "enabled" } else { "disabled" };
    let variant = variant.map_or(plain, |variant| &*variant.name);
    format!(
        "\"key\":{},\"value\":{value},\"variant\":{}",
        json!(&*flag.name),
        json!(variant)
    )
}

fn typed(payload: &Payload) -> Value {
    let text = || Value::String(payload.value.to_string());
    match &*payload.kind {
        "json" | "number" => serde_json::from_str(&payload.value).unwrap_or_else(|_| text()),
        _ => text(),
    }
}

/// What apps see of a payload: all but where the gateway sends requests.
fn shown(variant: &Variant) -> Option<Payload> {
    let payload = variant.payload.as_ref()?;
    if variant.nearly.is_some() {
        // It names an upstream, if not as the gateway reads it.
        return None;
    }
    let text = payload.value.trim();
    if text.starts_with('{') {
        let Ok(Value::Object(mut members)) = serde_json::from_str(text) else {
            // Nobody can tell what it was meant to say; an upstream's URL could be in it.
            return (!text.contains("://")).then(|| payload.clone());
        };
        if members.remove("url").is_none() {
            return Some(payload.clone());
        }
        // It was for the gateway alone.
        members.remove("service");
        return (!members.is_empty()).then(|| Payload {
            kind: payload.kind.clone(),
            value: Value::Object(members).to_string().into(),
        });
    }
    variant.url.is_none().then(|| payload.clone())
}

#[cfg(test)]
mod tests;
