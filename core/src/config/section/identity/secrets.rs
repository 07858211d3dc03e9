//! Secrets that sign what clients show.

use crate::config::node::Node;
use crate::config::reader::Reader;

/// The hash's own length (RFC 2104, section 3: a shorter key weakens it). Whoever has one text that is signed can try keys at
/// leisure.
const SHORTEST: usize = 32;

/// Refuses a secret that can be guessed; `secret` is what was read of it.
pub(super) fn check(reader: &mut Reader, stated: Option<&Node>, secret: Option<&str>) {
    let scalar = stated.and_then(Node::scalar);
    let (Some(node), Some(scalar)) = (stated, scalar) else {
        return;
    };
    // Of what is not there the structure check tells, and of quotes around nothing whoever reads it.
    let is_told = scalar.is_nothing() || (scalar.is_quoted() && scalar.text().is_empty());
    if is_told || scalar.is_placeholder() || secret.is_some_and(|secret| secret.len() >= SHORTEST) {
        return;
    }
    let message = format!("this key has fewer than {SHORTEST} characters and can be guessed");
    let error = reader.problems.error(node.span, message);
    error.hint("`openssl rand -hex 32` makes one; put it into a variable");
}
