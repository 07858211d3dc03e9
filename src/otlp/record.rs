//! What the exporter is told of a request: spans with everything that they need, copied on the worker.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::canary::{Cause, ReasonKind};
use crate::config::traces::TracingConfig;
use crate::decide::Decision;
use crate::record::Outcome;
use crate::route::PathPattern;
use crate::snapshot::{Deployment, DeploymentIndex, Service};
use crate::trace::{FailedAttempt, RequestTrace};

/// The longest text of a client's own that a span carries.
const MAX_TEXT: usize = 1_024;

/// Methods that attributes name (the semantic conventions ask for `_OTHER` otherwise).
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
];

/// A request that is told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What became of it, with host, path and the client's own address.
    pub outcome: &'a Outcome<'a>,
    /// Its trace.
    pub trace: &'a RequestTrace,
    /// When its head had come.
    pub started: Instant,
    /// When it ended, in both clocks.
    pub ended: (Instant, SystemTime),
    /// Where the last attempt went, and when it began; `None`: there was no attempt.
    pub last: Option<LastAttempt>,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The protocol's version, as in `1.1`.
    pub protocol: &'static str,
    /// The path that upstreams were sent, without its query.
    pub upstream_path: &'a str,
    /// `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// `tracestate`.
    pub trace_state: Option<&'a str>,
}

/// The attempt that was made last, failed or not.
#[derive(Clone, Copy, Debug)]
pub struct LastAttempt {
    /// The deployment that was asked.
    pub deployment: DeploymentIndex,
    /// Its endpoint.
    pub address: SocketAddr,
    /// When it began.
    pub began: Instant,
}

/// A request, as the exporter gets it.
#[derive(Debug)]
pub struct RequestRecord {
    pub(super) config: Arc<TracingConfig>,
    pub(super) trace: u128,
    pub(super) trace_state: Box<str>,
    pub(super) flags: u8,
    pub(super) spans: Vec<SpanRecord>,
}

/// One span.
#[derive(Debug)]
pub(super) struct SpanRecord {
    pub(super) id: u64,
    pub(super) parent: Option<NonZeroU64>,
    /// Else it is a client's: an attempt.
    pub(super) is_server: bool,
    pub(super) name: Box<str>,
    /// In nanoseconds since 1970, like its end.
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) is_error: bool,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
}

/// What an attribute says.
#[derive(Debug)]
pub(super) enum Attribute {
    /// A text of the request's own.
    Text(Box<str>),
    /// A name that configuration gave.
    Name(Arc<str>),
    /// One of some words.
    Word(&'static str),
    Number(i64),
    Flag(bool),
}

impl RequestRecord {
    /// Copies what the spans need. `None`: its snapshot asks for none.
    pub fn new(told: &Told<'_>) -> Option<Self> {
        let config = told.outcome.snapshot.tracing.clone()?;
        let mut spans = Vec::with_capacity(2 + told.trace.failed.len());
        spans.push(server_span(told));
        let snapshot = told.outcome.snapshot;
        if let Some(service) = told.outcome.service {
            let service = snapshot.services.get(service);
            for (number, failed) in told.trace.failed.iter().enumerate() {
                spans.push(failed_span(told, service, number, failed));
            }
            spans.extend(last_span(told, service));
        }
        Some(Self {
            config,
            trace: told.trace.id(),
            trace_state: bounded(told.trace_state.unwrap_or_default()).into(),
            flags: told.trace.recorded_flags(),
            spans,
        })
    }
}

fn server_span(told: &Told<'_>) -> SpanRecord {
    let outcome = told.outcome;
    let (method, path) = (known(outcome.method), outcome.path);
    let route = outcome.route.and_then(|index| {
        let route = outcome.snapshot.router.route(index)?;
        Some((&route.name, pattern(&route.matches.path)))
    });
    let mut attributes = vec![
        (
            "http.request.method",
            Attribute::Word(method.unwrap_or("_OTHER")),
        ),
        ("url.path", text(path)),
        ("url.scheme", Attribute::Word(told.scheme)),
        ("network.protocol.version", Attribute::Word(told.protocol)),
        (
            "client.address",
            Attribute::Text(outcome.client.to_canonical().to_string().into()),
        ),
        ("serin.request_id", text(outcome.request_id)),
        ("serin.generation", number(outcome.snapshot.generation)),
    ];
    if method.is_none() {
        attributes.push(("http.request.method_original", text(outcome.method)));
    }
    if let Some((host, port)) = split_host(outcome.host) {
        attributes.push(("server.address", text(host)));
        attributes.extend(port.map(|port| ("server.port", number(port))));
    }
    if let Some(agent) = told.user_agent {
        attributes.push(("user_agent.original", text(agent)));
    }
    let mut name = method.unwrap_or("HTTP").to_owned();
    if let Some((route, pattern)) = route {
        name = format!("{name} {pattern}");
        attributes.push(("http.route", Attribute::Text(pattern.into())));
        attributes.push(("serin.route", Attribute::Name(route.clone())));
    }
    status(&mut attributes, outcome.status, 500);
    decided(&mut attributes, outcome);
    if let Some(cause) = told.trace.broken {
        attributes.push(("error.type", Attribute::Word(cause.as_str())));
    }
    SpanRecord {
        id: told.trace.span(),
        parent: told.trace.parent(),
        is_server: true,
        name: name.into(),
        begin: told.at(told.started),
        end: told.at(told.ended.0),
        is_error: outcome.status >= 500 || told.trace.broken.is_some(),
        attributes,
    }
}

/// What was decided, and who served.
fn decided(attributes: &mut Vec<(&'static str, Attribute)>, outcome: &Outcome<'_>) {
    let Some(service) = outcome.service else {
        return;
    };
    let service = outcome.snapshot.services.get(service);
    let deployment = |index| Attribute::Name(service.deployments.get(index).name.clone());
    attributes.push(("serin.service", Attribute::Name(service.name.clone())));
    if let Some(decision) = outcome.decision {
        let kind = decision.reason.kind();
        attributes.push(("serin.assigned", deployment(decision.assigned)));
        attributes.push(("serin.reason", Attribute::Word(kind.as_str())));
        flagged(attributes, service, &decision);
    }
    if let Some(served) = outcome.served {
        attributes.push(("serin.served", deployment(served)));
    }
    if let Some(cause) = outcome.cause {
        attributes.push(("serin.cause", Attribute::Word(cause.as_str())));
    }
}

/// The flag that decided (<https://opentelemetry.io/docs/specs/semconv/feature-flags/>).
fn flagged(
    attributes: &mut Vec<(&'static str, Attribute)>,
    service: &Service,
    decision: &Decision,
) {
    let candidate = decision.candidate;
    let Some(candidate) = candidate.and_then(|index| service.candidates.get(index)) else {
        return;
    };
    let flag = &candidate.flag;
    let variant = decision.variant.and_then(|variant| flag.variant(variant));
    attributes.push(("feature_flag.key", Attribute::Name(flag.name.clone())));
    attributes.push(("feature_flag.provider.name", Attribute::Word("serin")));
    let reason = flag_reason(decision);
    attributes.push(("feature_flag.result.reason", Attribute::Word(reason)));
    if let Some(variant) = variant {
        let name = Attribute::Name(variant.name.clone());
        attributes.push(("feature_flag.result.variant", name));
    }
    let randomised = Attribute::Flag(decision.randomised);
    attributes.push(("serin.randomised", randomised));
}

/// Serin's reason in the words of the semantic conventions.
fn flag_reason(decision: &Decision) -> &'static str {
    match decision.reason.kind() {
        ReasonKind::Override | ReasonKind::Lane => "static",
        ReasonKind::Ring | ReasonKind::Strategy | ReasonKind::Rule if decision.randomised => {
            "split"
        }
        ReasonKind::Ring | ReasonKind::Strategy | ReasonKind::Rule => "targeting_match",
        ReasonKind::Killed | ReasonKind::LeaseOver | ReasonKind::NotReady | ReasonKind::FlagOff => {
            "disabled"
        }
        ReasonKind::NoIdentity | ReasonKind::NoFlags | ReasonKind::Default => "default",
    }
}

fn failed_span(
    told: &Told<'_>,
    service: &Service,
    number: usize,
    failed: &FailedAttempt,
) -> SpanRecord {
    let last = LastAttempt {
        deployment: failed.deployment,
        address: failed.address,
        began: failed.began,
    };
    let mut span = client_span(told, service, number, last);
    span.end = told.at(failed.ended);
    span.is_error = true;
    match failed.status {
        Some(code) => status(&mut span.attributes, code, 400),
        None => span.attributes.push(cause(failed.cause)),
    }
    span
}

/// The attempt whose answer the client got, or waited for.
fn last_span(told: &Told<'_>, service: &Service) -> Option<SpanRecord> {
    let (last, failed) = (told.last?, &told.trace.failed);
    let is_failed =
        |failed: &FailedAttempt| (failed.address, failed.began) == (last.address, last.began);
    if failed.last().is_some_and(is_failed) {
        return None;
    }
    let mut span = client_span(told, service, failed.len(), last);
    let outcome = told.outcome;
    if outcome.served.is_some() {
        status(&mut span.attributes, outcome.status, 400);
        span.is_error = outcome.status >= 400;
    }
    if let Some(broken) = told.trace.broken {
        span.attributes.push(cause(broken));
        span.is_error = true;
    }
    Some(span)
}

/// An attempt that ends with its request.
fn client_span(
    told: &Told<'_>,
    service: &Service,
    index: usize,
    attempt: LastAttempt,
) -> SpanRecord {
    let deployment: &Deployment = service.deployments.get(attempt.deployment);
    let url = &deployment.cluster.url;
    let method = known(told.outcome.method);
    let full = format!("http://{}{}", url.authority(), bounded(told.upstream_path));
    let mut attributes = vec![
        (
            "http.request.method",
            Attribute::Word(method.unwrap_or("_OTHER")),
        ),
        ("url.full", Attribute::Text(full.into())),
        (
            "server.address",
            Attribute::Text(url.host().to_string().into()),
        ),
        (
            "network.peer.address",
            Attribute::Text(attempt.address.ip().to_string().into()),
        ),
        ("network.peer.port", number(attempt.address.port())),
        ("serin.service", Attribute::Name(service.name.clone())),
        ("serin.deployment", Attribute::Name(deployment.name.clone())),
    ];
    if !url.is_srv() {
        attributes.push(("server.port", number(url.port())));
    }
    if index > 0 {
        attributes.push(("http.request.resend_count", number(index as u64)));
    }
    SpanRecord {
        id: told.trace.attempt_span(index),
        parent: NonZeroU64::new(told.trace.span()),
        is_server: false,
        name: method.unwrap_or("HTTP").into(),
        begin: told.at(attempt.began),
        end: told.at(told.ended.0),
        is_error: false,
        attributes,
    }
}

impl Told<'_> {
    /// A moment of the request, in nanoseconds since 1970.
    fn at(&self, moment: Instant) -> u64 {
        let (ended, clock) = self.ended;
        let since = clock.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = since.saturating_sub(ended.saturating_duration_since(moment));
        u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A status, and that it is an error from `error` on. 0 is none.
fn status(attributes: &mut Vec<(&'static str, Attribute)>, status: u16, error: u16) {
    if status == 0 {
        return;
    }
    attributes.push(("http.response.status_code", number(status)));
    if status >= error {
        let kind = Attribute::Text(status.to_string().into());
        attributes.push(("error.type", kind));
    }
}

fn cause(cause: Cause) -> (&'static str, Attribute) {
    ("error.type", Attribute::Word(cause.as_str()))
}

fn known(method: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method)
}

/// A route's path as the file has it.
fn pattern(path: &PathPattern) -> Cow<'_, str> {
    match path {
        PathPattern::Prefix(prefix) if prefix.is_empty() => "/".into(),
        PathPattern::Prefix(path) | PathPattern::Exact(path) => (&**path).into(),
        PathPattern::Regex(regex) => {
            let anchored = regex.as_str();
            let bare = anchored
                .strip_prefix("^(?:")
                .and_then(|rest| rest.strip_suffix(")$"));
            bare.unwrap_or(anchored).into()
        }
    }
}

/// Host and port that a client asked for.
fn split_host(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = crate::host::split_port(host);
    let port = port.and_then(|port| port.parse().ok());
    (!name.is_empty()).then_some((name, port))
}

fn number(number: impl TryInto<i64>) -> Attribute {
    Attribute::Number(number.try_into().unwrap_or(i64::MAX))
}

fn text(text: &str) -> Attribute {
    Attribute::Text(bounded(text).into())
}

fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT))
        .unwrap_or(text)
}
