//! Receipts on the wire: written into responses.

use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::intake::is_https;
use super::proxy::Proxy;
use crate::forward::Served;
use crate::proxy::run::UpstreamRequest;
use crate::receipt::Answering;
use crate::receipts::Receipts;
use crate::receipts::metrics::ReceiptResult;
use crate::request::field;
use crate::snapshot::Snapshot;

impl Proxy {
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
        let (Some(upstream), Some(shown)) = (&ctx.run.upstream, &ctx.receipt) else {
            return;
        };
        // The upstream may be a gateway with the same key, which knows who served further in.
        let from_within = given(receipts, &response.headers);
        let from_within = from_within.and_then(|token| {
            let read = receipts.read(token.as_bytes(), &shown.user, moment).ok();
            if read.is_none() {
                take_back(receipts, response);
            }
            read
        });
        if is_shared(&response.headers) {
            return;
        }
        let held = from_within.as_deref().or(shown.held.as_deref());
        let answering = answering(snapshot, upstream, served);
        let Some(token) = receipts.due(held, &shown.user, answering, moment) else {
            return;
        };
        take_back(receipts, response);
        let secure = receipts.cookie.is_some() && is_https(session, ctx);
        write(receipts, response, &token, secure);
        receipts.counters.count(ReceiptResult::Sent);
    }
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
    field::all(headers, &CACHE_CONTROL).any(|value| {
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
    let field = receipts.header.as_ref();
    let field = field.and_then(|name| field::first(headers, name)?.to_str().ok());
    let cookie = || {
        let cookies = field::all(headers, &SET_COOKIE);
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
