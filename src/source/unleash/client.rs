//! Unleash's client API over HTTP: asks, bounded in time and size, and says what came in terms of what to do about it.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::crypto::ring;
use tokio::time::{Instant, timeout, timeout_at};

use super::Identity;
use crate::config::flag_server::ServerUrl;
use crate::config::unleash::UnleashConfig;

/// The version of the client specification that is spoken: segments stand at the top, strategies hold their IDs.
pub(super) const SPEC: &str = "5.2.0";
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until a response begins, and until a small body is whole.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a body may take longer for: a large one is given time, one that drips is not.
const PER_BYTE: Duration = Duration::from_micros(4);
/// The largest answer that is read.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Why there is no answer to use; each asks for another reaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    /// The token is refused: somebody has to change the configuration.
    #[error("the server refuses the token ({0}): check `token`, which must be one for back ends")]
    Refused(StatusCode),
    /// There is no API at the URL: somebody has to change the configuration.
    #[error(
        "the server answered {status}, and `url` does not end in /api: the API of an Unleash server is at {url}/api"
    )]
    NoApi {
        /// What it answered.
        status: StatusCode,
        /// The URL.
        url: Box<str>,
    },
    /// There is no answer, or one that asks to come back later.
    #[error("{message}")]
    Unavailable {
        /// What happened.
        message: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// There is an answer, and it is no use.
    #[error("{0}")]
    Unusable(String),
}

/// An answer.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The same as last time.
    Same,
    /// Another one.
    New {
        /// The document.
        body: Bytes,
        /// What to show next time.
        etag: Option<HeaderValue>,
        /// Whether the server would rather stream.
        wants_streaming: bool,
    },
}

/// What became of the wish to be told of changes.
#[derive(Debug)]
pub(super) enum Opened {
    /// Events will come.
    Stream(Incoming),
    /// The server has no such thing.
    NotOffered(StatusCode),
}

/// Talks to one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Box<str>,
    headers: HeaderMap,
}

impl Client {
    /// For one server. Connects to nothing yet.
    ///
    /// # Errors
    /// When the system has no certificates to know servers by, and one is needed.
    pub(super) fn new(config: &UnleashConfig, identity: &Identity) -> io::Result<Self> {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(connector(&config.url)?);
        Ok(Self {
            http,
            base: config.url.as_str().into(),
            headers: polite_headers(config, identity),
        })
    }

    /// Asks for all flags. With an `etag`, only if they are others.
    pub(super) async fn features(&self, etag: Option<&HeaderValue>) -> Result<Fetched, FetchError> {
        let mut request = self.request(Method::GET, "/client/features", Bytes::new())?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(etag) = etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        let response = self.send(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Fetched::Same),
            status => return Err(self.misled(status, response.headers())),
        }
        let etag = response.headers().get(ETAG).cloned();
        let wants_streaming = says(response.headers(), "fetch-mode", "streaming");
        if says(response.headers(), "content-type", "text/html") {
            self.is_api(StatusCode::OK)?;
            return Err(FetchError::Unusable(
                "the server answered with a web page, not with flags".to_owned(),
            ));
        }
        let body = whole(response.into_body()).await?;
        if body.trim_ascii().is_empty() {
            return Err(FetchError::Unusable("the answer has no body".to_owned()));
        }
        Ok(Fetched::New {
            body,
            etag,
            wants_streaming,
        })
    }

    /// Asks to be told of changes.
    pub(super) async fn stream(&self) -> Result<Opened, FetchError> {
        let mut request = self.request(Method::GET, "/client/streaming", Bytes::new())?;
        let accept = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(ACCEPT, accept);
        let response = self.send(request).await?;
        let status = response.status();
        let is_stream = says(response.headers(), "content-type", "text/event-stream");
        match status {
            StatusCode::OK if is_stream => Ok(Opened::Stream(response.into_body())),
            StatusCode::TOO_MANY_REQUESTS => Err(failure(status, response.headers())),
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Err(failure(status, response.headers()))
            }
            // A server without streams answers 404, 405 or a page; one whose plan has none, 403 to a token that it takes.
            status => Ok(Opened::NotOffered(status)),
        }
    }

    /// Sends a report. An error that nothing will mend is [`FetchError::Unusable`].
    pub(super) async fn report(&self, path: &str, body: Bytes) -> Result<(), FetchError> {
        let mut request = self.request(Method::POST, path, body)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let response = self.send(request).await?;
        let status = response.status();
        let headers = response.headers().clone();
        // Read to the end so that the connection can be used again; what it says matters to nobody.
        let _ = whole(response.into_body()).await;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Err(FetchError::Unusable(
                format!("the server answered {status}"),
            )),
            status => Err(failure(status, &headers)),
        }
    }

    /// Why flags are not to be had: perhaps there is no API where they are asked for. What Unleash has beside its API answers
    /// as if the token were wrong.
    fn misled(&self, status: StatusCode, headers: &HeaderMap) -> FetchError {
        let elsewhere = matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        );
        match self.is_api(status) {
            Err(error) if elsewhere => error,
            _ => failure(status, headers),
        }
    }

    /// Whether the URL is that of an API, as far as that can be seen.
    fn is_api(&self, status: StatusCode) -> Result<(), FetchError> {
        if self.base.ends_with("/api") {
            return Ok(());
        }
        Err(FetchError::NoApi {
            status,
            url: self.base.clone(),
        })
    }

    fn request(
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

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, FetchError> {
        match timeout(PATIENCE, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unavailable(in_full(&error))),
            Err(_) => Err(unavailable(format!("no response within {PATIENCE:?}"))),
        }
    }
}

/// Reads a body to its end.
async fn whole(mut body: Incoming) -> Result<Bytes, FetchError> {
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
            if read.len() + data.len() > MAX_BYTES {
                let most = MAX_BYTES >> 20;
                let message = format!("the answer is larger than {most} MiB");
                return Err(FetchError::Unusable(message));
            }
            read.extend_from_slice(data);
        }
    }
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
        // Nobody is to be known by a certificate: the system's need not be there.
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(tcp))
}

/// What Unleash wants to know of whoever asks.
fn polite_headers(config: &UnleashConfig, identity: &Identity) -> HeaderMap {
    let interval = config.poll.as_millis().to_string();
    let agent = format!("serin/{}", env!("CARGO_PKG_VERSION"));
    let sdk = identity.sdk();
    let own = [
        ("unleash-appname", &*config.app_name),
        ("unleash-instanceid", &identity.instance),
        ("unleash-connection-id", &identity.connection),
        ("unleash-sdk", &sdk),
        ("unleash-interval", &interval),
        ("unleash-client-spec", SPEC),
        (USER_AGENT.as_str(), &agent),
    ];
    let named = |(name, value): (&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    let mut headers: HeaderMap = own.into_iter().filter_map(named).collect();
    // The configuration's token is one: it was checked when it was read.
    if let Ok(mut token) = HeaderValue::from_str(config.token.expose()) {
        token.set_sensitive(true);
        headers.insert(AUTHORIZATION, token);
    }
    headers
}

fn failure(status: StatusCode, headers: &HeaderMap) -> FetchError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FetchError::Refused(status),
        status => FetchError::Unavailable {
            message: match status {
                StatusCode::NOT_FOUND => {
                    format!("the server answered {status}: check `url`, which ends in /api")
                }
                status => format!("the server answered {status}"),
            },
            retry_after: headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs),
        },
    }
}

fn unavailable(message: String) -> FetchError {
    FetchError::Unavailable {
        message,
        retry_after: None,
    }
}

fn says(headers: &HeaderMap, name: &str, word: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let bare = value.split(';').next().unwrap_or_default().trim();
        bare.eq_ignore_ascii_case(word)
    })
}

/// An error and what it comes from; hyper's own words alone say little.
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
