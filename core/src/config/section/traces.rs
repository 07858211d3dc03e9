//! `tracing`.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::headers;
use crate::config::keys::TRACING;
use crate::config::keys::shape::Key;
use crate::config::keys::traces as keys;
use crate::config::node::{Node, Pair};
use crate::config::reader::Reader;
use crate::config::traces::{OWN_HEADERS, TracingConfig};

/// Compiles `tracing`; `None`: the file does not have it.
pub fn compile(reader: &mut Reader, root: &Node) -> Option<Arc<TracingConfig>> {
    let node = TRACING.node(root)?;
    let collector = keys::OTLP.read(reader, node);
    let sample = keys::SAMPLE.read(reader, node);
    let mut fields = HeaderMap::new();
    for pair in keys::HEADERS.pairs(node) {
        let name = headers::name(reader, pair);
        let value = value(reader, pair);
        let Some(name) = name else {
            continue;
        };
        if OWN_HEADERS.contains(&name) {
            let message = format!("Serin writes `{name}` itself");
            reader
                .problems
                .error(pair.key_span, message)
                .hint("take it out of `tracing.headers`");
        }
        if let Some(value) = value
            && fields.insert(&name, value).is_some()
        {
            let message = format!("`{name}` is there twice");
            reader
                .problems
                .error(pair.key_span, message)
                .hint("names of header fields mean the same in any case: keep one of them");
        }
    }
    Some(Arc::new(TracingConfig {
        collector: collector?,
        sample,
        headers: fields,
    }))
}

/// A field's value. Nothing of it is shown, not even of one that is none.
fn value(reader: &mut Reader, pair: &Pair) -> Option<HeaderValue> {
    let scalar = pair.value.scalar()?;
    if scalar.is_placeholder() {
        return None;
    }
    let text = scalar.text().trim();
    let value = HeaderValue::from_str(text).ok();
    let Some(mut value) = value.filter(|_| !text.is_empty() && !scalar.is_nothing()) else {
        reader
            .problems
            .error(
                pair.value.span,
                format!("the value of `{}` is not one of a header field", pair.key),
            )
            .hint("a line of visible ASCII characters");
        return None;
    };
    value.set_sensitive(true);
    Some(value)
}
