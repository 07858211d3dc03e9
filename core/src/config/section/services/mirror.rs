//! `mirror`: who gets copies of a service's requests.

use std::sync::Arc;

use super::owners;
use crate::config::ServiceConfig;
use crate::config::keys::SERVICES;
use crate::config::keys::services::mirror as keys;
use crate::config::keys::shape::Key as _;
use crate::config::node::{Node, Scalar};
use crate::config::reader::Reader;
use crate::config::section::unleash;
use crate::engine::{Flag, STABLE};
use crate::mirror::MirrorPolicy;

/// How many names of canaries a hint has.
const MOST_TOLD: usize = 5;

/// Compiles a service's `mirror`; `None`: there is none.
pub(super) fn compile(reader: &mut Reader, service: &Node) -> Option<Arc<MirrorPolicy>> {
    let node = keys::MIRROR.node(service)?;
    let to = keys::TO.read(reader, node);
    if let (Some(STABLE), Some(node)) = (to.as_deref(), keys::TO.node(node)) {
        reader
            .problems
            .error(node.span, "stable cannot be its own shadow")
            .hint("name a canary of the service: a flag with a `url`, which needs no rings");
    }
    let compare = keys::COMPARE.read(reader, node);
    if let (false, Some(pair)) = (compare, keys::IGNORE.pair(node)) {
        reader
            .problems
            .error(
                pair.key_span,
                "`ignore` means nothing where nothing is compared",
            )
            .hint("add `compare: true`");
    }
    let policy = MirrorPolicy {
        sample: keys::SAMPLE.read(reader, node),
        methods: keys::METHODS.read(reader, node),
        ignore: keys::IGNORE.read(reader, node).unwrap_or_default(),
        compare,
        to: to?,
    };
    Some(Arc::new(policy))
}

/// The shadow that a service names.
fn shadow(service: &Node) -> Option<&Node> {
    let shadow = keys::TO.node(keys::MIRROR.node(service));
    shadow.filter(|node| !node.has_placeholder())
}

/// The flags whose canaries are shadows; a shadow may be called after a flag's variant as well.
pub fn shadow_flags(root: &Node) -> Vec<&str> {
    let services = SERVICES.pairs(root).iter();
    let shadows = services.filter_map(|service| shadow(&service.value)?.scalar());
    let names = shadows.map(Scalar::text);
    let flags = names.flat_map(|name| [Some(name), flag_of_variant(name)]);
    flags.flatten().collect()
}

/// The flag of a deployment that is called after a variant.
fn flag_of_variant(deployment: &str) -> Option<&str> {
    deployment.rsplit_once(':').map(|(flag, _)| flag)
}

/// Shadows must be canaries of their services, unless a flag server may have them. `services` are all of the file's.
pub(super) fn check(
    reader: &mut Reader,
    root: &Node,
    services: &[ServiceConfig],
    flags: &[Arc<Flag>],
) {
    if unleash::is_configured(root) {
        return;
    }
    for (pair, service) in SERVICES.pairs(root).iter().zip(services) {
        let Some(node) = shadow(&pair.value) else {
            continue;
        };
        let Some(scalar) = node.scalar().filter(|scalar| scalar.text() != STABLE) else {
            continue;
        };
        let own = flags.iter().filter(|flag| {
            let owners = owners(&flag.name, services);
            owners.iter().any(|owner| owner.name == service.name)
        });
        let canaries: Vec<String> = own.flat_map(|flag| canaries(flag)).collect();
        if canaries
            .iter()
            .any(|canary| is_called(scalar.text(), canary))
        {
            continue;
        }
        let names = canaries.iter().map(String::as_str);
        let hint = reader.problems.suggest(scalar.shown(), names);
        let message = format!("`{}` has no canary `{}`", service.name, scalar.shown());
        let hint = hint.unwrap_or_else(|| told(&canaries));
        reader.problems.error(node.span, message).hint(hint);
    }
}

/// What the deployments of a flag may be called. One without a URL may be registered by a pipeline.
fn canaries(flag: &Flag) -> Vec<String> {
    let variants = flag.every_variant().map(|variant| &*variant.name);
    let mut names: Vec<String> = variants
        .filter(|variant| *variant != STABLE)
        .map(|variant| format!("{}:{variant}", flag.name))
        .collect();
    names.insert(0, flag.name.to_string());
    names.dedup();
    names
}

/// Whether a deployment is called so: those of one variant with several URLs are numbered.
fn is_called(deployment: &str, canary: &str) -> bool {
    let rest = deployment.strip_prefix(canary);
    rest.is_some_and(|rest| {
        let number = rest.strip_prefix('.').filter(|_| canary.contains(':'));
        rest.is_empty() || number.is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

/// The canaries of a service, for people.
fn told(canaries: &[String]) -> String {
    if canaries.is_empty() {
        return "it has no canaries: a shadow is one, whose flag needs no rings".to_owned();
    }
    let shown: Vec<_> = canaries
        .iter()
        .take(MOST_TOLD)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if canaries.len() > MOST_TOLD {
        ", …"
    } else {
        ""
    };
    format!("its canaries are {}{more}", shown.join(", "))
}
