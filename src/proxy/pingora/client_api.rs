//! The client API on the wire: its requests' bodies are read, its answers written, its streams kept open.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::Session;
use tokio::time::{Instant, sleep_until};

use super::ctx::RequestCtx;
use super::head::client_ip;
use super::head::{Fields, SplitTarget, head};
use super::intake::is_https;
use super::proxy::Proxy;
use super::reply::send;
use crate::client_api::{ApiRequest, Endpoint, KEEP_ALIVE, NextStep, Reply, Stream};
use crate::clock;
use crate::drain::Stage;
use crate::identity::Auth;
use crate::request::field;

impl Proxy {
    /// Answers a request for the client API, whose path goes on with `rest` behind the API's own.
    pub(super) async fn serve_client(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
        rest: &str,
    ) -> pingora::Result<()> {
        ctx.run.is_for_clients = true;
        let admitted = self.asked(session, ctx, |asked| self.client_api.admit(asked, rest));
        let (endpoint, reply) = match admitted {
            None => (Endpoint::Unknown, Reply::not_text()),
            Some((endpoint, NextStep::Answer(reply))) => (endpoint, reply),
            Some((endpoint, NextStep::Stream(stream, reply))) => {
                self.client_api
                    .metrics
                    .count(endpoint, reply.status.as_u16());
                return self.stream(session, ctx, stream, reply).await;
            }
            Some((endpoint, NextStep::Read(limit))) => {
                let body = body(session, limit).await?;
                let reply = self.answer_client(session, ctx, (endpoint, rest), body);
                (endpoint, reply.await)
            }
        };
        self.client_api
            .metrics
            .count(endpoint, reply.status.as_u16());
        if reply.status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of it is not worth reading.
            session.set_keepalive(None);
        }
        write(session, reply, ctx.run.told_request_id()).await
    }

    async fn answer_client(
        &self,
        session: &Session,
        ctx: &RequestCtx,
        (endpoint, rest): (Endpoint, &str),
        body: Option<Bytes>,
    ) -> Reply {
        let Some(body) = body else {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            let why = "the request's body is too large";
            let refused = self.asked(session, ctx, |asked| {
                self.client_api.refuse(asked, status, why)
            });
            return refused.unwrap_or_else(Reply::not_text);
        };
        let work = self.asked(session, ctx, |asked| {
            self.client_api.preparation(asked, endpoint)
        });
        if let Some(work) = work.flatten() {
            // A panic there has been logged; what it was to make is made again, here.
            let _ = tokio::task::spawn_blocking(work).await;
        }
        let answered = self.asked(session, ctx, |asked| {
            self.client_api.answer(asked, rest, &body)
        });
        answered.unwrap_or_else(Reply::not_text)
    }

    /// Tells the client of every snapshot that says something else, until it goes or the gateway does.
    async fn stream(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
        mut stream: Stream,
        reply: Reply,
    ) -> pingora::Result<()> {
        let header = header(&reply, ctx.run.told_request_id())?;
        let silent = session.req_header().method == http::Method::HEAD;
        session
            .write_response_header(Box::new(header), silent)
            .await?;
        if silent {
            return session.write_response_body(None, true).await;
        }
        let mut generation = self.generation.clone();
        let mut drain = self.drain.clone();
        let mut said = Some(Stream::GREETING.to_owned());
        loop {
            if let Some(said) = said.take() {
                let said = Some(Bytes::from(said));
                session.write_response_body(said, false).await?;
            }
            let silence = Instant::now() + KEEP_ALIVE;
            tokio::select! {
                () = drain.reached(Stage::Announced) => break,
                changed = generation.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    // Not held for as long as the stream lasts: snapshots come and go meanwhile.
                    ctx.run.snapshot = self.store.load();
                    said = stream.tell(ctx.run.snapshot.digest, clock::now());
                }
                () = sleep_until(silence) => said = Some(Stream::NOTHING.to_owned()),
            }
        }
        session.set_keepalive(None);
        session.write_response_body(None, true).await
    }

    /// Puts a question about the request to the client API. `None`: its target cannot be read.
    fn asked<T>(
        &self,
        session: &Session,
        ctx: &RequestCtx,
        question: impl FnOnce(&ApiRequest<'_>) -> T,
    ) -> Option<T> {
        let request = session.req_header();
        let fields = Fields(&request.headers);
        let target = SplitTarget::of(request)?;
        let peer: IpAddr = client_ip(session);
        let rules = &ctx.run.snapshot.identity;
        let head = head(request, &target, &fields, peer, rules);
        let token = rules.tokens.shown(&head, Auth::Optional, ctx.run.moment);
        Some(question(&ApiRequest {
            snapshot: &ctx.run.snapshot,
            config: ctx.run.snapshot.client_api.as_deref()?,
            head: &head,
            token: &token,
            https: is_https(session, ctx),
            quarantine: &self.quarantine,
            receipts: self.receipts.as_deref(),
            served: &self.served,
            moment: ctx.run.moment,
            now: ctx.run.started,
        }))
    }
}

/// Reads a body to its end; `None`: it is larger than that.
async fn body(session: &mut Session, limit: usize) -> pingora::Result<Option<Bytes>> {
    let announced = field::first(&session.req_header().headers, &CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    // Over HTTP/2 some of it may have been read already.
    if let Some(part) = session.as_ref().get_retry_buffer() {
        if part.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    while let Some(part) = session.read_request_body().await? {
        if body.len() + part.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body.freeze()))
}

async fn write(
    session: &mut Session,
    reply: Reply,
    request_id: Option<HeaderValue>,
) -> pingora::Result<()> {
    let mut header = header(&reply, request_id)?;
    // These have no body, and so no length either (RFC 9110, section 8.6).
    if !matches!(
        reply.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        header.insert_header(CONTENT_LENGTH, reply.body.len())?;
    }
    send(session, header, reply.body).await
}

fn header(reply: &Reply, request_id: Option<HeaderValue>) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(reply.status, Some(reply.headers.len() + 2))?;
    if let Some(id) = request_id {
        header.insert_header("x-request-id", id)?;
    }
    for (name, value) in &reply.headers {
        header.append_header(name, value)?;
    }
    Ok(header)
}
