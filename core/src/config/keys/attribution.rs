//! The keys of `attribution`.

pub(crate) mod sinks;

use std::path::PathBuf;

use http::HeaderName;

use super::key::{Group, Setting, Stated, group, later, setting, stated};
use super::kinds::Bool;
use super::kinds::quantities::{Time, days};
use super::kinds::texts::{Name, Parsed, name};
use super::kinds::words::Words;
use super::shape::{Scope, Shape, TEXTS, map};
use crate::config::attribution::{Control, Lanes, UserForm};
use crate::config::value;
use crate::config::value::targets;

pub(super) static ATTRIBUTION: Shape = map(&[
    &LANES,
    &RECEIPTS,
    &EXPOSURES,
    &sinks::SINKS,
    &sinks::SPOOL,
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

pub(crate) static EXPOSURES: Group = group(
    "exposures",
    "The record of who was served by which deployment under which flag: once a user and day; off unless present.",
    &EXPOSURE_KEYS,
)
.within(Scope::Process);

static EXPOSURE_KEYS: Shape = map(&[&USERS, &KEY, &ANONYMOUS, &CONTROL, &PROPERTIES]);

pub(crate) static USERS: Setting<&Words<UserForm>> = setting(
    "users",
    "How users appear: hash (default) or plain.",
    &USER_FORMS,
    UserForm::Hash,
);

pub(crate) static USER_FORMS: Words<UserForm> =
    Words(&[("hash", UserForm::Hash), ("plain", UserForm::Plain)]);

pub(crate) static KEY: Stated<Name<Box<str>>> = stated(
    "key",
    "The secret that user IDs are hashed under, the same for all gateways: write ${ATTRIBUTION_KEY}. `users: hash` needs it.",
    name(),
);

pub(crate) static ANONYMOUS: Setting<Bool> = setting(
    "anonymous",
    "Whether users without an ID are recorded by the ID in their cookie; default {default}.",
    Bool,
    false,
);

pub(crate) static CONTROL: Setting<&Words<Control>> = setting(
    "control",
    "Which of the users are recorded whom a percentage did not choose: matched (default), as many as it chose; all or none.",
    &CONTROLS,
    Control::Matched,
);

static CONTROLS: Words<Control> = Words(&[
    ("matched", Control::Matched),
    ("all", Control::All),
    ("none", Control::None),
]);

pub(crate) static PROPERTIES: Group = group(
    "properties",
    "The properties of identity.properties to break results down by; default none.",
    &TEXTS,
);
