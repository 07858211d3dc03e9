//! HTTP to flag servers, bounded in time and size.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::crypto::ring;
use tokio::time::{Instant, timeout, timeout_at};

use super::flag_server::{FetchError, MAX_BYTES};
use crate::config::flag_server::ServerUrl;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until a response begins, and until a small body is whole.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a server's own words is passed on.
const MOST_WORDS: usize = 300;
/// What a body may take longer for: a large one is given time, one that drips is not.
const PER_BYTE: Duration = Duration::from_micros(4);

/// Sends requests to one server, with the same headers each.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Box<str>,
    headers: HeaderMap,
}

impl HttpClient {
    /// For one server. Connects to nothing yet.
    ///
    /// # Errors
    /// When the system has no certificates to know servers by, and one is needed.
    pub(crate) fn new(url: &ServerUrl, headers: HeaderMap) -> io::Result<Self> {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(connector(url)?);
        Ok(Self {
            http,
            base: url.as_str().into(),
            headers,
        })
    }

    /// The server's URL.
    pub(in crate::source) fn base(&self) -> &str {
        &self.base
    }

    /// A request to a path below the server's URL.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, FetchError> {
        let uri = format!("{}{path}", self.base);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(Full::new(body))
            .map_err(|error| FetchError::Unusable(format!("the URL cannot be asked: {error}")))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// Sends a request, and waits for the head of the response.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, FetchError> {
        match timeout(PATIENCE, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unavailable(in_full(&error))),
            Err(_) => Err(unavailable(format!("no response within {PATIENCE:?}"))),
        }
    }
}

/// Reads a body to its end.
pub(crate) async fn whole(body: Incoming) -> Result<Bytes, FetchError> {
    whole_within(body, MAX_BYTES).await
}

/// Reads a body to its end, if it has no more than so many bytes.
pub(in crate::source) async fn whole_within(
    mut body: Incoming,
    most: usize,
) -> Result<Bytes, FetchError> {
    let begun = Instant::now();
    let mut read = BytesMut::new();
    loop {
        let allowance = PER_BYTE.saturating_mul(u32::try_from(read.len()).unwrap_or(u32::MAX));
        let frame = match timeout_at(begun + PATIENCE + allowance, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(unavailable(format!(
                    "the answer broke off: {}",
                    in_full(&error)
                )));
            }
            Ok(None) => return Ok(read.freeze()),
            Err(_) => return Err(unavailable("the answer comes too slowly".to_owned())),
        };
        if let Some(data) = frame.data_ref() {
            if read.len() + data.len() > most {
                let most = match most >> 20 {
                    0 => format!("{} KiB", most >> 10),
                    most => format!("{most} MiB"),
                };
                let message = format!("the answer is larger than {most}");
                return Err(FetchError::Unusable(message));
            }
            read.extend_from_slice(data);
        }
    }
}

/// Whether a header's value, without its parameters, is this word.
pub(in crate::source) fn says(headers: &HeaderMap, name: &str, word: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let bare = value.split(';').next().unwrap_or_default().trim();
        bare.eq_ignore_ascii_case(word)
    })
}

/// The server's own words in a body, as far as they are a line of text.
pub(crate) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let plain = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char });
    let words: String = plain.take(MOST_WORDS).collect();
    words.trim().to_owned()
}

/// How long the server wants to be left alone: so many seconds, or until a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value
        .parse()
        .ok()
        .map(Duration::from_secs)
        .or_else(|| until(value, SystemTime::now()))
}

/// From now to a date in one of HTTP's three forms (section 5.6.7); no time, if it has passed.
fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn connector(url: &ServerUrl) -> io::Result<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let provider = ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if url.is_https() {
        builder.with_provider_and_native_roots(provider)?
    } else {
        // No certificate will be verified: the system's need not be there.
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(tcp))
}

fn unavailable(message: String) -> FetchError {
    FetchError::Unavailable {
        message,
        retry_after: None,
    }
}

/// An error and its causes; hyper's own message alone says little.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use http::header::RETRY_AFTER;
    use http::{HeaderMap, HeaderValue};

    use super::{retry_after, until};

    fn said(value: &str) -> Option<Duration> {
        let value = HeaderValue::from_str(value).unwrap();
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
    }

    #[test]
    fn a_date_is_as_far_as_it_is_from_now() {
        let now = UNIX_EPOCH + Duration::from_millis(784_111_767_500);
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                until(date, now),
                Some(Duration::from_millis(9_500)),
                "{date}"
            );
        }
        assert_eq!(
            until("Sun, 06 Nov 1994 08:49:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(until("6 November 1994", now), None);
    }

    #[test]
    fn servers_say_seconds_or_a_date() {
        assert_eq!(said("7"), Some(Duration::from_secs(7)));
        let hour = Duration::from_secs(3600);
        let wait = said(&httpdate::fmt_http_date(SystemTime::now() + hour)).unwrap();
        // The date has whole seconds.
        assert!(wait <= hour && wait > hour / 2, "{wait:?}");
        assert_eq!(said("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        for neither in ["-1", "1.5", "soon", ""] {
            assert_eq!(said(neither), None, "{neither}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
