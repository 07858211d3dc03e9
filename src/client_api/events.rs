//! Streams of server-sent events that say when flags should be asked for again.
//!
//! Browsers' `EventSource` sends no header fields, so the stream's URL is signed itself. The key follows from the
//! tokens: gateways of one configuration take each other's URLs, and nobody has to configure one.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use sha2::Sha256;
use tokio::sync::OwnedSemaphorePermit;

use super::ApiRequest;
use super::flag_catalog::push_hex;
use super::reply::Reply;
use crate::config::client_api::ClientApiConfig;
use crate::context::Moment;
use crate::digest::Digest;
use crate::request::query_pairs;

/// URLs end with half a day of the calendar, so that a client is given the same one again and keeps its stream.
const HALF_A_DAY: i64 = 12 * 3600;
/// How much longer than that a URL holds: who was told of it a moment ago has a whole day.
const HALVES: i64 = 3;
/// How long a stream is silent at most. Many proxies cut what is silent for a minute.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A client that gets changes for as long as this is held.
#[derive(Debug)]
pub struct Stream {
    /// The digest that the client is taken to know.
    pub digest: Digest,
    pub(super) _seat: OwnedSemaphorePermit,
}

impl Stream {
    /// The first message to a client: how soon to come back when the connection is lost.
    pub const GREETING: &'static str = "retry: 2000\n\n";
    /// The message to a client when nothing has changed for a while.
    pub const NOTHING: &'static str = ": nothing new\n\n";

    /// The head of the answer.
    pub(super) fn head() -> Reply {
        let mut reply = Reply::empty(StatusCode::OK);
        let kind = HeaderValue::from_static("text/event-stream");
        reply.headers.push((CONTENT_TYPE, kind));
        // nginx would keep events to itself until it has many.
        let unbuffered = HeaderValue::from_static("no");
        let name = HeaderName::from_static("x-accel-buffering");
        reply.with(name, unbuffered)
    }

    /// The message to a client about this snapshot; `None`: it says the same as the one before.
    pub fn tell(&mut self, digest: Digest, moment: Moment) -> Option<String> {
        if digest == self.digest {
            return None;
        }
        self.digest = digest;
        let modified = moment.unix_ms.div_euclid(1000);
        Some(format!(
            "event: message\ndata: {{\"type\":\"refetchEvaluation\",\"etag\":\"{digest}\",\"lastModified\":{modified}}}\n\n"
        ))
    }
}

/// The URL of a stream, for a client that asks for flags now.
pub(super) fn address(request: &ApiRequest<'_>) -> String {
    let half = request
        .moment
        .unix_ms
        .div_euclid(1000)
        .div_euclid(HALF_A_DAY);
    let expires = (half + HALVES) * HALF_A_DAY;
    let path = format!("{}/ofrep/v1/events", request.config.path);
    let mut signature = String::with_capacity(64);
    if let Some(signer) = signer(request.config, &path, expires) {
        push_hex(&mut signature, signer.finalize().into_bytes().iter());
    }
    let scheme = if request.https { "https" } else { "http" };
    let host = request.head.authority;
    format!("{scheme}://{host}{path}?expires={expires}&signature={signature}")
}

/// Looks at what a stream's URL is signed with.
///
/// # Errors
/// 401 when it is not, or not any more.
pub(super) fn verify(request: &ApiRequest<'_>) -> Result<(), Reply> {
    let value = |name: &str| {
        let mut pairs = request.head.query.into_iter().flat_map(query_pairs);
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let expires: Option<i64> = value("expires").and_then(|text| text.parse().ok());
    let signature = value("signature").and_then(bytes);
    let now = request.moment.unix_ms.div_euclid(1000);
    if let (Some(expires), Some(signature)) = (expires, signature) {
        let path = format!("{}/ofrep/v1/events", request.config.path);
        let signer = signer(request.config, &path, expires);
        let is_signed = signer.is_some_and(|signer| signer.verify_slice(&signature).is_ok());
        if expires > now && is_signed {
            return Ok(());
        }
    }
    Err(Reply::error(
        StatusCode::UNAUTHORIZED,
        "ask for the flags: their answer has a URL that holds",
    ))
}

fn signer(config: &ClientApiConfig, path: &str, expires: i64) -> Option<Hmac<Sha256>> {
    let mut key = Vec::with_capacity(32 * (config.tokens.len() + 1));
    key.extend_from_slice(b"serin: streams of events");
    for token in &config.tokens {
        key.extend_from_slice(token.digest());
    }
    // HMAC takes keys of any length (RFC 2104, section 2).
    let mut signer = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    signer.update(path.as_bytes());
    signer.update(b"?");
    signer.update(&expires.to_be_bytes());
    Some(signer)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
