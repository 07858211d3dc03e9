//! Receipts on the wire: read off requests, written into responses.

use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::head::{Fields, SplitTarget, client_ip, head};
use super::intake::is_https;
use super::proxy::Proxy;
use crate::forward::Served;
use crate::proxy::run::UpstreamRequest;
use crate::receipt::Answering;
use crate::receipts::Receipts;
use crate::receipts::metrics::ReceiptResult;
use crate::request::RequestHead;
use crate::snapshot::Snapshot;

impl Proxy {
    /// The receipt that a request shows in its header field, if it is valid: a service behind may believe Serin's own
    /// fields, so it gets no other.
    pub(super) fn vouched_receipt(
        &self,
        session: &Session,
        ctx: &RequestCtx,
    ) -> Option<(HeaderName, HeaderValue)> {
        let receipts = self.receipts.as_deref()?;
        let name = receipts.header.as_ref()?;
        let value = session.req_header().headers.get(name)?;
        let upstream = ctx.run.upstream.as_ref()?;
        let subject = with_head(session, &ctx.run.snapshot, |head| {
            subject(receipts, &ctx.run.snapshot, upstream, head)
        })??;
        let receipt = receipts.read(value.to_str().ok()?, &subject, ctx.run.moment);
        receipt.ok().map(|_| (name.clone(), value.clone()))
    }

    /// Gives the client a receipt of who serves it, if that tells something new. Users without an ID get none, and no
    /// answer has one that caches share.
    pub(super) fn tell_receipt(
        &self,
        receipts: &Receipts,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &RequestCtx,
        served: Served,
    ) {
        let (snapshot, moment) = (&ctx.run.snapshot, ctx.run.moment);
        let Some(upstream) = ctx.run.upstream.as_ref() else {
            return;
        };
        let user = with_head(session, snapshot, |head| {
            let subject = subject(receipts, snapshot, upstream, head)?;
            let held = receipts.held(head, &subject, moment);
            Some((subject, held))
        });
        let Some((subject, mut held)) = user.flatten() else {
            return;
        };
        // The upstream may be a gateway with the same key, which knows who served further in.
        if let Some(token) = given(receipts, &response.headers) {
            match receipts.read(&token, &subject, moment) {
                Ok(receipt) => held = Some(receipt),
                Err(_) => take_back(receipts, response),
            }
        }
        if is_shared(&response.headers) {
            return;
        }
        let answering = answering(snapshot, upstream, served);
        let Some(token) = receipts.due(held.as_ref(), &subject, answering, moment) else {
            return;
        };
        take_back(receipts, response);
        let secure = receipts.cookie.is_some() && is_https(session, ctx);
        write(receipts, response, &token, secure);
        receipts.counters.count(ReceiptResult::Sent);
    }
}

fn with_head<T>(
    session: &Session,
    snapshot: &Snapshot,
    then: impl FnOnce(&RequestHead<'_>) -> T,
) -> Option<T> {
    let request = session.req_header();
    let (fields, target) = (Fields(&request.headers), SplitTarget::of(request)?);
    let peer = client_ip(session);
    Some(then(&head(
        request,
        &target,
        &fields,
        peer,
        &snapshot.identity,
    )))
}

/// What stands for the request's user: for the user's ID, else for the session's.
fn subject(
    receipts: &Receipts,
    snapshot: &Snapshot,
    upstream: &UpstreamRequest,
    head: &RequestHead<'_>,
) -> Option<String> {
    let context = snapshot.identity.identify(head);
    let known = context.user_id.or(context.session_id);
    let id = known.as_deref().or(upstream.plan.new_session.as_deref())?;
    Some(receipts.subject(id))
}

fn answering<'a>(
    snapshot: &'a Snapshot,
    upstream: &UpstreamRequest,
    served: Served,
) -> Answering<'a> {
    let service = snapshot.services.get(upstream.plan.service);
    let decision = &upstream.plan.decision;
    let candidate = decision.candidate.and_then(|at| service.candidates.get(at));
    let flag = candidate.map(|candidate| &candidate.flag);
    let variant = flag.and_then(|flag| flag.variant(decision.variant?));
    Answering {
        service: &service.name,
        deployment: &service.deployments.get(served.deployment).name,
        flag: flag.map(|flag| &*flag.name),
        variant: variant.map(|variant| &*variant.name),
        reason: decision.reason.kind().as_str(),
        assigned: &service.deployments.get(decision.assigned).name,
        generation: snapshot.generation,
    }
}

/// Whether caches that several users share may keep an answer (RFC 9111, section 5.2.2).
fn is_shared(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CACHE_CONTROL).iter();
    values.any(|value| {
        let mut directives = value.as_bytes().split(|&byte| byte == b',');
        directives.any(|directive| {
            let name = directive.split(|&byte| byte == b'=').next();
            let name = name.unwrap_or_default().trim_ascii();
            name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
        })
    })
}

/// The receipt that an answer carries already.
fn given(receipts: &Receipts, headers: &HeaderMap) -> Option<String> {
    let field = receipts.header.as_ref().and_then(|name| headers.get(name));
    let field = field.and_then(|value| value.to_str().ok());
    let cookies = headers.get_all(SET_COOKIE).iter();
    let cookie = || {
        let mut own = cookies.filter_map(|cookie| own_cookie(receipts, cookie));
        own.next()
    };
    field.or_else(cookie).map(str::to_owned)
}

/// The value of a cookie that is a receipt's.
fn own_cookie<'a>(receipts: &Receipts, cookie: &'a HeaderValue) -> Option<&'a str> {
    let (name, rest) = cookie.to_str().ok()?.split_once('=')?;
    let is_own = receipts.cookie.as_deref() == Some(name.trim());
    is_own.then(|| rest.split(';').next().unwrap_or_default().trim())
}

/// Removes the receipt that an answer carries already.
fn take_back(receipts: &Receipts, response: &mut ResponseHeader) {
    if let Some(name) = &receipts.header {
        response.remove_header(name);
    }
    let cookies = response.headers.get_all(SET_COOKIE).iter();
    let (own, others): (Vec<_>, Vec<_>) = cookies
        .cloned()
        .partition(|cookie| own_cookie(receipts, cookie).is_some());
    if !own.is_empty() {
        response.remove_header(&SET_COOKIE);
        for cookie in others {
            let _ = response.append_header(SET_COOKIE, cookie);
        }
    }
}

fn write(receipts: &Receipts, response: &mut ResponseHeader, token: &str, secure: bool) {
    if let Some(name) = &receipts.header {
        let _ = response.insert_header(name.clone(), token);
    }
    if let Some(name) = &receipts.cookie {
        // Pages read it, and send it along with their events.
        let (age, secure) = (
            receipts.life().as_secs().max(1),
            if secure { "; Secure" } else { "" },
        );
        let cookie = format!("{name}={token}; Path=/; Max-Age={age}; SameSite=Lax{secure}");
        let _ = response.append_header(SET_COOKIE, cookie);
    }
}
