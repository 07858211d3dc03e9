//! Unleash's client API: asks, and says what came in terms of what to do about it.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::deltas;
use super::identity::Identity;
use crate::config::unleash::UnleashConfig;
use crate::engine::source::{SourceKind, SourceSet};
use crate::source::feed::flag_server::{EventMeaning, FetchError, Fetched, FlagServer, Opened};
use crate::source::feed::http::{HttpClient, retry_after, says, whole};
use crate::source::feed::removal_guard::RemovalGuard;
use crate::source::feed::sse::Event;

/// The version of the client specification that is spoken: segments stand at the top, strategies hold their IDs.
pub(super) const SPEC: &str = "5.2.0";

/// Talks to one server.
#[derive(Clone, Debug)]
pub(super) struct Client(HttpClient);

impl Client {
    /// For one server. Connects to nothing yet.
    ///
    /// # Errors
    /// When the system has no certificates to know servers by, and one is needed.
    pub(super) fn new(config: &UnleashConfig, identity: &Identity) -> io::Result<Self> {
        HttpClient::new(&config.url, polite_headers(config, identity)).map(Self)
    }

    /// Sends a report. An error that nothing will mend is [`FetchError::Unusable`].
    pub(super) async fn report(&self, path: &str, body: Bytes) -> Result<(), FetchError> {
        let mut request = self.0.request(Method::POST, path, body)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let response = self.0.send(request).await?;
        let status = response.status();
        let headers = response.headers().clone();
        // Read to the end so that the connection can be used again; the content does not matter.
        let _ = whole(response.into_body()).await;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Err(FetchError::Unusable(
                format!("the server answered {status}"),
            )),
            status => Err(failure(status, &headers)),
        }
    }

    /// Why there are no flags: perhaps there is no API where they are asked for. What Unleash has beside its API answers
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
        let url = self.0.base();
        if url.ends_with("/api") {
            return Ok(());
        }
        Err(FetchError::Misconfigured(format!(
            "the server answered {status}, and `url` does not end in /api: the API of an Unleash server is at {url}/api"
        )))
    }
}

impl FlagServer for Client {
    async fn fetch(&self, tag: Option<&HeaderValue>) -> Result<Fetched, FetchError> {
        let mut request = self
            .0
            .request(Method::GET, "/client/features", Bytes::new())?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(tag) = tag {
            headers.insert(IF_NONE_MATCH, tag.clone());
        }
        let response = self.0.send(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if tag.is_some() => return Ok(Fetched::Same),
            status => return Err(self.misled(status, response.headers())),
        }
        let tag = response.headers().get(ETAG).cloned();
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
            tag,
            wants_streaming,
        })
    }

    async fn open_stream(&self) -> Result<Opened, FetchError> {
        let mut request = self
            .0
            .request(Method::GET, "/client/streaming", Bytes::new())?;
        let accept = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(ACCEPT, accept);
        let response = self.0.send(request).await?;
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

    fn read(body: &[u8]) -> Result<SourceSet, FetchError> {
        SourceSet::parse(SourceKind::Unleash, body)
            .map_err(|error| FetchError::Unusable(error.to_string()))
    }

    fn meaning(event: &Event) -> EventMeaning {
        match &*event.name {
            "unleash-connected" => EventMeaning::Everything,
            "unleash-updated" => EventMeaning::Change,
            _ => EventMeaning::Other,
        }
    }

    fn apply(
        data: &[u8],
        guard: &mut RemovalGuard,
        now: Instant,
        patience: Duration,
    ) -> Result<(), FetchError> {
        deltas::apply(data, guard, now, patience)
    }
}

/// What Unleash wants to know of a client.
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
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FetchError::Misconfigured(format!(
            "the server refuses the token ({status}): check `token`, which must be one for back ends"
        )),
        status => FetchError::Unavailable {
            message: match status {
                StatusCode::NOT_FOUND => {
                    format!("the server answered {status}: check `url`, which ends in /api")
                }
                status => format!("the server answered {status}"),
            },
            retry_after: retry_after(headers),
        },
    }
}
