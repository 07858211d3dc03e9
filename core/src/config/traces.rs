//! `tracing`: which requests are told as spans, and to whom.

use http::{HeaderMap, HeaderName, header};

use super::flag_server::ServerUrl;
use crate::flag::Share;

/// Where a collector takes spans, below its URL (OTLP over HTTP).
pub const TRACES_PATH: &str = "/v1/traces";

/// What Serin writes into its requests to a collector.
pub const OWN_HEADERS: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::USER_AGENT,
];

/// `tracing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingConfig {
    /// The collector, without [`TRACES_PATH`].
    pub collector: ServerUrl,
    /// How many requests are told that nobody before this gateway chose; rescued ones and 5xx always are.
    pub sample: Share,
    /// What each request to the collector has; every value is marked as sensitive.
    pub headers: HeaderMap,
}

/// Reads the collector's URL.
///
/// # Errors
/// How such a URL is written.
pub fn collector_url(text: &str) -> Result<ServerUrl, String> {
    if text.trim_end_matches('/').ends_with(TRACES_PATH) {
        return Err("without /v1/traces, which Serin appends".to_owned());
    }
    let form = "http:// or https://, a host, and perhaps a port and a path, as in http://otel:4318";
    ServerUrl::parse(text)
        .map_err(|_| format!("{form}; no user and no query: secrets go into `headers`"))
}
