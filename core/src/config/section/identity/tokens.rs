//! `jwt` of `identity.user_id`, `claim` of `identity.properties`, and the routes that need them.

use std::net::IpAddr;

use http::Uri;
use http::header::AUTHORIZATION;

use crate::config::keys::identity as keys;
use crate::config::keys::identity::tokens::{self as jwt, JWT};
use crate::config::keys::routes::AUTH;
use crate::config::keys::shape::Key;
use crate::config::keys::{IDENTITY, ROUTES};
use crate::config::node::{Node, Pair};
use crate::config::reader::Reader;
use crate::config::tls::StatedFile;
use crate::identity::token::{Algorithm, KeySource, SharedSecret, TokenPlace, TokenSource, Tokens};
use crate::identity::{Auth, Place, Rules, Source, Trust};

/// The hash's own length, which RFC 7518, section 3.2, asks for.
const SHORTEST_SECRET: usize = 32;

/// How tokens may be signed where the file does not say so.
const USUAL: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// Whether a source of user IDs is a token.
pub(super) fn stands_in(source: &Node) -> bool {
    JWT.node(source).is_some()
}

/// Compiles a source of user IDs that is a token.
pub(super) fn source(reader: &mut Reader, node: &Node, tokens: &mut Tokens) -> Option<Source> {
    alone(reader, node, JWT.name());
    let token = token(reader, JWT.node(node)?)?;
    tokens.sources.push(token);
    let place = Place::Token(tokens.sources.len() - 1);
    let trust = Trust::Anyone;
    Some(Source { place, trust })
}

/// Compiles a property that is a claim.
pub(super) fn claim(reader: &mut Reader, node: &Node, tokens: &mut Tokens) -> Option<Source> {
    alone(reader, node, keys::CLAIM.name());
    let claim = keys::CLAIM.read(reader, node)?;
    if let Some(word) = keys::CLAIM.node(node)
        && tokens.sources.is_empty()
    {
        reader
            .problems
            .error(word.span, "there is no token that could have this claim")
            .hint("say under `identity.user_id` which tokens are believed, as in `- jwt: { jwks_url: … }`");
    }
    tokens.claims.push(claim);
    let place = Place::Claim(tokens.claims.len() - 1);
    let trust = Trust::Anyone;
    Some(Source { place, trust })
}

/// What is read from a verified token is read from nowhere else, and nobody has to be trusted for it.
fn alone(reader: &mut Reader, node: &Node, own: &str) {
    if let Some(other) = node.pairs().iter().find(|pair| pair.key != own) {
        let message = format!("`{}` does not go with `{own}`", other.key);
        reader
            .problems
            .error(other.key_span, message)
            .hint("a source is read from one place; a verified token is believed from anyone");
    }
}

/// The files with keys that `identity` names.
pub fn files(root: &Node) -> Vec<StatedFile> {
    let sources = keys::USER_ID.items(IDENTITY.node(root)).iter().enumerate();
    let file = |(at, source): (usize, &Node)| {
        let node = jwt::JWKS_FILE.node(JWT.node(source)?)?;
        let path = node.scalar().filter(|path| !path.is_placeholder())?;
        Some(StatedFile {
            path: path.text().into(),
            span: node.span,
            key: format!("identity.user_id.{at}.jwt.jwks_file"),
        })
    };
    sources.filter_map(file).collect()
}

/// A route that needs a token needs somebody to verify it.
pub fn check_required(reader: &mut Reader, root: &Node, rules: &Rules) {
    let is_unknown = IDENTITY.node(root).is_some_and(Node::has_placeholder);
    // A source with an error of its own may have been meant.
    if !rules.tokens.sources.is_empty() || is_unknown || reader.problems.has_errors() {
        return;
    }
    let required = ROUTES.items(root).iter().find_map(|route| {
        let is_required = AUTH.read(reader, route) == Auth::Required;
        AUTH.node(route).filter(|_| is_required)
    });
    if let Some(word) = required {
        reader
            .problems
            .error(word.span, "no token could be verified: every request would be refused")
            .hint("say under `identity.user_id` which tokens are believed, as in `- jwt: { jwks_url: … }`");
    }
}

fn token(reader: &mut Reader, node: &Node) -> Option<TokenSource> {
    let keys = key_source(reader, node);
    let issuer = jwt::ISSUER.read(reader, node);
    let audiences = jwt::AUDIENCE.read(reader, node).unwrap_or_default();
    let claim = jwt::CLAIM.read(reader, node);
    let algorithms = algorithms(reader, node);
    let place = place(reader, node);
    if matches!(keys, Some(KeySource::Url(_) | KeySource::File(_))) {
        warn_of_gaps(reader, node);
    }
    Some(TokenSource {
        keys: keys?,
        issuer,
        audiences,
        claim,
        algorithms,
        place,
    })
}

/// The one place that the keys are from.
fn key_source(reader: &mut Reader, node: &Node) -> Option<KeySource> {
    let names = [
        jwt::JWKS_URL.name(),
        jwt::JWKS_FILE.name(),
        jwt::SECRET.name(),
    ];
    let stated = |pair: &&Pair| names.contains(&pair.key.as_str());
    let places: Vec<&Pair> = node.pairs().iter().filter(stated).collect();
    match places.as_slice() {
        [_] => {}
        [] => {
            if node.scalar().is_none() && node.items().is_empty() {
                reader
                    .problems
                    .error(node.span, "this does not say which keys verify the tokens")
                    .hint("one of `jwks_url`, `jwks_file` and `secret`");
            }
            return None;
        }
        [_, second, ..] => {
            reader
                .problems
                .error(second.key_span, "keys are from one place")
                .hint("only one of `jwks_url`, `jwks_file` and `secret`");
            return None;
        }
    }
    if let Some(word) = jwt::JWKS_URL.node(node) {
        let url = jwt::JWKS_URL.read(reader, node)?;
        if !url.is_https() && !is_near(url.as_str()) {
            reader
                .problems
                .warning(
                    word.span,
                    "whoever is on the way to these keys can change them",
                )
                .hint("https:// keeps them as they are");
        }
        return Some(KeySource::Url(url.as_str().into()));
    }
    if jwt::JWKS_FILE.node(node).is_some() {
        return jwt::JWKS_FILE.read(reader, node).map(KeySource::File);
    }
    secret(reader, node)
}

fn secret(reader: &mut Reader, node: &Node) -> Option<KeySource> {
    let stated = jwt::SECRET.node(node)?;
    if stated.has_placeholder() {
        return Some(KeySource::Secret(SharedSecret::new("placeholder")));
    }
    let secret = jwt::SECRET.read(reader, node)?;
    if secret.len() < SHORTEST_SECRET {
        let message =
            format!("this secret has fewer than {SHORTEST_SECRET} characters and can be guessed");
        reader
            .problems
            .error(stated.span, message)
            .hint("`openssl rand -base64 48` makes a good one");
    }
    Some(KeySource::Secret(SharedSecret::new(&secret)))
}

/// Whether a plain URL leads to this machine.
fn is_near(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = address.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

fn algorithms(reader: &mut Reader, node: &Node) -> Vec<Algorithm> {
    let is_secret = jwt::SECRET.node(node).is_some();
    let Some(algorithms) = jwt::ALGORITHMS.read(reader, node) else {
        return match is_secret {
            true => vec![Algorithm::Hs256],
            false => USUAL.to_vec(),
        };
    };
    let wrong = algorithms
        .iter()
        .position(|algorithm| (*algorithm == Algorithm::Hs256) != is_secret);
    let item = wrong.and_then(|wrong| jwt::ALGORITHMS.items(node).get(wrong));
    if let Some(item) = item {
        let (message, hint) = match is_secret {
            true => (
                "tokens by a secret are signed by HS256",
                "leave `algorithms` out",
            ),
            // The public key would be the secret, which anybody has.
            false => (
                "HS256 goes with a `secret` only",
                "leave it out: keys of a key set are public",
            ),
        };
        reader.problems.error(item.span, message).hint(hint);
    }
    algorithms
}

fn place(reader: &mut Reader, node: &Node) -> TokenPlace {
    let usual = TokenPlace::Header(AUTHORIZATION);
    let Some(from) = jwt::FROM.node(node) else {
        return usual;
    };
    match (keys::HEADER.node(from), keys::COOKIE.node(from)) {
        (Some(header), None) => {
            let name = reader.header_name(header);
            if let Some(name) = &name {
                super::check_token_header(reader, header, name.as_str());
            }
            name.map_or(usual, TokenPlace::Header)
        }
        (None, Some(_)) => {
            let cookie = keys::COOKIE.read(reader, from);
            cookie.map_or(usual, TokenPlace::Cookie)
        }
        (None, None) | (Some(_), Some(_)) => {
            if from.scalar().is_none() {
                reader
                    .problems
                    .error(from.span, "a token is read from one place")
                    .hint("as in `{ header: authorization }` or `{ cookie: session }`");
            }
            usual
        }
    }
}

/// Whoever has an account with a provider of identities gets tokens by the same keys, for other applications too.
fn warn_of_gaps(reader: &mut Reader, node: &Node) {
    if jwt::ISSUER.node(node).is_none() {
        reader
            .problems
            .warning(
                node.span,
                "tokens of any issuer are believed that these keys verify",
            )
            .hint("name it: `issuer: https://idp.example.com`");
    }
    if jwt::AUDIENCE.node(node).is_none() {
        reader
            .problems
            .warning(
                node.span,
                "tokens that name whom they are meant for (`aud`) are not believed",
            )
            .hint("name yourself: `audience: api`");
    }
}
