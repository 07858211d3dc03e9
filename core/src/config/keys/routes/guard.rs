//! The keys of a route that say what it lets in.

use std::num::NonZeroU32;

use crate::config::keys::key::{Group, Setting, Stated, group, needed, required, setting, stated};
use crate::config::keys::kinds::quantities::{Size, Time, seconds, size};
use crate::config::keys::kinds::texts::Parsed;
use crate::config::keys::kinds::upgrades::Upgrades;
use crate::config::keys::kinds::words::Words;
use crate::config::keys::kinds::{Integer, integer};
use crate::config::keys::shape::{Form, Shape, TEXTS, map, text_or_map};
use crate::config::value;
use crate::route::guard::Upgrade;

pub(crate) static ALLOW: Group = group(
    "allow",
    "Networks that clients may come from, else 403, by the address that flags know as remoteAddress; default from everywhere.",
    &TEXTS,
);

pub(crate) static DENY: Group = group(
    "deny",
    "Networks that clients may not come from, whatever `allow` says; default none.",
    &TEXTS,
);

pub(crate) static BODY_BYTES: Stated<Size<u64>> = stated(
    "body_bytes",
    "The largest body of a request, else 413; server.limits.body_bytes holds as well.",
    size(0, 1 << 50),
);

pub(crate) static UPGRADE: Setting<Upgrades> = setting(
    "upgrade",
    "Protocols that requests may ask for in place of HTTP; [] forbids WebSockets, else 403; default {default}.",
    Upgrades,
    &[Upgrade::WebSocket],
);

pub(crate) static RATE_LIMIT: Group = group(
    "rate_limit",
    "How often the route may be asked, else 429; each gateway counts for itself.",
    &RATE_LIMIT_SHAPE,
);

static RATE_LIMIT_SHAPE: Shape = map(&[&PER, &REQUESTS, &WINDOW, &BURST]);

pub(crate) static PER: Group = needed(group(
    "per",
    "Who has so many: each user (by address where there is no ID), each address (an IPv4 address, or an IPv6 /64), {header: …}: each \
     value of a header (by address where there is none), or all requests of the route together.",
    &PER_SHAPE,
));

/// By whom requests are counted, where a word says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PerWord {
    /// [`crate::route::guard::Per::User`].
    User,
    /// [`crate::route::guard::Per::Address`].
    Address,
    /// [`crate::route::guard::Per::Route`].
    Route,
}

pub(crate) static PER_WORDS: Words<PerWord> = Words(&[
    ("user", PerWord::User),
    ("address", PerWord::Address),
    ("route", PerWord::Route),
]);

static PER_SHAPE: Shape = text_or_map(Form::Word(&PER_WORDS), &[&PER_HEADER]);

pub(crate) static PER_HEADER: Stated<Parsed<http::HeaderName>> = required(
    "header",
    "The header whose value counts, as in x-api-key.",
    Parsed {
        what: "the name of a header",
        stand_in: "x-api-key",
        parse: value::header_name,
    },
);

/// The most requests that a limit can be about.
const MOST: u32 = 10_000_000;

pub(crate) static REQUESTS: Stated<Integer<NonZeroU32>> =
    required("requests", "How many in a window.", integer(1, MOST));

pub(crate) static WINDOW: Setting<Time> = setting(
    "window",
    "The window; default {default}.",
    Time::Limit,
    seconds(1),
);

// Without it, as many as in a window.
pub(crate) static BURST: Stated<Integer<u32>> = stated(
    "burst",
    "How many at once: as many as a client that was silent may send; default `requests`.",
    integer(1, MOST),
);
