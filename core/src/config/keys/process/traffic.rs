//! The keys of `server.limits` and `server.timeouts`.

use crate::config::keys::key::{Group, Setting, Stated, group, setting, stated};
use crate::config::keys::kinds::quantities::{
    RateOrNone, Size, SizeOrNone, Time, rate, seconds, size,
};
use crate::config::keys::kinds::{Integer, integer};
use crate::config::keys::shape::Scope;
use crate::config::keys::shape::{Shape, map};

pub(crate) static LIMITS: Group =
    group("limits", "How much one client may take.", &LIMITS_SHAPE).within(Scope::Carried);

static LIMITS_SHAPE: Shape = map(&[
    &HEADER_BYTES,
    &HEADERS,
    &BODY_BYTES,
    &CONNECTIONS,
    &CONNECTIONS_PER_CLIENT,
    &STREAMS_PER_CLIENT,
    &STREAMS_PER_CONNECTION,
    &REQUESTS_PER_CONNECTION,
]);

// pingora takes no head above 1 MiB.
pub(crate) static HEADER_BYTES: Setting<Size<usize>> = setting(
    "header_bytes",
    "The largest head of a request, else 431; default {default}, at most {most}.",
    size(1 << 10, 1 << 20),
    64 << 10,
);

// pingora parses no more than 256.
pub(crate) static HEADERS: Setting<Integer<usize>> = setting(
    "headers",
    "The most header fields of a request, else 431; default {default}.",
    integer(1, 256),
    128,
);

pub(crate) static BODY_BYTES: Setting<SizeOrNone> = setting(
    "body_bytes",
    "The largest body of a request, else 413; default {default}.",
    SizeOrNone { most: 1 << 50 },
    None,
);

/// The most connections, and requests over them, that a key may name.
const MOST: u32 = 10_000_000;

// Its default depends on the files that the process may open.
pub(crate) static CONNECTIONS: Stated<Integer<usize>> = stated(
    "connections",
    "The most connections of clients at a time, else 503; default 20000, if the open files suffice.",
    integer(1, MOST),
);

pub(crate) static CONNECTIONS_PER_CLIENT: Stated<Integer<usize>> = stated(
    "connections_per_client",
    "The most connections of one client (an IPv4 address, or an IPv6 /64; not of a trusted proxy), else 503; default half of all.",
    integer(1, MOST),
);

// One that waits for its body takes some 4 KiB.
pub(crate) static STREAMS_PER_CLIENT: Setting<Integer<usize>> = setting(
    "streams_per_client",
    "The most requests that one client may have open over HTTP/2, else 503; default {default}.",
    integer(1, MOST),
    10_000,
);

// RFC 9113, section 6.5.2, recommends 100 or more.
pub(crate) static STREAMS_PER_CONNECTION: Setting<Integer<u32>> = setting(
    "streams_per_connection",
    "The most requests that one connection may have open over HTTP/2, as clients are told at its beginning; default {default}.",
    integer(1, 100_000),
    128,
);

pub(crate) static REQUESTS_PER_CONNECTION: Setting<Integer<u32>> = setting(
    "requests_per_connection",
    "After how many requests a connection is closed; default {default}.",
    integer(1, u32::MAX),
    10_000,
);

pub(crate) static TIMEOUTS: Group = group(
    "timeouts",
    "How long a client may keep one waiting.",
    &TIMEOUTS_SHAPE,
)
.within(Scope::Carried);

static TIMEOUTS_SHAPE: Shape = map(&[&HEADER_READ, &IDLE, &BODY_READ, &BODY_RATE, &WRITE]);

pub(crate) static HEADER_READ: Setting<Time> = setting(
    "header_read",
    "From a request's first byte to the end of its head, else 408; default {default}.",
    Time::Limit,
    seconds(10),
);

pub(crate) static IDLE: Setting<Time> = setting(
    "idle",
    "How long a connection is kept without a request; default {default}.",
    Time::Limit,
    seconds(75),
);

pub(crate) static BODY_READ: Setting<Time> = setting(
    "body_read",
    "How long the next piece of a request's body may take, else 408; default {default}.",
    Time::Limit,
    seconds(30),
);

pub(crate) static BODY_RATE: Setting<RateOrNone> = setting(
    "body_rate",
    "How fast a request's body has to come, else 408; default {default}. RPC streams and upgraded connections may take their time.",
    RateOrNone,
    Some(rate(1 << 10)),
);

pub(crate) static WRITE: Setting<Time> = setting(
    "write",
    "How long a client may take nothing of a response; default {default}.",
    Time::Limit,
    seconds(30),
);
