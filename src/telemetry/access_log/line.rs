//! What a line holds.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;

use crate::canary::{Cause, ReasonKind};
use crate::config::UserIdPolicy;
use crate::context::Moment;
use crate::decide::Decision;
use crate::digest::Digest;
use crate::record::Outcome;
use crate::snapshot::Service;

/// The longest text of a client's own that a line carries: what waits in the queue is bounded too.
const MAX_TEXT: usize = 2_048;

/// One line, in the order of its keys. Every line has every key, so that whoever reads them need not guess which are
/// absent: what there is not is `null`.
#[derive(Debug, Serialize)]
pub(super) struct LogLine {
    #[serde(serialize_with = "rfc3339")]
    time: Moment,
    request_id: String,
    trace_id: Option<String>,
    client: IpAddr,
    method: String,
    host: String,
    path: String,
    route: Option<Name>,
    service: Option<Name>,
    #[serde(flatten)]
    decided: Decided,
    served: Option<Name>,
    upstream: Option<SocketAddr>,
    #[serde(serialize_with = "cause")]
    cause: Option<Cause>,
    retries: usize,
    generation: u64,
    #[serde(serialize_with = "digest")]
    digest: Digest,
    status: u16,
    request_bytes: u64,
    response_bytes: u64,
    #[serde(serialize_with = "maybe_seconds")]
    upstream_seconds: Option<Duration>,
    #[serde(serialize_with = "seconds")]
    total_seconds: Duration,
    user_id: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Decided {
    flag: Option<Name>,
    variant: Option<Name>,
    assigned: Option<Name>,
    #[serde(serialize_with = "reason")]
    reason: Option<ReasonKind>,
    randomised: Option<bool>,
}

/// A name that configuration gave.
#[derive(Debug)]
struct Name(Arc<str>);

impl Name {
    fn of(name: &Arc<str>) -> Self {
        Self(name.clone())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl LogLine {
    /// Copies what the line needs.
    pub(super) fn new(outcome: &Outcome<'_>) -> Self {
        let snapshot = outcome.snapshot;
        let service = outcome.service.map(|index| snapshot.services.get(index));
        let route = outcome.route.and_then(|index| snapshot.router.route(index));
        let deployment = |index| Some(Name::of(&service?.deployments.get(index).name));
        Self {
            time: outcome.moment,
            request_id: bounded(outcome.request_id),
            trace_id: outcome.trace_id.map(bounded),
            client: outcome.client.to_canonical(),
            method: bounded(outcome.method),
            host: bounded(outcome.host),
            path: bounded(outcome.path),
            route: route.map(|route| Name::of(&route.name)),
            service: service.map(|service| Name::of(&service.name)),
            decided: service
                .zip(outcome.decision)
                .map(|(service, decision)| Decided::new(service, &decision))
                .unwrap_or_default(),
            served: outcome.served.and_then(deployment),
            upstream: outcome.upstream,
            cause: outcome.cause,
            retries: outcome.retries.len(),
            generation: snapshot.generation,
            digest: snapshot.digest,
            status: outcome.status,
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            upstream_seconds: outcome.upstream_time,
            total_seconds: outcome.total_time,
            user_id: outcome
                .user_id
                .and_then(|user| shown(user, &snapshot.logging.user_id)),
        }
    }

    /// Appends the line.
    pub(super) fn write(&self, buffer: &mut Vec<u8>) {
        let before = buffer.len();
        // Neither can fail: the keys are texts, and the buffer grows. Should it ever, no half line is left.
        if serde_json::to_writer(&mut *buffer, self).is_err() {
            buffer.truncate(before);
        } else {
            buffer.push(b'\n');
        }
    }
}

impl Decided {
    fn new(service: &Service, decision: &Decision) -> Self {
        let flag = decision
            .candidate
            .and_then(|index| service.candidates.get(index))
            .map(|candidate| &candidate.flag);
        let variant = flag
            .zip(decision.variant)
            .and_then(|(flag, reference)| Some(Name::of(&flag.variant(reference)?.name)));
        let assigned = service.deployments.get(decision.assigned);
        Self {
            flag: flag.map(|flag| Name::of(&flag.name)),
            variant,
            assigned: Some(Name::of(&assigned.name)),
            reason: Some(decision.reason.kind()),
            randomised: Some(decision.randomised),
        }
    }
}

/// What stands for a user.
fn shown(user: &str, policy: &UserIdPolicy) -> Option<String> {
    match policy {
        // The latter stands until the gateway has put its own key in.
        UserIdPolicy::Omit | UserIdPolicy::HashUnderOwnKey => None,
        UserIdPolicy::Plain => Some(bounded(user)),
        UserIdPolicy::Hash(key) => {
            // HMAC takes keys of every length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(user.as_bytes());
            let mut text = String::with_capacity(64);
            for byte in mac.finalize().into_bytes() {
                let _ = write!(text, "{byte:02x}");
            }
            Some(text)
        }
    }
}

fn bounded(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut shortened = text[..text.floor_char_boundary(MAX_TEXT)].to_owned();
    shortened.push('…');
    shortened
}

fn rfc3339<S: Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    let time = jiff::Timestamp::from_millisecond(moment.unix_ms).unwrap_or_default();
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn digest<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

fn cause<S: Serializer>(cause: &Option<Cause>, serializer: S) -> Result<S::Ok, S::Error> {
    cause.map(Cause::as_str).serialize(serializer)
}

fn reason<S: Serializer>(reason: &Option<ReasonKind>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(ReasonKind::as_str).serialize(serializer)
}

/// In microseconds' precision: more digits would only be noise.
fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let micros =
        u32::try_from(took.as_micros()).map_or_else(|_| took.as_secs_f64() * 1e6, f64::from);
    serializer.serialize_f64(micros / 1e6)
}

fn maybe_seconds<S: Serializer>(took: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match took {
        Some(took) => seconds(took, serializer),
        None => serializer.serialize_none(),
    }
}
