//! One copy and its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::answer::{Answer, AnswerRecorder};
use super::connections::{Connections, Sender, connect};
use super::failure::Failure;
use super::request::ShadowRequest;
use crate::cluster::Cluster;
use crate::cluster::policy::UpstreamPolicy;

/// How many connections that rested are tried before a new one is made.
const MOST_RESTING: usize = 3;

/// Sends a copy, and reads the answer as far as there is anything to learn from it. What is not read to its end has no
/// connection that could rest.
pub(super) async fn ask(
    connections: &Arc<Connections>,
    request: &ShadowRequest,
) -> Result<Answer, Failure> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let (cluster, policy) = (&request.deployment().cluster, &request.service().upstream);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let address = cluster.bystander(turn, Instant::now());
    let address = address.ok_or(Failure::Nowhere)?;
    let (sender, response) = send(connections, request, (address, cluster), policy).await?;
    let (head, mut body) = response.into_parts();
    let mut recorder = AnswerRecorder::begin(&request.method, head.status, &head.headers);
    let mut is_whole = true;
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame?.data_ref()
            && !recorder.push(piece)
        {
            is_whole = false;
            break;
        }
    }
    if let Some(sender) = sender.filter(|_| is_whole) {
        let until = Instant::now() + policy.idle_timeout;
        connections.rest((cluster.id, address), sender, until);
    }
    Ok(recorder.finish())
}

/// Sends a copy over a connection that rests, or a new one where none does. Answers the connection as well where it is to rest
/// afterwards.
async fn send(
    connections: &Arc<Connections>,
    copy: &ShadowRequest,
    (address, cluster): (SocketAddr, &Cluster),
    policy: &UpstreamPolicy,
) -> Result<(Option<Sender>, Response<Incoming>), Failure> {
    let mut request = request(copy, cluster)?;
    for _ in 0..MOST_RESTING {
        let Some(sender) = connections.resting((cluster.id, address), Instant::now()) else {
            break;
        };
        // Over HTTP/2 it rests while it is used.
        let is_to_rest = matches!(sender, Sender::Http1(_));
        match over(sender, request).await {
            Ok((sender, response)) => return Ok((Some(sender).filter(|_| is_to_rest), response)),
            // It had been closed already: nothing was sent.
            Err((_, Some(unsent))) => request = unsent,
            Err((error, None)) => return Err(error.into()),
        }
    }
    let sender = connect(address, cluster, policy).await?;
    match over(sender, request).await {
        Ok((sender, response)) => Ok((Some(sender), response)),
        Err((error, _)) => Err(error.into()),
    }
}

/// Sends a request over a connection. An error has the request where nothing of it was sent.
async fn over(
    mut sender: Sender,
    request: Request<Full<Bytes>>,
) -> Result<(Sender, Response<Incoming>), (hyper::Error, Option<Request<Full<Bytes>>>)> {
    let ready = match &mut sender {
        Sender::Http1(sender) => sender.ready().await,
        Sender::Http2(sender) => sender.ready().await,
    };
    if let Err(error) = ready {
        return Err((error, Some(request)));
    }
    let answered = match &mut sender {
        Sender::Http1(sender) => sender.try_send_request(request).await,
        Sender::Http2(sender) => sender.try_send_request(request).await,
    };
    match answered {
        Ok(response) => Ok((sender, response)),
        Err(mut error) => {
            let unsent = error.take_message();
            Err((error.into_error(), unsent))
        }
    }
}

/// The copy as its protocol has it.
fn request(copy: &ShadowRequest, cluster: &Cluster) -> Result<Request<Full<Bytes>>, http::Error> {
    let scheme = cluster.url.scheme();
    let mut request = Request::new(Full::new(copy.body.clone()));
    *request.method_mut() = copy.method.clone();
    request.headers_mut().clone_from(&copy.headers);
    if scheme.is_http2() {
        *request.uri_mut() = Uri::builder()
            .scheme(if scheme.is_tls() { "https" } else { "http" })
            .authority(copy.host.as_bytes())
            .path_and_query(&*copy.target)
            .build()?;
    } else {
        *request.uri_mut() = copy.target.parse().map_err(http::Error::from)?;
        request.headers_mut().insert(HOST, copy.host.clone());
    }
    Ok(request)
}
