//! pingora's hooks. They translate and call; what is decided is decided in `dispatch`, `attempts` and `forward`.

use std::os::fd::RawFd;
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

use super::answer;
use super::body::take_piece;
use super::connect::had_no_room;
use super::ctx::RequestCtx;
use super::failure::status_of;
use super::head::ResponseFields;
use super::http10;
use super::idle::{self, Upstream};
use super::intake::{bound, is_cancelled};
use super::leaving;
use super::mirror;
use super::outgoing;
use super::peer::{addrs, is_http2, is_shared};
use super::proxy::Proxy;
use super::recovery::{self, is_interim};
use super::reply;
use super::route_fields::route_fields;
use super::upstream_socket::UpstreamSocket;
use super::waiting::{self, Connection};
use crate::clock;
use crate::drain::Stage;
use crate::edit::HeaderSink;
use crate::forward::{self, hop::hop_fields};
use crate::proxy::client::ClientConnection;
use crate::proxy::explanation;
use crate::proxy::run::{HeadStep, RequestRun};

#[async_trait]
impl ProxyHttp for Proxy {
    // In a box: pingora moves it about with the futures that it is a part of.
    type CTX = Box<RequestCtx>;

    fn new_ctx(&self) -> Box<RequestCtx> {
        let (snapshot, started, moment) = (self.store.load(), Instant::now(), clock::now());
        let run = RequestRun::begin(snapshot, started, moment, &self.active);
        Box::new(RequestCtx::new(run))
    }

    // Compression is the services' business; pingora would put a module for it into every request.
    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        ctx: &mut Box<RequestCtx>,
    ) -> pingora::Result<bool> {
        bound(session, ctx);
        // Answers are in a box: most requests go on, and this hook's own future need have no room for them.
        let answered: BoxFuture<'_, _> = match self.head_step(session, ctx) {
            HeadStep::Forward => {
                if is_cancelled(session) {
                    return Err(Error::new_down(ErrorType::H2Error));
                }
                return match self.goes_at_once(session, ctx)? {
                    true => Ok(false),
                    false => Box::pin(self.wait(session, ctx)).await,
                };
            }
            HeadStep::Refuse(refusal) => Box::pin(self.refuse(session, ctx, refusal)),
            HeadStep::Respond(response) => Box::pin(self.answer(session, ctx, response)),
            HeadStep::Client(rest) => {
                Box::pin(async move { self.serve_client(session, ctx, &rest).await })
            }
            HeadStep::ShutOff => Box::pin(self.shut_off(session, ctx)),
        };
        answered.await.map(|()| true)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Box<RequestCtx>,
    ) -> pingora::Result<Box<HttpPeer>> {
        self.next_peer(session, ctx)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        socket: RawFd,
        digest: Option<&Digest>,
        ctx: &mut Box<RequestCtx>,
    ) -> pingora::Result<()> {
        if is_shared(peer) {
            ctx.shares(|| UpstreamSocket::of(socket, digest, addrs(digest)));
            return Ok(());
        }
        // pingora closes one over HTTP/2 on its own when the upstream does.
        let addrs = is_http2(peer).then(|| addrs(digest)).flatten();
        let upstream = Upstream::taken(socket, digest, addrs, Instant::now())?;
        ctx.connected(upstream);
        let connection = Connection {
            socket,
            addrs,
            digest,
            reused,
        };
        waiting::begin(session, ctx, &connection);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<RequestCtx>,
    ) -> pingora::Result<()> {
        take_piece(session, body, end, ctx)?;
        let piece = body.as_deref().unwrap_or_default();
        ctx.mirroring.body_comes(piece, end, &self.shadows);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Box<RequestCtx>,
    ) -> pingora::Result<()> {
        mirror::attempt_begins(session, upstream, ctx, self);
        outgoing::edit_request(session, upstream, ctx, self)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<RequestCtx>,
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
        recovery::set_aside(session, response, ctx, &self.quarantine)?;
        mirror::answer_begins(session, response, ctx);
        answer::begun(&mut ctx.connection, response, mending);
        leaving::answered(session, ctx, response);
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<RequestCtx>,
    ) -> pingora::Result<Option<Duration>> {
        leaving::pass(ctx, body, end)?;
        let piece = body.as_deref().unwrap_or_default();
        ctx.mirroring.answer_comes(piece, end);
        answer::drop_body(&ctx.connection, body);
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<RequestCtx>,
    ) -> pingora::Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            // What follows is no body: it may be silent as long as it likes.
            session.set_read_timeout(None);
            ClientConnection::current(ClientConnection::open_tunnel);
        }
        for field in hop_fields(response.status, &response.headers) {
            ResponseFields(response).remove(&field);
        }
        let interim = is_interim(response);
        // pingora looks for an unread body when it writes any head, and would close the connection for an interim one's.
        session.set_close_on_response_before_downstream_finish(!interim);
        // A response's edits are the final one's: cookies and decisions have no place in an interim one.
        if interim {
            ResponseFields(response).remove(&forward::DECISION);
            return Ok(());
        }
        if let Some(id) = ctx.run.told_request_id() {
            // By a text: pingora copies names that are of any other kind.
            response.insert_header("x-request-id", id)?;
        }
        // A request that was already here when the end was announced.
        if self.drain.has_reached(Stage::Announced) {
            session.set_keepalive(None);
        }
        http10::spare_chunks(session, response);
        self.edit_response(session, response, ctx);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        ctx: &mut Box<RequestCtx>,
        mut e: Box<Error>,
    ) -> Box<Error> {
        if had_no_room(&e) {
            return recovery::had_no_room(ctx);
        }
        let again = recovery::connect_failed(session, ctx, &self.quarantine);
        e.set_retry(again);
        e
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        ctx: &mut Box<RequestCtx>,
        reused: bool,
    ) -> Box<Error> {
        if idle::rested_too_long(&e) {
            // Nothing has been sent, and no endpoint has failed: pingora gets another connection.
            return e;
        }
        recovery::attempt_failed(session, ctx, &self.quarantine, e, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &Error,
        ctx: &mut Box<RequestCtx>,
    ) -> FailToProxy {
        let status = ClientConnection::current(ClientConnection::fault)
            .flatten()
            .or_else(|| status_of(e));
        if let Some(status) = status
            && !recovery::has_begun(session)
        {
            ctx.run.own_status = Some(status.as_u16());
            // pingora closes the connection after an error: the client must not send its next request on it.
            session.set_keepalive(None);
            let why = explanation::of_request(status, &ctx.run);
            let id = ctx.run.told_request_id();
            let fields = route_fields(session, ctx);
            if let Err(e) = reply::error(session, status, &why, (id, &fields)).await {
                tracing::debug!(error = %e, "an error response could not be sent");
            }
        } else if ctx.connection.is_left {
            leaving::say_farewell(session, ctx).await;
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
        error: Option<&Error>,
        ctx: &mut Box<RequestCtx>,
    ) {
        if error.is_none() {
            ctx.mirroring.answer_ends();
        }
        self.end(session, ctx, Instant::now());
    }

    // The outcome record says it, once and with the deployment.
    fn suppress_error_log(&self, _: &Session, _: &Box<RequestCtx>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<RequestCtx>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
