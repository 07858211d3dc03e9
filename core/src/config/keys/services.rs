//! The keys of `services`.

pub(crate) mod health;
pub(crate) mod mirror;
pub(crate) mod recovery;
pub(crate) mod tls;

use std::sync::Arc;

use http::StatusCode;

use super::key::{Group, Setting, Stated, group, later, required, setting, stated};
use super::kinds::lists::Globs;
use super::kinds::quantities::{Time, seconds};
use super::kinds::texts::{Name, Text, name};
use super::kinds::words::Words;
use super::kinds::{Bool, Integer, Status, Url, integer};
use super::shape::{Form, Shape, map, names, text_or_map};
use crate::cluster::Balance;
use crate::cluster::policy::OnLeave;

pub(super) static SERVICES: Shape = names(&SERVICE);

static SERVICE: Shape = text_or_map(
    Form::Url,
    &[
        &STABLE,
        &CANARIES,
        &BALANCE,
        &TIMEOUTS,
        &recovery::RETRIES,
        &recovery::RESCUE,
        &PRESERVE_HOST,
        &health::HEALTH,
        &health::OUTLIER,
        &STREAMS,
        &MAX_IN_FLIGHT,
        &MAX_CONNECTIONS,
        &MAX_REQUESTS,
        &QUEUE,
        &SHUTOFF,
        &mirror::MIRROR,
    ],
);

pub(crate) static STABLE: Group = group(
    "stable",
    "The stable deployment: its URL. Only where a flag server's flag records it may it be left out.",
    &STABLE_SHAPE,
);

static STABLE_SHAPE: Shape = text_or_map(Form::Url, &[&STABLE_URL, &later("version"), &TLS]);

pub(crate) static TLS: Group = group(
    "tls",
    "How it is spoken to over TLS. Its authority and the certificate that it is shown are its canaries' as well.",
    &TLS_SHAPE,
);

static TLS_SHAPE: Shape = map(&[
    &tls::CA,
    &tls::SNI,
    &tls::VERIFY,
    &tls::CLIENT_CERT,
    &tls::CLIENT_KEY,
]);

pub(crate) static STABLE_URL: Stated<Url> = required(
    "url",
    "http:// or https://, h2c:// or h2:// for HTTP/2, a host and a port, no path; or srv+http:// and the name of SRV records.",
    Url,
);

// Its default depends on the service's name.
pub(crate) static CANARIES: Stated<Globs> = stated(
    "canaries",
    "Canary flags in order of precedence, names and globs; default \"<service>.*\".",
    Globs,
);

pub(crate) static BALANCE: Setting<&Words<Balance>> = setting(
    "balance",
    "How an endpoint is chosen; default {default}.",
    &BALANCES,
    Balance::LeastRequests,
);

static BALANCES: Words<Balance> = Words(&[
    ("least_requests", Balance::LeastRequests),
    ("round_robin", Balance::RoundRobin),
    ("hash_user", Balance::HashUser),
]);

static TIMEOUTS_SHAPE: Shape = map(&[&CONNECT, &RESPONSE, &IDLE]);

pub(crate) static TIMEOUTS: Group =
    group("timeouts", "How long upstreams may take.", &TIMEOUTS_SHAPE);

pub(crate) static CONNECT: Setting<Time> = setting(
    "connect",
    "Until a connection stands; default {default}.",
    Time::Limit,
    seconds(1),
);

pub(crate) static RESPONSE: Setting<Time> = setting(
    "response",
    "From when the request has been passed on until an attempt's response begins; default {default}.",
    Time::Limit,
    seconds(15),
);

pub(crate) static IDLE: Setting<Time> = setting(
    "idle",
    "A pooled connection's life; default {default}.",
    Time::Limit,
    seconds(60),
);

pub(crate) static PRESERVE_HOST: Setting<Bool> = setting(
    "preserve_host",
    "Whether the client's Host is passed on; default {default}, else the URL's.",
    Bool,
    true,
);

pub(crate) static STREAMS: Group = group(
    "streams",
    "What becomes of streams (WebSockets, events, gRPC, answers that never end) on a canary that their users leave.",
    &STREAMS_SHAPE,
);

static STREAMS_SHAPE: Shape = map(&[&ON_LEAVE, &WITHIN]);

pub(crate) static ON_LEAVE: Setting<&Words<OnLeave>> = setting(
    "on_leave",
    "keep: they go on to their own end; close: they are closed when the canary's lease ends or their user is meant for \
     another deployment; default {default}. A kill closes them whatever this says.",
    &ON_LEAVE_WORDS,
    OnLeave::Keep,
);

static ON_LEAVE_WORDS: Words<OnLeave> =
    Words(&[("keep", OnLeave::Keep), ("close", OnLeave::Close)]);

pub(crate) static WITHIN: Setting<Time> = setting(
    "within",
    "Until when the last of them is closed, one after the other; default {default}, which is the most after a kill.",
    Time::Interval(seconds(1)),
    seconds(30),
);

pub(crate) static MAX_IN_FLIGHT: Stated<Integer<u32>> = stated(
    "max_in_flight",
    "How many requests one canary may have at a time; the others are stable's; default: no bound.",
    integer(1, 1_000_000),
);

pub(crate) static MAX_CONNECTIONS: Stated<Integer<u32>> = stated(
    "max_connections",
    "The most connections to its upstreams at a time, those at rest included; default: three quarters of what the open files allow all upstreams.",
    integer(1, 10_000_000),
);

pub(crate) static MAX_REQUESTS: Stated<Integer<u32>> = stated(
    "max_requests",
    "The most requests at a time, for all its deployments together; default: no bound of their own.",
    integer(1, 10_000_000),
);

pub(crate) static QUEUE: Group = group(
    "queue",
    "What becomes of requests beyond max_connections and max_requests.",
    &QUEUE_SHAPE,
);

static QUEUE_SHAPE: Shape = map(&[&LENGTH, &WAIT]);

pub(crate) static LENGTH: Setting<Integer<u32>> = setting(
    "length",
    "How many wait for their turn; the others get 503 at once; default {default}.",
    integer(0, 100_000),
    100,
);

pub(crate) static WAIT: Setting<Time> = setting(
    "wait",
    "How long they wait, then 503; default {default}.",
    Time::Limit,
    seconds(1),
);

pub(crate) static SHUTOFF: Group = group(
    "shutoff",
    "A flag that answers for the service: who it is on for is cut off.",
    &SHUTOFF_SHAPE,
);

static SHUTOFF_SHAPE: Shape = map(&[&SHUTOFF_FLAG, &RESPOND]);

pub(crate) static SHUTOFF_FLAG: Stated<Name<Arc<str>>> = required(
    "flag",
    "The flag; without one of this name nobody is cut off.",
    name(),
);

pub(crate) static RESPOND: Group = group(
    "respond",
    "What is answered in place of the service.",
    &RESPOND_SHAPE,
);

static RESPOND_SHAPE: Shape = map(&[&SHUTOFF_STATUS, &RETRY_AFTER, &SHUTOFF_BODY]);

pub(crate) static SHUTOFF_STATUS: Setting<Status> = setting(
    "status",
    "The status, {least} to {most}; default {default}.",
    Status,
    StatusCode::SERVICE_UNAVAILABLE,
);

pub(crate) static RETRY_AFTER: Stated<Time> = stated(
    "retry_after",
    "When to come back; default: not told.",
    Time::Any,
);

pub(crate) static SHUTOFF_BODY: Setting<Text> =
    setting("body", "The body, as text; default {default}.", Text, "");
