//! The keys of a route that are about browsers: `cors` and `security_headers`.

use http::HeaderValue;

use crate::config::keys::key::{Group, Setting, Stated, group, needed, setting, stated};
use crate::config::keys::kinds::Bool;
use crate::config::keys::kinds::quantities::{Time, seconds};
use crate::config::keys::kinds::texts::Parsed;
use crate::config::keys::shape::{Form, Shape, TEXTS, map, text_or_map};
use crate::config::value;

pub(crate) static CORS: Group = group(
    "cors",
    "Which pages may read the route's answers; preflights are answered here, and what the service says of it is replaced.",
    &CORS_SHAPE,
);

static CORS_SHAPE: Shape = map(&[
    &ORIGINS,
    &CORS_METHODS,
    &CORS_HEADERS,
    &EXPOSED_HEADERS,
    &CREDENTIALS,
    &MAX_AGE,
]);

pub(crate) static ORIGINS: Group = needed(group(
    "origins",
    "Origins of pages: https://app.example.com, \"https://*.example.com\", or \"*\" for all, without credentials.",
    &TEXTS,
));

pub(crate) static CORS_METHODS: Group = group(
    "methods",
    "Methods that pages may send; default [GET, HEAD, POST], which all may.",
    &TEXTS,
);

pub(crate) static CORS_HEADERS: Group = group(
    "headers",
    "Headers that pages may send beside those that all may; default none.",
    &TEXTS,
);

pub(crate) static EXPOSED_HEADERS: Group = group(
    "expose",
    "Headers that pages may read beside those that all may; default none.",
    &TEXTS,
);

pub(crate) static CREDENTIALS: Setting<Bool> = setting(
    "credentials",
    "Whether browsers send cookies along; default {default}.",
    Bool,
    false,
);

pub(crate) static MAX_AGE: Setting<Time> = setting(
    "max_age",
    "How long browsers remember a preflight's answer; default {default}.",
    Time::Any,
    seconds(600),
);

pub(crate) static SECURITY_HEADERS: Group = group(
    "security_headers",
    "true: answers get the headers that pages should have, unless the service sets them itself; or a map that changes single ones.",
    &SECURITY_SHAPE,
);

static SECURITY_SHAPE: Shape = text_or_map(
    Form::Bool,
    &[
        &STRICT_TRANSPORT_SECURITY,
        &CONTENT_TYPE_OPTIONS,
        &FRAME_OPTIONS,
        &REFERRER_POLICY,
    ],
);

/// A header's value; `None`: the header is not set.
type Chosen = Parsed<Option<HeaderValue>>;

const fn chosen(stand_in: &'static str) -> Chosen {
    Parsed {
        what: "the value of a header",
        stand_in,
        parse: value_or_none,
    }
}

fn value_or_none(text: &str) -> Result<Option<HeaderValue>, String> {
    match text {
        "none" => Ok(None),
        _ => value::header_value(text).map(Some),
    }
}

pub(crate) static STRICT_TRANSPORT_SECURITY: Stated<Chosen> = stated(
    "strict-transport-security",
    "Where the client came by HTTPS; default max-age=31536000. none: not set.",
    chosen("max-age=31536000"),
);

pub(crate) static CONTENT_TYPE_OPTIONS: Stated<Chosen> = stated(
    "x-content-type-options",
    "Default nosniff. none: not set.",
    chosen("nosniff"),
);

pub(crate) static FRAME_OPTIONS: Stated<Chosen> = stated(
    "x-frame-options",
    "Default DENY; SAMEORIGIN where pages frame each other. none: not set.",
    chosen("DENY"),
);

pub(crate) static REFERRER_POLICY: Stated<Chosen> = stated(
    "referrer-policy",
    "Default strict-origin-when-cross-origin. none: not set.",
    chosen("strict-origin-when-cross-origin"),
);
