//! `mirror`: who gets copies of a service's requests.

use std::sync::Arc;

use crate::config::keys::services::mirror as keys;
use crate::config::keys::shape::Key as _;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::engine::STABLE;
use crate::mirror::MirrorPolicy;

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
pub(super) fn shadow(service: &Node) -> Option<&Node> {
    let shadow = keys::TO.node(keys::MIRROR.node(service));
    shadow.filter(|node| !node.has_placeholder())
}
