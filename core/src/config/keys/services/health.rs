//! The keys of `health` and `outlier`.

use crate::config::keys::key::{Group, Setting, Stated, group, setting, stated};
use crate::config::keys::kinds::quantities::{Time, seconds};
use crate::config::keys::kinds::texts::Parsed;
use crate::config::keys::kinds::words::Words;
use crate::config::keys::kinds::{Integer, Percentage, Status, integer, percent};
use crate::config::keys::shape::{Shape, map};
use crate::config::value::targets;

pub(crate) static HEALTH: Group = group(
    "health",
    "How endpoints are checked; default: they are not.",
    &HEALTH_SHAPE,
);

static HEALTH_SHAPE: Shape = map(&[
    &TYPE,
    &PATH,
    &STATUS,
    &INTERVAL,
    &TIMEOUT,
    &UNHEALTHY_AFTER,
    &HEALTHY_AFTER,
]);

// Its default depends on whether there is a path.
pub(crate) static TYPE: Stated<&Words<ProbeType>> = stated(
    "type",
    "What is asked: http, tcp or grpc; default http where there is a path, else tcp.",
    &PROBE_TYPES,
);

/// The kinds of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeType {
    /// By a GET.
    Http,
    /// Whether a connection can be made.
    Tcp,
    /// gRPC's health service.
    Grpc,
}

pub(crate) static PROBE_TYPES: Words<ProbeType> = Words(&[
    ("http", ProbeType::Http),
    ("tcp", ProbeType::Tcp),
    ("grpc", ProbeType::Grpc),
]);

pub(crate) static PATH: Setting<Parsed<Box<str>>> = setting(
    "path",
    "What is asked for by GET; default {default}.",
    Parsed {
        what: "the path of a check",
        stand_in: "/",
        parse: targets::probe_path,
    },
    "/",
);

pub(crate) static STATUS: Stated<Status> = stated(
    "status",
    "The status that is good; default every 2xx.",
    Status,
);

pub(crate) static INTERVAL: Setting<Time> = setting(
    "interval",
    "From one check to the next; default {default}.",
    Time::Limit,
    seconds(5),
);

pub(crate) static TIMEOUT: Setting<Time> = setting(
    "timeout",
    "How long one may take; default {default}.",
    Time::Limit,
    seconds(2),
);

pub(crate) static UNHEALTHY_AFTER: Setting<Integer<u32>> = setting(
    "unhealthy_after",
    "Failed checks in a row that make an endpoint unhealthy; default {default}.",
    integer(1, 100),
    3,
);

pub(crate) static HEALTHY_AFTER: Setting<Integer<u32>> = setting(
    "healthy_after",
    "Good checks in a row that make it healthy again; default {default}.",
    integer(1, 100),
    2,
);

pub(crate) static OUTLIER: Group = group(
    "outlier",
    "When an endpoint that fails gets no requests for a while.",
    &OUTLIER_SHAPE,
);

static OUTLIER_SHAPE: Shape = map(&[
    &CONSECUTIVE_FAILURES,
    &ERROR_RATIO,
    &WINDOW,
    &MIN_REQUESTS,
    &EJECT_FOR,
    &MAX_EJECTED,
]);

pub(crate) static CONSECUTIVE_FAILURES: Setting<Integer<u32>> = setting(
    "consecutive_failures",
    "Failures in a row after which an endpoint is ejected: no connection; or a broken connection, a timeout or 5xx, where \
     users are known of more than one; default {default}; 0: however many.",
    integer(0, 1_000_000),
    5,
);

pub(crate) static ERROR_RATIO: Setting<Percentage> = setting(
    "error_ratio",
    "The part of failures within the window from which it is ejected; default {default}; 0%: however large.",
    Percentage,
    percent(50),
);

pub(crate) static WINDOW: Setting<Time> = setting(
    "window",
    "How far back error_ratio looks; default {default}.",
    Time::Limit,
    seconds(10),
);

pub(crate) static MIN_REQUESTS: Setting<Integer<u32>> = setting(
    "min_requests",
    "How many requests there must be within the window; default {default}.",
    integer(1, 1_000_000),
    20,
);

pub(crate) static EJECT_FOR: Setting<Time> = setting(
    "eject_for",
    "How long the first ejection lasts, the next ones up to ten times as long; default {default}.",
    Time::Limit,
    seconds(30),
);

pub(crate) static MAX_EJECTED: Setting<Percentage> = setting(
    "max_ejected",
    "How many of stable's endpoints may be ejected at a time, but one at least; default {default}; 0%: none.",
    Percentage,
    percent(50),
);
