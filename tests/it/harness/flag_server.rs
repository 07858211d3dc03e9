//! A small flag server that speaks Unleash's client API, written from what is known of it: polling with ETags, streaming
//! with deltas, registration and metrics, and every way of failing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;

use super::port::{Port, secured, self_signed};
use super::until;

/// The token that it takes.
pub(crate) const TOKEN: &str = "default:production.secret-of-the-tests";

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It answers everything with this status.
    Status(u16),
    /// Flags are a web page.
    Html,
    /// Flags are nothing at all.
    Empty,
    /// The answer ends in its middle.
    Truncated,
    /// Flags are JSON that says something else.
    Other,
    /// The answer is larger than anybody's flags.
    Endless,
    /// Requests are taken and never answered.
    Silent,
    /// An byte comes now and then.
    Drip,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The path below `/api`.
    pub(crate) path: String,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The body, `null` without one.
    pub(crate) body: Value,
    /// Whether nothing was wrong with the server then.
    pub(crate) taken: bool,
}

impl Asked {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[derive(Default)]
struct State {
    features: BTreeMap<String, Value>,
    revision: u64,
    fault: Fault,
    streams: bool,
    wants_streaming: bool,
    asked: Vec<Asked>,
}

struct Shared {
    state: Mutex<State>,
    /// What is told on every stream.
    told: broadcast::Sender<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server, on a port of its own that it keeps while it is stopped.
pub(crate) struct FlagServer {
    shared: Arc<Shared>,
    port: Port,
    tls: Option<TlsAcceptor>,
}

type Body = BoxBody<Bytes, io::Error>;

impl FlagServer {
    /// A server without flags, which does not stream.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same behind https, and the certificate to know it by.
    pub(crate) async fn start_https() -> (Self, String) {
        let (tls, certificate) = self_signed();
        (Self::start_with(Some(tls)).await, certificate)
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            told: broadcast::Sender::new(64),
        };
        let mut server = Self {
            shared: Arc::new(shared),
            port: Port::reserve(),
            tls,
        };
        server.restart().await;
        server
    }

    /// The part of `routes.yaml` that names it.
    pub(crate) fn config(&self, more: &str) -> String {
        let url = self.url();
        format!("unleash: {{ url: '{url}', token: '{TOKEN}', poll: 200ms{more} }}\n")
    }

    /// Where its API is.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/api", self.port.address())
    }

    /// Adds or replaces flags; those who stream are told.
    pub(crate) fn put(&self, features: impl IntoIterator<Item = Value>) {
        for feature in features {
            let name = feature["name"].as_str().expect("a name").to_owned();
            self.put_under(&name, &feature);
        }
    }

    /// Adds or replaces a flag that need not have a name of its own; to be removed by this one.
    pub(crate) fn put_under(&self, name: &str, feature: &Value) {
        let event = {
            let mut state = self.shared.lock();
            state.revision += 1;
            state.features.insert(name.to_owned(), feature.clone());
            json!({ "type": "feature-updated", "eventId": state.revision, "feature": feature })
        };
        self.tell(&event);
    }

    /// Removes a flag; those who stream are told.
    pub(crate) fn remove(&self, name: &str) {
        let event = {
            let mut state = self.shared.lock();
            state.revision += 1;
            state.features.remove(name);
            json!({ "type": "feature-removed", "eventId": state.revision, "featureName": name, "project": "default" })
        };
        self.tell(&event);
    }

    /// Forgets every flag but these, and tells nobody.
    pub(crate) fn keep_only(&self, names: &[&str]) {
        let mut state = self.shared.lock();
        state.revision += 1;
        state
            .features
            .retain(|name, _| names.contains(&name.as_str()));
    }

    /// Breaks it, or mends it.
    pub(crate) fn break_with(&self, fault: Fault) {
        self.shared.lock().fault = fault;
    }

    /// Offers streams from now on.
    pub(crate) fn offer_streams(&self) {
        self.shared.lock().streams = true;
    }

    /// Offers streams from now on, and says so to whoever polls.
    pub(crate) fn want_streaming(&self) {
        let mut state = self.shared.lock();
        (state.streams, state.wants_streaming) = (true, true);
    }

    /// Says something on every stream.
    pub(crate) fn say(&self, text: &str) {
        // An error is nobody who listens.
        let _ = self.shared.told.send(text.to_owned());
    }

    /// What was asked of a path below `/api`.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let state = self.shared.lock();
        state
            .asked
            .iter()
            .filter(|asked| asked.path == path)
            .cloned()
            .collect()
    }

    /// Waits until a path has been asked for `count` more times, or more often.
    pub(crate) async fn await_more(&self, path: &str, count: usize) {
        let known = self.asked(path).len();
        let what = format!("{count} more requests for {path}");
        until(&what, || {
            (self.asked(path).len() >= known + count).then_some(())
        })
        .await;
    }

    /// Waits for the first request for a path that `wanted` accepts.
    pub(crate) async fn await_asked(&self, path: &str, wanted: impl Fn(&Asked) -> bool) -> Asked {
        let what = format!("a request for {path}");
        until(&what, || {
            self.asked(path).into_iter().find(|asked| wanted(asked))
        })
        .await
    }

    /// Closes its port and cuts its connections.
    pub(crate) async fn stop(&mut self) {
        self.port.close().await;
    }

    /// Opens its port again.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let (shared, tls) = (self.shared.clone(), self.tls.clone());
        self.port
            .open(move |stream| serve(shared.clone(), tls.clone(), stream));
    }

    fn tell(&self, event: &Value) {
        let data = json!({ "events": [event] });
        self.say(&format!("event: unleash-updated\ndata: {data}\n\n"));
    }
}

/// A flag that sends everybody who is known to a canary; `on` or off.
pub(crate) fn feature(name: &str, canary: &str, on: bool) -> Value {
    json!({
        "name": name, "type": "release", "enabled": on, "impressionData": false, "variants": [],
        "strategies": [{
            "name": "flexibleRollout",
            "constraints": [],
            "segments": [],
            "parameters": { "rollout": "100", "stickiness": "default", "groupId": name },
            "variants": [{
                "name": "canary", "weight": 1000, "weightType": "variable", "stickiness": "default",
                "payload": { "type": "string", "value": canary },
            }],
        }],
    })
}

async fn serve(shared: Arc<Shared>, tls: Option<TlsAcceptor>, stream: TcpStream) {
    let Some(stream) = secured(tls.as_ref(), stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    // How a connection ends is the gateway's affair; the tests look at what came.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let body = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or(Value::Null);
    let path = head.uri.path().trim_start_matches("/api").to_owned();
    let authorised = head
        .headers
        .get("authorization")
        .is_some_and(|token| token == TOKEN);
    let matches = head.headers.get("if-none-match").cloned();
    let fault = {
        let mut state = shared.lock();
        let headers = head.headers;
        let taken = state.fault == Fault::None;
        state.asked.push(Asked {
            path: path.clone(),
            headers,
            body,
            taken,
        });
        state.fault
    };
    match fault {
        Fault::Status(status) => return reply(status, "application/json", "{}"),
        Fault::Silent => std::future::pending().await,
        _ if !authorised => return reply(401, "application/json", "{}"),
        _ => {}
    }
    match (head.method, path.as_str()) {
        (Method::GET, "/client/features") => {
            let state = shared.lock();
            let etag = format!("\"tests:{}\"", state.revision);
            if fault == Fault::None && matches.is_some_and(|known| known == etag) {
                return reply(304, "application/json", "");
            }
            features(&state, fault, &etag)
        }
        (Method::GET, "/client/streaming") if shared.lock().streams => streaming(shared),
        (Method::POST, "/client/register" | "/client/metrics") => reply(202, "text/plain", ""),
        _ => reply(404, "application/json", "{\"name\":\"NotFoundError\"}"),
    }
}

fn features(state: &State, fault: Fault, etag: &str) -> Response<Body> {
    let features: Vec<&Value> = state.features.values().collect();
    let document = json!({
        "version": 2, "features": features, "segments": [],
        "query": { "environment": "production" },
        "meta": { "revisionId": state.revision, "etag": etag },
    });
    let text = document.to_string();
    let mut response = match fault {
        Fault::Html => reply(
            200,
            "text/html; charset=utf-8",
            "<html><body>down</body></html>",
        ),
        Fault::Empty => reply(200, "application/json", ""),
        Fault::Other => reply(200, "application/json", "{\"message\":\"hello\"}"),
        Fault::Truncated => {
            let half = Bytes::from(text[..text.len() / 2].to_owned());
            let first = stream::iter([Ok(Frame::data(half))]);
            // A little later, so that the first half is not cut away with the second.
            whole(first.chain(stream::once(async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(io::Error::other("cut"))
            })))
        }
        Fault::Endless => {
            let piece = Bytes::from(vec![b' '; 1 << 20]);
            whole(stream::repeat_with(move || Ok(Frame::data(piece.clone()))))
        }
        Fault::Drip => whole(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
        })),
        _ => reply(200, "application/json; charset=utf-8", &text),
    };
    let headers = response.headers_mut();
    headers.insert("etag", etag.parse().expect("a header"));
    if state.wants_streaming {
        headers.insert("fetch-mode", "streaming".parse().expect("a header"));
    }
    response
}

/// Says everything at first, and then what is told.
fn streaming(shared: &Arc<Shared>) -> Response<Body> {
    let told = shared.told.subscribe();
    let state = shared.lock();
    let features: Vec<&Value> = state.features.values().collect();
    let event = json!({
        "type": "hydration", "eventId": state.revision, "features": features, "segments": [],
    });
    let data = json!({ "events": [event] });
    let first = format!("event: unleash-connected\ndata: {data}\n\n");
    let rest = stream::unfold(told, |mut told| async {
        Some((told.recv().await.ok()?, told))
    });
    let texts = stream::iter([first]).chain(rest);
    let mut response = whole(texts.map(|text| Ok(Frame::data(Bytes::from(text)))));
    let media = "text/event-stream".parse().expect("a header");
    response.headers_mut().insert("content-type", media);
    response
}

fn whole(
    frames: impl futures_util::Stream<Item = Result<Frame<Bytes>, io::Error>> + Send + Sync + 'static,
) -> Response<Body> {
    Response::new(BoxBody::new(StreamBody::new(frames)))
}

fn reply(status: u16, media: &str, body: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_owned())).map_err(|never| match never {});
    Response::builder()
        .status(status)
        .header("content-type", media)
        .body(body.boxed())
        .expect("a response")
}
