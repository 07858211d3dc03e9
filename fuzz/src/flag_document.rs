//! Flags as others write them: the answer of a flag server, and the documents of Serin's own API.

use std::sync::Arc;

use serde_json::Value;
use serin_core::config::document::Document;
use serin_core::config::kept::KeptDocuments;

use serin_core::context::Context;
use serin_core::context::schema::ContextSchema;
use serin_core::engine::Flag;
use serin_core::engine::compile_context::CompileContext;
use serin_core::engine::source::{CompiledSet, SourceKind, SourceSet};
use serin_core::engine::trace::Silent;

use crate::request::{CONFIGURATION, NOW};

/// A document is a set of flags or refused; what is kept of it on disk is the same set; what is compiled again, or beside itself, is the same;
/// and each flag answers each user, the same each time.
pub fn check(input: &[u8]) {
    of_server(input);
    of_serin(input);
}

fn of_server(input: &[u8]) {
    let Ok(set) = SourceSet::parse(SourceKind::Unleash, input) else {
        return;
    };
    let kept = SourceSet::parse(SourceKind::Unleash, set.to_json().as_bytes());
    let kept = kept.expect("what was written can be read");
    assert_eq!(kept.digest(), set.digest());
    let compiled = compile(&set, None);
    let again = compile(&kept, Some(&compiled));
    assert_eq!(compiled.flags().len(), set.len());
    for (flag, same) in compiled.flags().iter().zip(again.flags()) {
        assert!(Arc::ptr_eq(flag, same), "{} was compiled anew", flag.name);
    }
    let anew = compile(&kept, None);
    for (flag, same) in compiled.flags().iter().zip(anew.flags()) {
        assert_eq!(flag, same);
        ask(flag);
    }
}

fn compile(set: &SourceSet, previous: Option<&CompiledSet>) -> CompiledSet {
    let context = CompileContext {
        source: &"unleash".into(),
        vocabulary: &mut ContextSchema::new(&["plan".into()]),
        canary_urls: &CONFIGURATION.canary_urls,
        app_name: "serin",
        environment: Some("production"),
        hostname: "gateway-1.test",
    };
    set.compile(context, previous)
}

fn of_serin(input: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    let one = |name: &str| [(name.into(), Arc::new(Document::new(document.clone())))].into();
    let kept = KeptDocuments {
        flags: one("search.kept"),
        segments: one("Kept"),
    };
    let compiled = kept.compile(&CONFIGURATION, NOW, None);
    let again = kept.compile(&CONFIGURATION, NOW, None);
    assert_eq!(compiled.flags, again.flags);
    assert_eq!(compiled.flags.len(), 1);
    compiled.flags.iter().for_each(|flag| ask(flag));
}

/// Asks a flag about some users.
fn ask(flag: &Flag) {
    for (user, plan) in [
        (None, None),
        (Some("u1"), None),
        (Some(""), Some("pro")),
        (Some("ann"), Some("9.1.0")),
    ] {
        let mut context = Context {
            user_id: user.map(Into::into),
            ..Context::default()
        };
        context.properties.resize(64, None);
        if let Some(first) = context.properties.first_mut() {
            *first = plan.map(Into::into);
        }
        let answer = flag.evaluate(&context, NOW, &mut Silent);
        assert_eq!(answer, flag.evaluate(&context, NOW, &mut Silent));
        assert!(
            !answer.on || flag.enabled,
            "{} is off, and on for {user:?}",
            flag.name
        );
    }
}
