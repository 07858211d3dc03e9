//! The keys of `services`.

mod health;

use super::{
    BOOL, DURATION, Key, Shape, Text, URL, key, later, later_word, list, map, names, required,
    text, text_or_map, word,
};

pub(super) static SERVICES: Shape = names(&SERVICE);

static SERVICE: Shape = text_or_map(Text::Url, &SERVICE_KEYS);

static SERVICE_KEYS: [Key; 12] = [
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
    later("max_in_flight"),
    later("shutoff"),
    later("mirror"),
];

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
        "Until an attempt's response begins; default 15s.",
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
    key("on", "What is retried; default [connect].", &CAUSES),
    later("budget"),
]);

static ATTEMPTS: Shape = text(Text::Integer(0, 10));

static RESCUE: Shape = map(&[
    key(
        "on",
        "What is rescued; default [connect], and [] turns it off.",
        &CAUSES,
    ),
    later("methods"),
    later("after"),
    later("quarantine_after"),
    later("quarantine_for"),
]);

static CAUSES: Shape = list(&CAUSE);

static CAUSE: Shape = text(Text::Word(&[
    word("connect"),
    later_word("reset"),
    later_word("timeout"),
    later_word("5xx"),
]));
