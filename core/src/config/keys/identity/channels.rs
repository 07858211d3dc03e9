//! The keys of `identity.channels`.

use crate::config::keys::key::{Group, Setting, Stated, group, needed, required, setting};
use crate::config::keys::kinds::quantities::{Time, days};
use crate::config::keys::kinds::texts::{Name, Parsed, name};
use crate::config::keys::shape::{Shape, TEXTS, map};
use crate::config::value;

pub(crate) static CHANNELS: Group = group(
    "channels",
    "Users opt in to a channel at client_api; rings ask for it as the property channel; off unless present.",
    &CHANNEL_KEYS,
);

static CHANNEL_KEYS: Shape = map(&[&KEY, &NAMES, &COOKIE, &MAX_AGE]);

pub(crate) static KEY: Stated<Name<Box<str>>> = required(
    "key",
    "The secret that cookies are signed with, of 32 characters or more, the same for all gateways: write ${SERIN_CHANNEL_KEY}.",
    name(),
);

pub(crate) static NAMES: Group = needed(group(
    "names",
    "The channels that users may choose, as in preview.",
    &TEXTS,
));

pub(crate) static COOKIE: Setting<Parsed<Box<str>>> = setting(
    "cookie",
    "The cookie that says which one a user is in, which no service gets; default {default}.",
    Parsed {
        what: "the name of a cookie",
        stand_in: "serin_channel",
        parse: value::cookie_name,
    },
    "serin_channel",
);

pub(crate) static MAX_AGE: Setting<Time> = setting(
    "max_age",
    "How long browsers keep it; default {default}.",
    Time::Limit,
    days(365),
);
