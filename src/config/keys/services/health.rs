//! The keys of `health` and `outlier`.

use super::super::{DURATION, Key, PERCENTAGE, Shape, TEXT, Text, key, map, text, word};

pub(super) static HEALTH: Shape = map(&HEALTH_KEYS);

static HEALTH_KEYS: [Key; 7] = [
    key(
        "type",
        "What is asked: http, tcp or grpc; default http where there is a path, else tcp.",
        &KIND,
    ),
    key("path", "What is asked for by GET; default /.", &TEXT),
    key(
        "status",
        "The status that is good; default every 2xx.",
        &STATUS,
    ),
    key(
        "interval",
        "From one check to the next; default 5s.",
        &DURATION,
    ),
    key("timeout", "How long one may take; default 2s.", &DURATION),
    key(
        "unhealthy_after",
        "Failed checks in a row that make an endpoint unhealthy; default 3.",
        &STREAK,
    ),
    key(
        "healthy_after",
        "Good checks in a row that make it healthy again; default 2.",
        &STREAK,
    ),
];

static KIND: Shape = text(Text::Word(&[word("http"), word("tcp"), word("grpc")]));

static STATUS: Shape = text(Text::Integer(200, 599));

static STREAK: Shape = text(Text::Integer(1, 100));

pub(super) static OUTLIER: Shape = map(&OUTLIER_KEYS);

static OUTLIER_KEYS: [Key; 6] = [
    key(
        "consecutive_failures",
        "Failures in a row after which an endpoint is ejected: no connection; or a broken connection, a timeout or 5xx, where \
         users are known of more than one; default 5; 0: however many.",
        &COUNT,
    ),
    key(
        "error_ratio",
        "The part of failures within the window from which it is ejected; default 50%; 0%: however large.",
        &PERCENTAGE,
    ),
    key(
        "window",
        "How far back error_ratio looks; default 10s.",
        &DURATION,
    ),
    key(
        "min_requests",
        "How many requests there must be within the window; default 20.",
        &AT_LEAST_ONE,
    ),
    key(
        "eject_for",
        "How long the first ejection lasts, the next ones up to ten times as long; default 30s.",
        &DURATION,
    ),
    key(
        "max_ejected",
        "How many of stable's endpoints may be ejected at a time, but one at least; default 50%; 0%: none.",
        &PERCENTAGE,
    ),
];

static COUNT: Shape = text(Text::Integer(0, 1_000_000));

static AT_LEAST_ONE: Shape = text(Text::Integer(1, 1_000_000));
