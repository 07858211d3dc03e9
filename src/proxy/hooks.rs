//! pingora's hooks. They translate and call; what is decided is decided in `dispatch`, `attempts` and `forward`.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use pingora::ErrorType;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, HttpPeer, Session};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext};
use rand::Rng as _;
use tokio::sync::watch;

use super::answer;
use super::client::ClientConnection;
use super::connect::had_no_room;
use super::exchange::Exchange;
use super::failure::{explanation, status_of};
use super::idle::{self, Upstream};
use super::intake::{bound, dispatched, is_cancelled, is_https, take_piece};
use super::outgoing;
use super::peer::{ends, is_http2, is_shared, peer};
use super::recovery::{self, is_interim};
use super::reply;
use super::waiting::{self, Connection};
use super::{first_byte, http10};
use crate::attempts::AttemptContext;
use crate::attempts::pool::Pool;
use crate::canary::Cause;
use crate::client_api::ClientApi;
use crate::clock;
use crate::cluster::Scheme;
use crate::dispatch::Dispatch;
use crate::edit::HeaderSink;
use crate::forward::{self, Served, hop::hop_fields, via::Via};
use crate::meter::Gauge;
use crate::proxy::metrics::ConnectionFigures;
use crate::quarantine::Quarantine;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::access_log::AccessLog;

/// The proxy that a worker's pingora calls.
pub struct Proxy {
    /// Where the current snapshot is.
    pub store: Arc<SnapshotStore>,
    /// Where outcomes are told.
    pub access_log: AccessLog,
    /// Requests under way.
    pub active: Arc<Gauge>,
    /// How many connections there are, and may be.
    pub connections: Arc<ConnectionFigures>,
    /// What clients are answered here.
    pub client_api: Arc<ClientApi>,
    /// Tells of new snapshots.
    pub generation: watch::Receiver<u64>,
    /// Turned to true: every response is its connection's last.
    pub closing: watch::Receiver<bool>,
    /// Which users are spared which canary.
    pub quarantine: Arc<Quarantine>,
    /// This gateway's name in `Via`.
    pub via: Via,
}

#[async_trait]
impl ProxyHttp for Proxy {
    // In a box: pingora moves it about with the futures that it is a part of.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        Box::new(Exchange::new(
            self.store.load(),
            Instant::now(),
            clock::now(),
            &self.active,
        ))
    }

    // Compression is the services' business; pingora would put a module for it into every request.
    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<bool> {
        bound(session, exchange);
        // Answers are in a box: most requests go on, and this hook's own future need have no room for them.
        let answered: BoxFuture<'_, _> = match dispatched(session, exchange, self.via) {
            Dispatch::Forward(plan) => {
                exchange.embark(plan);
                if is_cancelled(session) {
                    return Err(Error::new_down(ErrorType::H2Error));
                }
                return match self.goes_at_once(session, exchange)? {
                    true => Ok(false),
                    false => Box::pin(self.wait(session, exchange)).await,
                };
            }
            Dispatch::Refuse(refusal) => Box::pin(self.refuse(session, exchange, refusal)),
            Dispatch::Answer(answer) => Box::pin(self.answer(session, exchange, answer)),
            Dispatch::Client(rest) => {
                Box::pin(async move { self.serve_client(session, exchange, &rest).await })
            }
            Dispatch::ShutOff(plan) => Box::pin(self.shut_off(session, exchange, plan)),
        };
        answered.await.map(|()| true)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<Box<HttpPeer>> {
        let time_left = exchange
            .route_deadline()
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let snapshot = &exchange.snapshot;
        let shares = self.connections.shares(snapshot.traffic.connections);
        let Some(passage) = exchange.passage.as_mut() else {
            return Error::e_explain(
                ErrorType::InternalError,
                "a request without a plan reached an upstream",
            );
        };
        let service = &snapshot.services[passage.plan.service];
        if time_left.is_some_and(|left| left.is_zero()) {
            passage.attempts.gave_up(Cause::Timeout);
            return Error::e_explain(ErrorType::HTTPStatus(504), "the route's timeout is over");
        }
        let random = rand::rng().next_u64();
        let now = Instant::now();
        let site = AttemptContext {
            service,
            quarantine: &self.quarantine,
            now,
        };
        let address = match passage.attempts.next(&site, random) {
            Ok(address) => address,
            Err(cause) => {
                passage.attempts.gave_up(cause);
                return Error::e_explain(ErrorType::HTTPStatus(503), "nobody can be asked");
            }
        };
        passage.attempt_started = now;
        let cluster = &service.deployments[passage.attempts.deployment()].cluster;
        let method = &session.req_header().method;
        passage.pool = match cluster.url.scheme() {
            Scheme::Http => passage.attempts.pool(method, now),
            // It says which streams its end was too late for.
            Scheme::H2c => Pool::Shared,
        };
        Ok(Box::new(peer(
            address,
            cluster,
            &service.upstream,
            time_left,
            self.connector(service, shares),
            first_byte::is_unspoken(session),
            (passage.pool != Pool::Shared).then_some(random),
        )))
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        peer: &HttpPeer,
        socket: RawFd,
        digest: Option<&Digest>,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        if is_shared(peer) {
            return Ok(());
        }
        // pingora closes one over HTTP/2 on its own when the upstream does.
        let ends = is_http2(peer).then(|| ends(digest)).flatten();
        let upstream = Upstream::taken(socket, digest, ends, Instant::now())?;
        exchange.connected(upstream);
        let connection = Connection {
            socket,
            ends,
            digest,
        };
        waiting::begin(session, exchange, &connection);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        take_piece(session, body, end, exchange)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        outgoing::edit_request(session, upstream, exchange, self.via)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        // RFC 9110, section 15.2.2: only an answer to a request's Upgrade. Passed on, client and gateway would take what
        // follows for different things.
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            let why = "the upstream switches protocols unasked";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        let mending = answer::mend(response)?;
        if is_interim(response) {
            return Ok(());
        }
        recovery::set_aside(session, response, exchange, &self.quarantine)?;
        exchange.answer_begins(response.status.as_u16(), &self.quarantine);
        if let Some(passage) = exchange.passage.as_mut() {
            answer::begun(passage, response, mending);
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<Option<Duration>> {
        answer::drop_body(exchange.passage.as_ref(), body);
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            // What follows is no body: it may be silent as long as it likes.
            session.set_read_timeout(None);
            ClientConnection::current(ClientConnection::open_tunnel);
        }
        for field in hop_fields(response.status, &response.headers) {
            HeaderSink::remove(response, &field);
        }
        let interim = is_interim(response);
        // pingora looks for an unread body when it writes any head, and would close the connection for an interim one's.
        session.set_close_on_response_before_downstream_finish(!interim);
        // A response's edits are the final one's: cookies and decisions have no place in an interim one.
        if interim {
            HeaderSink::remove(response, &forward::DECISION);
            return Ok(());
        }
        if let Some(id) = exchange.told_request_id() {
            // By a text: pingora copies names that are of any other kind.
            response.insert_header("x-request-id", id)?;
        }
        // A request that was already here when the gateway was told to end.
        if *self.closing.borrow() {
            session.set_keepalive(None);
        }
        http10::spare_chunks(session, response);
        let (Some(passage), Some((index, route))) = (&exchange.passage, exchange.forward()) else {
            return Ok(());
        };
        let served = Served {
            deployment: passage.attempts.deployment(),
            cause: passage.attempts.cause(),
        };
        // Only a cookie has to know.
        let https = passage.plan.new_session.is_some() && is_https(session, exchange);
        let mut edits = forward::response_edits(
            &exchange.snapshot,
            &passage.plan,
            served,
            route.expose,
            https,
        );
        for edit in edits.drain(..) {
            response.take(edit);
        }
        response.apply(&exchange.snapshot.routes[index].response_edits);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        exchange: &mut Box<Exchange>,
        mut e: Box<Error>,
    ) -> Box<Error> {
        if had_no_room(&e) {
            return recovery::had_no_room(exchange);
        }
        let again = recovery::connect_failed(session, exchange, &self.quarantine);
        e.set_retry(again);
        e
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        exchange: &mut Box<Exchange>,
        reused: bool,
    ) -> Box<Error> {
        if idle::rested_too_long(&e) {
            // Nothing has been sent, and nobody has failed: pingora gets another connection.
            return e;
        }
        recovery::attempt_failed(session, exchange, &self.quarantine, e, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &Error,
        exchange: &mut Box<Exchange>,
    ) -> FailToProxy {
        let status = ClientConnection::current(ClientConnection::fault)
            .flatten()
            .or_else(|| status_of(e));
        if let Some(status) = status
            && !recovery::has_begun(session)
        {
            exchange.own_status = Some(status.as_u16());
            // pingora closes the connection after an error: the client must not send its next request on it.
            session.set_keepalive(None);
            let why = explanation(status);
            let id = exchange.told_request_id();
            if let Err(e) = reply::error(session, status, why, id).await {
                tracing::debug!(error = %e, "an error response could not be sent");
            }
        } else {
            http10::break_off(session);
        }
        FailToProxy {
            error_code: status.map_or(0, |status| status.as_u16()),
            // The request's body may not have been read to its end.
            can_reuse_downstream: false,
        }
    }

    async fn logging(
        &self,
        session: &mut Session,
        _: Option<&Error>,
        exchange: &mut Box<Exchange>,
    ) {
        if !session.is_body_done() {
            ClientConnection::current(ClientConnection::leave_unread);
        }
        let now = Instant::now();
        recovery::settle(session, exchange, &self.quarantine, now);
        self.record(session, exchange, now);
        exchange.rest_upstream(now);
    }

    // The outcome record says it, once and with the deployment.
    fn suppress_error_log(&self, _: &Session, _: &Box<Exchange>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<Exchange>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
