//! What upstreams and clients see: the header edits of one attempt and of one response, as data.

pub mod answer;
pub mod arrival;
pub mod baggage;
pub mod cookies;
pub mod guarded;
pub mod hop;
pub mod trace_context;
pub mod via;

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::canary::Cause;
use crate::dispatch::Plan;
use crate::edit::Edit;
use crate::hygiene;
use crate::identity::{AnonymousCookie, SameSite};
use crate::request::{RequestHead, without_blanks};
use crate::snapshot::{DeploymentIndex, Service, Snapshot};
use trace_context::TraceParent;

/// Edits of a request, without memory taken for the usual number.
pub type Edits = SmallVec<[Edit; 12]>;
/// Edits of a response, the same.
pub type ResponseEdits = SmallVec<[Edit; 2]>;

const DEPLOYMENT: HeaderName = HeaderName::from_static("x-serin-deployment");
/// Carries the decision to clients; never passes as an upstream sent it.
pub const DECISION: HeaderName = HeaderName::from_static("x-serin-decision");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// One attempt at an upstream.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// What the request was decided on.
    pub snapshot: &'a Snapshot,
    /// The request as the client sent it.
    pub head: RequestHead<'a>,
    /// What is to be done with it.
    pub plan: &'a Plan,
    /// Where this attempt goes.
    pub deployment: DeploymentIndex,
    /// The request's ID, for the log of every hop.
    pub request_id: &'a HeaderValue,
    /// How it continues the request's trace.
    pub trace: TraceHop,
    /// Whether the client's connection is encrypted.
    pub encrypted: bool,
    /// What is added to `Via`: the protocol that the client spoke, and this gateway's name.
    pub via: &'static str,
}

/// How an attempt continues the request's trace.
#[derive(Clone, Copy, Debug)]
pub enum TraceHop {
    /// No spans are told here: what came goes on, with this as the sender's span, a random number but 0.
    Passed(u64),
    /// The attempt is a span, which the upstream is told.
    Told {
        /// The attempt's span.
        context: TraceParent,
        /// Whether the trace began before this hop.
        goes_on: bool,
    },
}

/// The edits of the request that goes upstream, before the route's own.
pub fn request_edits(attempt: &Attempt<'_>) -> Edits {
    let Attempt { snapshot, head, .. } = attempt;
    let service = snapshot.services.get(attempt.plan.service);
    let deployment = service.deployments.get(attempt.deployment);
    let mut edits = Edits::new();
    let clean = attempt.plan.headers_clean;
    if !clean {
        hygiene::visit_forbidden(head, &snapshot.identity, &mut |name| {
            edits.push(Edit::Remove(name));
        });
    }
    edits.extend(cookies::without_own(head, &snapshot.identity));
    edits.push(Edit::Set(DEPLOYMENT, deployment.header.clone()));
    let kept = match clean {
        true => Vec::new(),
        false => baggage::kept(head, &service.name),
    };
    edits.push(Edit::Set(
        BAGGAGE,
        baggage::joined(kept, &deployment.baggage),
    ));
    match attempt.trace {
        TraceHop::Told { context, goes_on } => told(attempt, context, goes_on, &mut edits),
        TraceHop::Passed(span) if !clean => passed(attempt, span, &mut edits),
        TraceHop::Passed(_) => {}
    }
    edits.push(Edit::Set(REQUEST_ID, attempt.request_id.clone()));
    forwarded(attempt, &mut edits);
    edits.push(Edit::Add(
        header::VIA,
        HeaderValue::from_static(attempt.via),
    ));
    // A client of HTTP/1.0 may have named no host, but this hop speaks HTTP/1.1 and must.
    if (!service.upstream.preserve_host || head.authority.is_empty())
        && let Ok(host) = HeaderValue::try_from(deployment.cluster.url.authority())
    {
        edits.push(Edit::Set(header::HOST, host));
    }
    edits
}

/// Continues a valid trace; removes what is no valid trace.
fn passed(attempt: &Attempt<'_>, span: u64, edits: &mut Edits) {
    let headers = attempt.head.headers;
    let Some(sent) = headers.first(TRACEPARENT.as_str()) else {
        return;
    };
    match trace_context::continued(sent, span, attempt.head.peer_trusted) {
        Some(value) => edits.push(Edit::Set(TRACEPARENT, value)),
        None => edits.extend([Edit::Remove(TRACEPARENT), Edit::Remove(TRACESTATE)]),
    }
}

/// Tells the attempt's span. What vendors noted about another trace means nothing in one that begins here.
fn told(attempt: &Attempt<'_>, context: TraceParent, goes_on: bool, edits: &mut Edits) {
    if let Some(value) = context.header() {
        edits.push(Edit::Set(TRACEPARENT, value));
    }
    if !goes_on && attempt.head.headers.first(TRACESTATE.as_str()).is_some() {
        edits.push(Edit::Remove(TRACESTATE));
    }
}

/// `x-forwarded-*`: a trusted proxy's are continued, anybody else's are replaced.
fn forwarded(attempt: &Attempt<'_>, edits: &mut Edits) {
    let head = &attempt.head;
    let mut chain: SmallVec<[u8; 64]> = SmallVec::new();
    if head.peer_trusted {
        head.headers.visit(FORWARDED_FOR.as_str(), &mut |field| {
            // An empty one says nothing; a comma behind it would make a hop of it.
            if !without_blanks(field).is_empty() {
                chain.extend_from_slice(field);
                chain.extend_from_slice(b", ");
            }
        });
    }
    push_address(&mut chain, head.peer.to_canonical());
    if let Ok(chain) = HeaderValue::from_bytes(&chain) {
        edits.push(Edit::Set(FORWARDED_FOR, chain));
    }
    let told = |name: &HeaderName| head.peer_trusted && head.headers.first(name.as_str()).is_some();
    if !told(&FORWARDED_PROTO) {
        let scheme = if attempt.encrypted { "https" } else { "http" };
        edits.push(Edit::Set(FORWARDED_PROTO, HeaderValue::from_static(scheme)));
    }
    if !told(&FORWARDED_HOST)
        && !head.authority.is_empty()
        && let Ok(host) = HeaderValue::from_str(head.authority)
    {
        edits.push(Edit::Set(FORWARDED_HOST, host));
    }
}

/// Writes an address. IPv4 by hand: it is needed for nearly every request.
fn push_address(out: &mut SmallVec<[u8; 64]>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        out.extend_from_slice(address.to_string().as_bytes());
        return;
    };
    for (index, byte) in address.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        if byte >= 100 {
            out.push(b'0' + byte / 100);
        }
        if byte >= 10 {
            out.push(b'0' + byte / 10 % 10);
        }
        out.push(b'0' + byte % 10);
    }
}

/// Who answered a request that went to a service.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The deployment that answered.
    pub deployment: DeploymentIndex,
    /// Why, if it is not the assigned one.
    pub cause: Option<Cause>,
}

/// The edits of the response that goes to the client, before the route's own. `expose` is the route's; `https` is
/// whether the client came by HTTPS.
pub fn response_edits(
    snapshot: &Snapshot,
    plan: &Plan,
    served: Served,
    expose: bool,
    https: bool,
) -> ResponseEdits {
    let mut edits = ResponseEdits::new();
    let decision = expose
        .then(|| exposed(snapshot.services.get(plan.service), plan, served))
        .and_then(|value| HeaderValue::try_from(value).ok());
    edits.push(match decision {
        Some(value) => Edit::Set(DECISION, value),
        None => Edit::Remove(DECISION),
    });
    edits.extend(session_cookie(snapshot, plan, https));
    edits
}

/// Tells a new anonymous user their ID.
pub fn session_cookie(snapshot: &Snapshot, plan: &Plan, https: bool) -> Option<Edit> {
    let id = plan.new_session.as_ref()?;
    let cookie = set_cookie(&snapshot.identity.cookie, id, https);
    let cookie = HeaderValue::try_from(cookie).ok()?;
    Some(Edit::Add(header::SET_COOKIE, cookie))
}

/// The decision as a structured field (RFC 9651): a dictionary with the service as its key.
fn exposed(service: &Service, plan: &Plan, served: Served) -> String {
    let mut out = String::with_capacity(96);
    let decision = &plan.decision;
    for (index, byte) in service.name.to_ascii_lowercase().bytes().enumerate() {
        let fits = match byte {
            b'a'..=b'z' | b'*' => true,
            b'0'..=b'9' | b'_' | b'-' | b'.' => index > 0,
            _ => false,
        };
        out.push(if fits { char::from(byte) } else { '*' });
    }
    let assigned = &service.deployments.get(decision.assigned).name;
    let served_by = &service.deployments.get(served.deployment).name;
    let reason = decision.reason.kind().as_str();
    let pairs = [
        ("=", &**assigned),
        (";served=", &**served_by),
        (";reason=", reason),
        (
            ";cause=",
            served.cause.map(Cause::as_str).unwrap_or_default(),
        ),
    ];
    for (key, text) in pairs.into_iter().filter(|(_, text)| !text.is_empty()) {
        out.push_str(key);
        push_string(&mut out, text);
    }
    out
}

/// A structured field's string; what is not printable ASCII is percent-encoded, since strings cannot hold it.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out.push('"');
}

/// A `Set-Cookie` value for the anonymous cookie (RFC 6265bis).
fn set_cookie(cookie: &AnonymousCookie, id: &str, https: bool) -> String {
    let same_site = match cookie.same_site {
        SameSite::Strict => "Strict",
        SameSite::Lax => "Lax",
        SameSite::None => "None",
    };
    let (name, age) = (&cookie.name, cookie.max_age.as_secs());
    let secure = if cookie.secure.holds(https) {
        "; Secure"
    } else {
        ""
    };
    format!("{name}={id}; Path=/; Max-Age={age}; HttpOnly; SameSite={same_site}{secure}")
}

#[cfg(test)]
mod tests;
