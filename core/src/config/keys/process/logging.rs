//! The keys of `logging`.

use crate::config::keys::key::{Setting, Stated, setting, stated};
use crate::config::keys::kinds::texts::{Name, name};
use crate::config::keys::kinds::words::Words;
use crate::config::keys::kinds::{Bool, Percentage, percent};
use crate::config::keys::shape::{Shape, map};
use crate::config::{Level, LogFormat};

pub(in crate::config::keys) static LOGGING: Shape = map(&[
    &LEVEL,
    &FORMAT,
    &ACCESS,
    &SAMPLE,
    &USER_ID,
    &HASH_KEY,
    &EXPOSE_REQUEST_ID,
]);

pub(crate) static LEVEL: Setting<&Words<Level>> = setting(
    "level",
    "The least severe level that is written; default {default}.",
    &LEVELS,
    Level::Info,
);

static LEVELS: Words<Level> = Words(&[
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
]);

pub(crate) static FORMAT: Setting<&Words<LogFormat>> = setting(
    "format",
    "json (default) or text.",
    &FORMATS,
    LogFormat::Json,
);

static FORMATS: Words<LogFormat> = Words(&[("json", LogFormat::Json), ("text", LogFormat::Text)]);

pub(crate) static ACCESS: Setting<&Words<LoggedRequests>> = setting(
    "access",
    "Which requests are logged: off, sampled (default) or all.",
    &ACCESS_WORDS,
    LoggedRequests::Sampled,
);

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoggedRequests {
    /// None.
    Off,
    /// Some.
    Sampled,
    /// Every one.
    All,
}

static ACCESS_WORDS: Words<LoggedRequests> = Words(&[
    ("off", LoggedRequests::Off),
    ("sampled", LoggedRequests::Sampled),
    ("all", LoggedRequests::All),
]);

pub(crate) static SAMPLE: Setting<Percentage> = setting(
    "sample",
    "How many with access: sampled; default {default}. 5xx and rescues always are.",
    Percentage,
    percent(1),
);

pub(crate) static USER_ID: Setting<&Words<LoggedUser>> = setting(
    "user_id",
    "What stands for the user: hash (default), plain or omit.",
    &USER_ID_WORDS,
    LoggedUser::Hash,
);

/// How the user appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoggedUser {
    /// A hash of the ID.
    Hash,
    /// The ID.
    Plain,
    /// Nothing.
    Omit,
}

static USER_ID_WORDS: Words<LoggedUser> = Words(&[
    ("hash", LoggedUser::Hash),
    ("plain", LoggedUser::Plain),
    ("omit", LoggedUser::Omit),
]);

// Without it, the gateway's own key holds.
pub(crate) static HASH_KEY: Stated<Name<Box<str>>> = stated(
    "hash_key",
    "The secret that user IDs are hashed under; default: one of this gateway's own, made and kept in state_dir.",
    name(),
);

pub(crate) static EXPOSE_REQUEST_ID: Setting<Bool> = setting(
    "expose_request_id",
    "Whether responses carry the request's ID as x-request-id; default {default}.",
    Bool,
    true,
);
