//! The keys of `client_api`.

use std::num::NonZeroU32;

use super::key::{Group, Setting, Stated, group, required, setting, stated};
use super::kinds::lists::Globs;
use super::kinds::quantities::{Time, seconds};
use super::kinds::texts::Parsed;
use super::kinds::{Integer, integer};
use super::shape::TEXTS;
use super::shape::{Shape, map};
use crate::config::value::targets;

pub(super) static CLIENT_API: Shape =
    map(&[&PATH, &TOKENS, &BACKEND_TOKENS, &CORS, &FLAGS, &RATE_LIMIT]);

pub(crate) static PATH: Stated<Parsed<Box<str>>> = required(
    "path",
    "Where it is on every listener, as in /.serin; no route gets what is below it.",
    Parsed {
        what: "a path for the API",
        stand_in: "/.serin",
        parse: targets::api_path,
    },
);

pub(crate) static TOKENS: Group = group(
    "tokens",
    "For apps (/api/frontend, OFREP); secrets: write ${CLIENT_TOKEN}.",
    &TEXTS,
);

pub(crate) static BACKEND_TOKENS: Group = group(
    "backend_tokens",
    "For servers (/api/client): they get whole flags, upstream URLs too; secrets.",
    &TEXTS,
);

pub(crate) static CORS: Group = group(
    "cors",
    "The origins whose pages may ask, as in https://app.example.com; default none.",
    &TEXTS,
);

pub(crate) static FLAGS: Setting<Globs> = setting(
    "flags",
    "Which flags apps may see: names and globs; default all.",
    Globs,
    &["*"],
);

pub(crate) static RATE_LIMIT: Group = group(
    "rate_limit",
    "How often one address may ask, else 429; default 100 a second, and 200 at once.",
    &RATE_LIMIT_SHAPE,
);

static RATE_LIMIT_SHAPE: Shape = map(&[&REQUESTS, &WINDOW, &BURST]);

/// The most that a rate's numbers may be.
const MOST: u32 = 1_000_000;

/// How often one address may ask in a second where the file does not say.
pub(crate) const UNSTATED_REQUESTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

pub(crate) static REQUESTS: Stated<Integer<NonZeroU32>> =
    required("requests", "How often in a window.", integer(1, MOST));

pub(crate) static WINDOW: Setting<Time> = setting(
    "window",
    "The window; default {default}.",
    Time::Limit,
    seconds(1),
);

// Without it, twice as often as in a window.
pub(crate) static BURST: Stated<Integer<u32>> = stated(
    "burst",
    "How often at once; default twice `requests`.",
    integer(1, MOST),
);
