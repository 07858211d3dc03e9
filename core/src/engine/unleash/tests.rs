//! From documents to decisions.

mod alternatives;
mod compiling;
mod features;
mod oracle;
mod robust;
mod specification;

use std::sync::Arc;

use super::{CompileContext, Compiled, FeatureSet, compile};
use crate::cluster::policy::UrlPolicy;
use crate::context::schema::ContextSchema;
use crate::context::{Context, Moment};
use crate::engine::Flag;
use crate::engine::evaluation::Evaluation;
use crate::engine::trace::Silent;

/// 2026-11-22T12:00:00Z.
const NOW: Moment = Moment {
    unix_ms: 1_795_348_800_000,
};

/// What flags are compiled for in these tests.
struct Stage {
    vocabulary: ContextSchema,
    source: Arc<str>,
    policy: UrlPolicy,
    app_name: String,
    environment: Option<String>,
}

impl Stage {
    fn new() -> Self {
        Self {
            vocabulary: ContextSchema::new(&["appVersion".into()]),
            source: "unleash".into(),
            policy: UrlPolicy {
                networks: vec!["127.0.0.0/8".parse().expect("a network")],
                ..UrlPolicy::nothing()
            },
            app_name: "serin".to_owned(),
            environment: Some("production".to_owned()),
        }
    }

    fn compile(&mut self, set: &FeatureSet, previous: Option<&Compiled>) -> Compiled {
        let context = CompileContext {
            source: &self.source,
            vocabulary: &mut self.vocabulary,
            canary_urls: &self.policy,
            app_name: &self.app_name,
            environment: self.environment.as_deref(),
            hostname: "gateway-1.example",
        };
        compile(set, context, previous)
    }

    /// A context by Unleash's names.
    fn context<'a>(&self, values: &[(&str, &'a str)]) -> Context<'a> {
        let mut context = Context::default();
        context
            .properties
            .resize(self.vocabulary.names().len(), None);
        for &(name, value) in values {
            match name {
                "userId" => context.user_id = Some(value.into()),
                "sessionId" => context.session_id = Some(value.into()),
                "remoteAddress" => {
                    if let Ok(address) = value.parse() {
                        context.remote_address = address;
                    }
                }
                _ => {
                    let place = self
                        .vocabulary
                        .names()
                        .iter()
                        .position(|known| **known == *name);
                    if let Some(slot) = place.and_then(|place| context.properties.get_mut(place)) {
                        *slot = Some(value.into());
                    }
                }
            }
        }
        context
    }
}

fn set(document: &serde_json::Value) -> FeatureSet {
    FeatureSet::parse(document.to_string().as_bytes()).expect("a document")
}

fn find<'c>(compiled: &'c Compiled, name: &str) -> Option<&'c Arc<Flag>> {
    compiled.flags.iter().find(|flag| *flag.name == *name)
}

/// What a flag says of a user, and the name of the variant.
fn ask(flag: &Flag, context: &Context<'_>) -> (bool, Option<Arc<str>>) {
    let evaluation = flag.evaluate(context, NOW, &mut Silent);
    (evaluation.on, variant(flag, evaluation))
}

fn variant(flag: &Flag, evaluation: Evaluation) -> Option<Arc<str>> {
    let variant = flag.variant(evaluation.variant?)?;
    Some(variant.name.clone())
}

/// A flag of this name with these strategies.
fn feature(name: &str, strategies: serde_json::Value) -> serde_json::Value {
    let mut feature = serde_json::json!({ "name": name, "enabled": true });
    feature["strategies"] = strategies;
    feature
}

fn document(features: &[serde_json::Value]) -> serde_json::Value {
    serde_json::json!({ "version": 2, "features": features })
}
