//! The keys of `canary_urls`, `listeners`, `admin`, `server` and `logging`.

use super::{
    BOOL, DURATION, Key, PERCENTAGE, Shape, TEXT, TEXTS, Text, key, later, list, map, required,
    text, text_or_list, text_or_map, word,
};

pub(super) static CANARY_URLS: Shape = map(&[required(
    "allow",
    "What flag servers' payloads may name: networks that every address must lie in, and host names (exact or \"*.suffix\"); \
     default any name, and private or loopback addresses. Metadata and link-local addresses never are.",
    &TEXTS,
)]);

pub(super) static LISTENERS: Shape = list(&LISTENER);

static LISTENER: Shape = text_or_map(Text::Any, &LISTENER_KEYS);

static LISTENER_KEYS: [Key; 3] = [
    required("address", "Address and port, as in 0.0.0.0:8080.", &TEXT),
    later("tls"),
    later("proxy_protocol"),
];

pub(super) static ADMIN: Shape = text_or_map(Text::Any, &ADMIN_KEYS);

static ADMIN_KEYS: [Key; 5] = [
    key(
        "address",
        "Address and port, or several; default 127.0.0.1:9900. Callers from elsewhere get probes and metrics only.",
        &ADDRESSES,
    ),
    key(
        "probes",
        "Address and port, or several, for /livez, /readyz and /metrics alone; default none of their own.",
        &ADDRESSES,
    ),
    key(
        "hosts",
        "Names that the API answers to (exact or \"*.suffix\"), beside localhost and IP addresses; default none.",
        &TEXTS,
    ),
    later("tls"),
    later("tokens"),
];

static ADDRESSES: Shape = text_or_list(Text::Any, &TEXT);

pub(super) static SERVER: Shape = map(&[
    key(
        "threads",
        "Worker threads; default 0: one per core.",
        &THREADS,
    ),
    key(
        "state_dir",
        "Where what must survive a restart is kept; default ./state.",
        &TEXT,
    ),
    key(
        "trusted_proxies",
        "Networks of proxies whose word counts; default none.",
        &TEXTS,
    ),
    key(
        "shutdown_delay",
        "How long connections are still taken after SIGTERM; default 5s.",
        &DURATION,
    ),
    key(
        "shutdown_grace",
        "How long running requests may then go on; default 30s.",
        &DURATION,
    ),
    key(
        "ready_without_flags",
        "After how long /readyz is 200 although a flag server has never answered; default never.",
        &DURATION_OR_NEVER,
    ),
    key(
        "snapshot_max_age",
        "Stored flags that are older are loaded with a loud warning; default 7d.",
        &DURATION,
    ),
    key(
        "removal_guard",
        "How long flags are kept that a suspiciously small answer lacks; default 5m.",
        &DURATION,
    ),
    key("limits", "How much one client may take.", &LIMITS),
    key(
        "timeouts",
        "How long a client may keep one waiting.",
        &TIMEOUTS,
    ),
]);

static LIMITS: Shape = map(&[
    key(
        "header_bytes",
        "The largest head of a request, else 431; default 64KiB, at most 1MiB.",
        &SIZE,
    ),
    key(
        "headers",
        "The most header fields of a request, else 431; default 128.",
        &HEADERS,
    ),
    key(
        "body_bytes",
        "The largest body of a request, else 413; default none.",
        &SIZE_OR_NONE,
    ),
    key(
        "connections",
        "The most connections of clients at a time, else 503; default 20000, if the open files suffice.",
        &CONNECTIONS,
    ),
    key(
        "connections_per_client",
        "The most connections of one client (an IPv4 address, or an IPv6 /64; not of a trusted proxy), else 503; default half of all.",
        &CONNECTIONS,
    ),
    key(
        "streams_per_client",
        "The most requests that one client may have open over HTTP/2, else 503; default 10000.",
        &CONNECTIONS,
    ),
    key(
        "requests_per_connection",
        "After how many requests a connection is closed; default 10000.",
        &REQUESTS,
    ),
]);

static TIMEOUTS: Shape = map(&[
    key(
        "header_read",
        "From a request's first byte to the end of its head, else 408; default 10s.",
        &DURATION,
    ),
    key(
        "idle",
        "How long a connection is kept without a request; default 75s.",
        &DURATION,
    ),
    key(
        "body_read",
        "How long the next piece of a request's body may take, else 408; default 30s.",
        &DURATION,
    ),
    key(
        "body_rate",
        "How fast a request's body has to come, else 408; default 1KiB/s over 10s. RPC streams and upgraded connections may take their time.",
        &RATE_OR_NONE,
    ),
    key(
        "write",
        "How long a client may take nothing of a response; default 30s.",
        &DURATION,
    ),
]);

static HEADERS: Shape = text(Text::Integer(1, 256));
static CONNECTIONS: Shape = text(Text::Integer(1, 10_000_000));
static REQUESTS: Shape = text(Text::Integer(1, u32::MAX));
static SIZE: Shape = text(Text::Size);
static SIZE_OR_NONE: Shape = text(Text::SizeOrNone);
static RATE_OR_NONE: Shape = text(Text::RateOrNone);

static DURATION_OR_NEVER: Shape = text(Text::DurationOrNever);

static THREADS: Shape = text(Text::Integer(0, 1024));

pub(super) static LOGGING: Shape = map(&[
    key(
        "level",
        "The least severe level that is written; default info.",
        &LEVEL,
    ),
    key("format", "json (default) or text.", &FORMAT),
    key(
        "access",
        "Which requests are logged: off, sampled (default) or all.",
        &ACCESS,
    ),
    key(
        "sample",
        "How many with access: sampled; default 1%. 5xx and rescues always are.",
        &PERCENTAGE,
    ),
    key(
        "user_id",
        "What stands for the user: hash (default), plain or omit.",
        &USER_ID,
    ),
    key(
        "hash_key",
        "The secret that user IDs are hashed under; default: one of this gateway's own, made and kept in state_dir.",
        &TEXT,
    ),
    key(
        "expose_request_id",
        "Whether responses carry the request's ID as x-request-id; default true.",
        &BOOL,
    ),
]);

static LEVEL: Shape = text(Text::Word(&[
    word("error"),
    word("warn"),
    word("info"),
    word("debug"),
    word("trace"),
]));

static FORMAT: Shape = text(Text::Word(&[word("json"), word("text")]));

static ACCESS: Shape = text(Text::Word(&[word("off"), word("sampled"), word("all")]));

static USER_ID: Shape = text(Text::Word(&[word("hash"), word("plain"), word("omit")]));
