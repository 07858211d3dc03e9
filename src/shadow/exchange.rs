//! One copy and its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::timeout_at;

use super::answer::{Answer, AnswerRecorder};
use super::connections::{Connections, Place, Sender, connect};
use super::failure::Failure;
use super::request::ShadowRequest;
use crate::cluster::Cluster;
use crate::dial::DialError;

/// How many connections that rested are tried before a new one is made.
const MOST_RESTING: usize = 3;

/// Until when an exchange may last, and how long that is in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: tokio::time::Instant,
    pub(super) limit: Duration,
}

/// An answer whose head has come.
#[derive(Debug)]
pub(super) struct Begun {
    recorder: AnswerRecorder,
    body: Incoming,
    /// What may rest where the body is read to its end.
    resting: Option<(Place, Sender)>,
    idle_timeout: Duration,
}

/// Sends a copy. The answer's head comes before the deadline.
pub(super) async fn ask(
    connections: &Arc<Connections>,
    request: &ShadowRequest,
    deadline: Deadline,
) -> Result<Begun, Failure> {
    let (cluster, policy) = (&request.deployment().cluster, &request.service().upstream);
    let address = cluster.bystander(Instant::now()).ok_or(Failure::Nowhere)?;
    // What rests was allowed, and vouched for, when it was made.
    cluster.judge(address).map_err(DialError::from)?;
    let place = Place::of(address, cluster, policy)?;
    let sent = timeout_at(deadline.at, send(connections, request, (address, place))).await;
    let Ok(sent) = sent else {
        connections.forget(place);
        return Err(Failure::TooLong(deadline.limit));
    };
    let (sender, response) = sent?;
    let (head, body) = response.into_parts();
    Ok(Begun {
        recorder: AnswerRecorder::begin(&request.method, head.status, &head.headers),
        body,
        resting: sender.map(|sender| (place, sender)),
        idle_timeout: policy.idle_timeout,
    })
}

impl Begun {
    /// Reads the body as far as there is anything to learn from it, and before the deadline. What is not read to its end
    /// has no connection that could rest.
    pub(super) async fn read(
        mut self,
        connections: &Arc<Connections>,
        until: tokio::time::Instant,
    ) -> Result<Answer, Failure> {
        if !self.recorder.learns() {
            return Ok(self.recorder.finish());
        }
        match timeout_at(until, pieces(&mut self.body, &mut self.recorder)).await {
            Err(_) => return Ok(self.recorder.leave()),
            Ok(is_whole) => {
                if let Some((place, sender)) = self.resting.filter(|_| matches!(is_whole, Ok(true)))
                {
                    connections.rest(place, sender, Instant::now() + self.idle_timeout);
                }
                is_whole?;
            }
        }
        Ok(self.recorder.finish())
    }
}

/// Reads on while there is anything to learn. Whether the end has come.
async fn pieces(body: &mut Incoming, recorder: &mut AnswerRecorder) -> Result<bool, hyper::Error> {
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame?.data_ref()
            && !recorder.push(piece)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends a copy over a connection that rests, or a new one where none does. Answers the connection as well where it is to rest
/// afterwards.
async fn send(
    connections: &Arc<Connections>,
    copy: &ShadowRequest,
    (address, place): (SocketAddr, Place),
) -> Result<(Option<Sender>, Response<Incoming>), Failure> {
    let (cluster, policy) = (&copy.deployment().cluster, &copy.service().upstream);
    let mut request = request(copy, cluster)?;
    let until = || Instant::now() + policy.idle_timeout;
    for _ in 0..MOST_RESTING {
        let Some(sender) = connections.resting(place, Instant::now(), until()) else {
            break;
        };
        match over(sender, request).await {
            Ok((sender, response)) => return Ok((sender.unshared(), response)),
            // It had been closed already: nothing was sent.
            Err((_, Some(unsent))) => request = unsent,
            Err((error, None)) => return Err(error.into()),
        }
    }
    let sender = connect(address, cluster, policy).await?;
    if copy.is_withdrawn() {
        return Err(Failure::Withdrawn);
    }
    if let Sender::Http2(sender) = &sender {
        connections.rest(place, Sender::Http2(sender.clone()), until());
    }
    match over(sender, request).await {
        Ok((sender, response)) => Ok((sender.unshared(), response)),
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
