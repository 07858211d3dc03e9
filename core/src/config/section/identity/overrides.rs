//! `identity.override`: by which key, and where, testers ask for a deployment.

use http::HeaderName;

use crate::config::keys::identity::overrides as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::section::identity::secrets;
use crate::overrides::{self, OverrideRules};

/// Compiles it; `None`: it is not there, or its key is not. `taken` is the name of another cookie.
pub(super) fn compile(
    reader: &mut Reader,
    identity: Option<&Node>,
    taken: Option<&str>,
) -> Option<OverrideRules> {
    let node = keys::OVERRIDE.node(identity)?;
    let key = keys::KEY.read(reader, node);
    secrets::check(reader, keys::KEY.node(node), key.as_deref());
    let cookie = keys::COOKIE.read(reader, node);
    if taken == Some(&*cookie) {
        let span = keys::COOKIE.node(node).map_or(node.span, |node| node.span);
        let message = format!("`{cookie}` is the cookie of `anonymous: sticky`");
        let error = reader.problems.error(span, message);
        error.hint("give overrides another one");
    }
    let header = keys::HEADER.read(reader, node);
    Some(OverrideRules {
        key: overrides::key(key?.as_bytes())?,
        header: HeaderName::try_from(&*header).ok()?,
        cookie,
    })
}
