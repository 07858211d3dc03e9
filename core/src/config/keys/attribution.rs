//! The keys of `attribution`.

use std::path::PathBuf;

use http::HeaderName;

use super::key::{Group, Setting, Stated, group, later, setting, stated};
use super::kinds::quantities::{Time, days};
use super::kinds::texts::{Name, Parsed, name};
use super::kinds::words::Words;
use super::shape::{Scope, Shape, map};
use crate::config::attribution::Lanes;
use crate::config::value;
use crate::config::value::targets;

pub(super) static ATTRIBUTION: Shape = map(&[
    &LANES,
    &RECEIPTS,
    &later("exposures"),
    &later("sinks"),
    &later("spool"),
    &later("relay"),
]);

pub(crate) static LANES: Setting<&Words<Lanes>> = setting(
    "lanes",
    "Whether a request follows the deployment that a trusted proxy's baggage names: follow (default) or ignore.",
    &LANES_WORDS,
    Lanes::Follow,
);

static LANES_WORDS: Words<Lanes> = Words(&[("follow", Lanes::Follow), ("ignore", Lanes::Ignore)]);

pub(crate) static RECEIPTS: Group = group(
    "receipts",
    "Tells clients, signed, who served them, so that they can show it to others; off unless present.",
    &RECEIPT_KEYS,
)
.within(Scope::Process);

static RECEIPT_KEYS: Shape = map(&[&RECEIPT_KEY, &PRIVATE_KEY, &COOKIE, &HEADER, &TTL]);

pub(crate) static RECEIPT_KEY: Stated<Name<Box<str>>> = stated(
    "key",
    "The secret that they are signed with (HS256), the same for all gateways: write ${RECEIPT_KEY}.",
    name(),
);

pub(crate) static PRIVATE_KEY: Stated<Name<PathBuf>> = stated(
    "private_key",
    "In place of `key`: the PEM file of an Ed25519 key (EdDSA), which others verify by the public one.",
    name(),
);

pub(crate) static COOKIE: Stated<Parsed<Box<str>>> = stated(
    "cookie",
    "The cookie that they come and go in, as in serin_receipt; default none.",
    Parsed {
        what: "the name of a cookie",
        stand_in: "serin_receipt",
        parse: value::cookie_name,
    },
);

pub(crate) static HEADER: Stated<Parsed<HeaderName>> = stated(
    "header",
    "The header field, the same, as in x-serin-receipt; default none.",
    Parsed {
        what: "a header field for receipts",
        stand_in: "x-serin-receipt",
        parse: targets::own_header,
    },
);

pub(crate) static TTL: Setting<Time> = setting(
    "ttl",
    "How long one is valid; after half of that the client gets another; default {default}.",
    Time::Limit,
    days(1),
);
