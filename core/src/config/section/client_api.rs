//! `client_api`.

use std::sync::Arc;

use http::HeaderValue;

use super::routes::browsers::read_origin;
use super::unleash;
use crate::config::client_api::ClientApiConfig;
use crate::config::keys::CLIENT_API;
use crate::config::keys::client_api as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::token::Token;
use crate::rate::Rate;

/// Compiles `client_api`; `None`: it is off.
pub fn compile(reader: &mut Reader, root: &Node) -> Option<Arc<ClientApiConfig>> {
    let api = CLIENT_API.node(root)?;
    let path = keys::PATH.read(reader, api);
    let tokens = tokens(reader, keys::TOKENS.items(api));
    let backend_tokens = self::tokens(reader, keys::BACKEND_TOKENS.items(api));
    if let Some(list) = keys::BACKEND_TOKENS.node(api)
        && tokens.iter().any(|token| backend_tokens.contains(token))
    {
        reader
            .problems
            .error(list.span, "an app's token is a server's too")
            .hint("apps are in everybody's hands: give servers tokens of their own");
    }
    let cors = keys::CORS.items(api).iter();
    let cors = cors.filter_map(|node| origin(reader, node)).collect();
    Some(Arc::new(ClientApiConfig {
        path: path?,
        tokens,
        backend_tokens,
        cors,
        flags: keys::FLAGS.read(reader, api),
        rate: rate(reader, keys::RATE_LIMIT.node(api)),
    }))
}

fn tokens(reader: &mut Reader, list: &[Node]) -> Vec<Token> {
    list.iter()
        .filter_map(|node| unleash::token(reader, node))
        .map(|secret| Token::of(secret.expose()))
        .collect()
}

/// An origin as browsers write it: exactly that is compared.
fn origin(reader: &mut Reader, node: &Node) -> Option<HeaderValue> {
    let stand_in = HeaderValue::from_static("https://placeholder.invalid");
    reader.parse(node, "an origin", stand_in, |text| {
        if text.contains('*') {
            return Err("name them: an answer is about one user".to_owned());
        }
        read_origin(text)?;
        HeaderValue::from_str(text).map_err(|error| error.to_string())
    })
}

fn rate(reader: &mut Reader, limit: Option<&Node>) -> Rate {
    let requests = keys::REQUESTS.read(reader, limit);
    let requests = requests.unwrap_or(keys::UNSTATED_REQUESTS);
    let burst = keys::BURST.read(reader, limit);
    Rate {
        requests,
        window: keys::WINDOW.read(reader, limit),
        burst: burst.unwrap_or(requests.get().saturating_mul(2)),
    }
}
