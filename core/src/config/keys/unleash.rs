//! The keys of `unleash`.

use std::sync::Arc;
use std::time::Duration;

use super::key::{Setting, Stated, required, setting, stated};
use super::kinds::quantities::{Time, seconds};
use super::kinds::texts::{Parsed, Text};
use super::kinds::words::Words;
use super::shape::{Shape, map};
use crate::config::flag_server::{ServerUrl, Streaming};
use crate::config::value;

/// One server, or a list of them.
pub(super) static UNLEASH: Shape = Shape {
    list: Some(&SERVER),
    ..SERVER
};

static SERVER: Shape = map(&[
    &URL,
    &TOKEN,
    &NAME,
    &APP_NAME,
    &POLL,
    &STREAMING,
    &ADMIN_TOKEN,
]);

pub(crate) static URL: Stated<Parsed<ServerUrl>> = required(
    "url",
    "Where its API is, as in http://unleash.default.svc:4242/api.",
    Parsed {
        what: "a flag server's URL",
        stand_in: "http://placeholder.invalid/api",
        parse: ServerUrl::parse,
    },
);

// Read by its section: nothing of a token is shown, not even of one that is none.
pub(crate) static TOKEN: Stated<Text> = required(
    "token",
    "A backend token; a secret: write ${UNLEASH_TOKEN}.",
    Text,
);

// Read by its section, for the same reason.
pub(crate) static ADMIN_TOKEN: Stated<Text> = stated(
    "admin_token",
    "A token that may write, for recording canaries and switching rings there; a secret: write ${UNLEASH_ADMIN_TOKEN}.",
    Text,
);

pub(crate) static NAME: Setting<Parsed<Arc<str>>> = setting(
    "name",
    "What the source is called; default {default}, and each of several needs its own.",
    Parsed {
        what: "a name for a source",
        stand_in: "unleash",
        parse: value::source_name,
    },
    "unleash",
);

pub(crate) static APP_NAME: Setting<Parsed<Arc<str>>> = setting(
    "app_name",
    "What Serin is called there; default {default}.",
    Parsed {
        what: "a name for an application",
        stand_in: "serin",
        parse: value::app_name,
    },
    "serin",
);

/// Asked more often than this, a server is not polled but attacked.
const LEAST_POLL: Duration = Duration::from_millis(100);

pub(crate) static POLL: Setting<Time> = setting(
    "poll",
    "How often flags are asked for; default {default}.",
    Time::Interval(LEAST_POLL),
    seconds(15),
);

pub(crate) static STREAMING: Setting<&Words<Streaming>> = setting(
    "streaming",
    "auto (default): stream where the server offers it; always; never.",
    &STREAMINGS,
    Streaming::Auto,
);

static STREAMINGS: Words<Streaming> = Words(&[
    ("auto", Streaming::Auto),
    ("always", Streaming::Always),
    ("never", Streaming::Never),
]);
