//! `identity.override`: by which key, and where, testers ask for a deployment.

use http::HeaderName;

use crate::config::keys::identity::overrides as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::overrides::{OverrideKey, OverrideRules};

/// The hash's own length (RFC 2104, section 3: a shorter key weakens it). Whoever has one token can try keys at leisure.
const SHORTEST_KEY: usize = 32;

/// Compiles it; `None`: it is not there, or its key is not. `taken` is the name of another cookie.
pub(super) fn compile(
    reader: &mut Reader,
    identity: Option<&Node>,
    taken: Option<&str>,
) -> Option<OverrideRules> {
    let node = keys::OVERRIDE.node(identity)?;
    let key = keys::KEY.read(reader, node);
    if let (Some(key), Some(stated)) = (&key, keys::KEY.node(node))
        && key.len() < SHORTEST_KEY
    {
        let message =
            format!("this key has fewer than {SHORTEST_KEY} characters and can be guessed");
        reader
            .problems
            .error(stated.span, message)
            .hint("`openssl rand -hex 32` makes one; put it into a variable");
    }
    let cookie = keys::COOKIE.read(reader, node);
    if taken == Some(&*cookie) {
        let span = keys::COOKIE.node(node).map_or(node.span, |node| node.span);
        let message = format!("`{cookie}` is the cookie of `anonymous: sticky`");
        let error = reader.problems.error(span, message);
        error.hint("give overrides another one");
    }
    let header = keys::HEADER.read(reader, node);
    Some(OverrideRules {
        key: OverrideKey::new(key?.as_bytes())?,
        header: HeaderName::try_from(&*header).ok()?,
        cookie,
    })
}
