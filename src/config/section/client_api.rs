//! `client_api`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};

use super::unleash;
use crate::config::client_api::{ClientApiConfig, Rate, Token};
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::flag::Glob;
use crate::request::path::NormalPath;

/// How often one address may ask, unless the file says otherwise.
const REQUESTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// The most that a rate's numbers may be.
const MOST: u32 = 1_000_000;

/// Compiles `client_api`; `None`: it is off.
pub fn compile(reader: &mut Reader, root: &Node) -> Option<Arc<ClientApiConfig>> {
    let node = root.get("client_api")?;
    let path = node.get("path").and_then(|node| path(reader, node));
    let tokens = tokens(reader, node.get("tokens"));
    let backend_tokens = self::tokens(reader, node.get("backend_tokens"));
    if let Some(list) = node.get("backend_tokens")
        && tokens.iter().any(|token| backend_tokens.contains(token))
    {
        reader
            .problems
            .error(list.span, "an app's token is a server's too")
            .hint("apps are in everybody's hands: give servers tokens of their own");
    }
    let cors = items(node.get("cors")).filter_map(|node| origin(reader, node));
    let cors = cors.collect();
    let flags = match node.get("flags") {
        None => vec![Glob::new("*")],
        Some(list) => items(Some(list))
            .filter_map(|node| reader.name(node))
            .map(Glob::new)
            .collect(),
    };
    Some(Arc::new(ClientApiConfig {
        path: path?,
        tokens,
        backend_tokens,
        cors,
        flags,
        rate: rate(reader, node.get("rate_limit")),
    }))
}

fn items(list: Option<&Node>) -> impl Iterator<Item = &Node> {
    let items = list.map(|list| match &list.value {
        Value::List(items) => items.as_slice(),
        Value::Scalar(_) | Value::Map(_) => &[],
    });
    items.into_iter().flatten()
}

fn tokens(reader: &mut Reader, list: Option<&Node>) -> Vec<Token> {
    items(list)
        .filter_map(|node| unleash::token(reader, node))
        .map(|secret| Token::of(secret.expose()))
        .collect()
}

fn path(reader: &mut Reader, node: &Node) -> Option<Box<str>> {
    reader.read(node, "a path for the API", "/.serin".into(), |text| {
        let path = text.strip_suffix('/').unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let normal = NormalPath::new(path).is_ok_and(|normal| normal.as_str() == path);
        (path.len() > 1 && normal && path.starts_with('/') && path.bytes().all(plain))
            .then(|| path.into())
            .ok_or_else(|| "as in /.serin".to_owned())
    })
}

/// An origin as browsers write it: exactly that is compared.
fn origin(reader: &mut Reader, node: &Node) -> Option<HeaderValue> {
    let stand_in = HeaderValue::from_static("https://placeholder.invalid");
    reader.read(node, "an origin", stand_in, |text| {
        let form = || "scheme, host and port alone, as in https://app.example.com".to_owned();
        if text == "*" {
            return Err("name them: an answer is about one user".to_owned());
        }
        let uri: Uri = text.parse().map_err(|_| form())?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let named = uri.authority().map(|authority| authority.as_str());
        let alone = named.is_some_and(|named| text.ends_with(named) && !named.contains('@'));
        if !web || !alone || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(form());
        }
        HeaderValue::from_str(text).map_err(|_| form())
    })
}

fn rate(reader: &mut Reader, node: Option<&Node>) -> Rate {
    let key = |name: &str| node.and_then(|node| node.get(name));
    let requests = key("requests").and_then(|node| reader.integer(node, 1..=MOST));
    let requests = requests.and_then(NonZeroU32::new).unwrap_or(REQUESTS);
    let window = key("window").and_then(|node| reader.time_limit(node));
    let burst = key("burst").and_then(|node| reader.integer(node, 1..=MOST));
    Rate {
        requests,
        window: window.unwrap_or(Duration::from_secs(1)),
        burst: burst.unwrap_or(requests.get().saturating_mul(2)),
    }
}
