//! The keys of `services`.

mod health;

use super::{
    BOOL, DURATION, Key, PERCENTAGE, Shape, TEXT, Text, URL, key, later, list, map, names,
    required, text, text_or_map, word,
};

pub(super) static SERVICES: Shape = names(&SERVICE);

static SERVICE: Shape = text_or_map(Text::Url, &SERVICE_KEYS);

static SERVICE_KEYS: [Key; 15] = [
    key(
        "stable",
        "The stable deployment: its URL. Only where a flag server's flag records it may it be left out.",
        &STABLE,
    ),
    key(
        "canaries",
        "Canary flags in order of precedence, names and globs; default \"<service>.*\".",
        &super::TEXTS,
    ),
    key(
        "balance",
        "How an endpoint is chosen; default least_requests.",
        &BALANCE,
    ),
    key("timeouts", "How long upstreams may take.", &TIMEOUTS),
    key(
        "retries",
        "Further attempts on the same deployment.",
        &RETRIES,
    ),
    key(
        "rescue",
        "When stable takes over a canary's request.",
        &RESCUE,
    ),
    key(
        "preserve_host",
        "Whether the client's Host is passed on; default true, else the URL's.",
        &BOOL,
    ),
    key(
        "health",
        "How endpoints are checked; default: they are not.",
        &health::HEALTH,
    ),
    key(
        "outlier",
        "When an endpoint that fails gets no requests for a while.",
        &health::OUTLIER,
    ),
    key(
        "max_in_flight",
        "How many requests one canary may have at a time; the others are stable's; default: no bound.",
        &MAX_IN_FLIGHT,
    ),
    key(
        "max_connections",
        "The most connections to its upstreams at a time, those at rest included; default: three quarters of what the open files allow all upstreams.",
        &MOST,
    ),
    key(
        "max_requests",
        "The most requests at a time, for all its deployments together; default: no bound of their own.",
        &MOST,
    ),
    key(
        "queue",
        "What becomes of requests beyond max_connections and max_requests.",
        &QUEUE,
    ),
    key(
        "shutoff",
        "A flag that answers for the service: who it is on for is cut off.",
        &SHUTOFF,
    ),
    later("mirror"),
];

static MOST: Shape = text(Text::Integer(1, 10_000_000));

static QUEUE: Shape = map(&[
    key(
        "length",
        "How many wait for their turn; the others get 503 at once; default 100.",
        &QUEUE_LENGTH,
    ),
    key(
        "wait",
        "How long they wait, then 503; default 1s.",
        &DURATION,
    ),
]);

static QUEUE_LENGTH: Shape = text(Text::Integer(0, 100_000));

static STABLE: Shape = text_or_map(Text::Url, &STABLE_KEYS);

static STABLE_KEYS: [Key; 3] = [
    required(
        "url",
        "http:// or h2c://, a host and a port, no path; or srv+http:// and the name of SRV records.",
        &URL,
    ),
    later("version"),
    later("tls"),
];

static BALANCE: Shape = text(Text::Word(&[
    word("least_requests"),
    word("round_robin"),
    word("hash_user"),
]));

static TIMEOUTS: Shape = map(&[
    key(
        "connect",
        "Until a connection stands; default 1s.",
        &DURATION,
    ),
    key(
        "response",
        "From when the request has been passed on until an attempt's response begins; default 15s.",
        &DURATION,
    ),
    key(
        "idle",
        "A pooled connection's life; default 60s.",
        &DURATION,
    ),
]);

static RETRIES: Shape = map(&[
    key(
        "attempts",
        "How many further attempts; default 1.",
        &ATTEMPTS,
    ),
    key(
        "on",
        "What is retried: connect, and for safe methods reset, timeout, statuses; default [connect].",
        &TRIGGERS,
    ),
    key(
        "budget",
        "How many of the service's active requests may be retries; default 20%, and three always.",
        &PERCENTAGE,
    ),
]);

static ATTEMPTS: Shape = text(Text::Integer(0, 10));

static RESCUE: Shape = map(&[
    key(
        "on",
        "What is rescued; default [connect, reset, timeout, 5xx], and [] turns it off.",
        &TRIGGERS,
    ),
    key(
        "methods",
        "What is sent to stable although it had reached the canary; default [GET, HEAD, OPTIONS].",
        &super::TEXTS,
    ),
    key(
        "after",
        "How long a canary may take to begin its answer; default timeouts.response.",
        &DURATION,
    ),
    key(
        "quarantine_after",
        "After how many rescues a user is spared the canary; default 3, and 0 turns it off.",
        &QUARANTINE_AFTER,
    ),
    key(
        "quarantine_for",
        "Within which time, and for how long; default 10m.",
        &DURATION,
    ),
]);

static TRIGGERS: Shape = list(&TRIGGER);

static TRIGGER: Shape = text(Text::Trigger);

static QUARANTINE_AFTER: Shape = text(Text::Integer(0, 1000));

static MAX_IN_FLIGHT: Shape = text(Text::Integer(1, 1_000_000));

static SHUTOFF: Shape = map(&[
    required(
        "flag",
        "The flag; without one of this name nobody is cut off.",
        &TEXT,
    ),
    key(
        "respond",
        "What is answered in place of the service.",
        &SHUTOFF_RESPOND,
    ),
]);

static SHUTOFF_RESPOND: Shape = map(&[
    key(
        "status",
        "The status, 200 to 599; default 503.",
        &SHUTOFF_STATUS,
    ),
    key(
        "retry_after",
        "When to come back; default: not told.",
        &DURATION,
    ),
    key("body", "The body, as text; default empty.", &TEXT),
]);

static SHUTOFF_STATUS: Shape = text(Text::Integer(200, 599));
