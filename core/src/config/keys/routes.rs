//! The keys of `routes`.

pub(crate) mod browsers;
pub(crate) mod guard;

use http::StatusCode;

use super::key::{Group, Setting, Stated, group, required, setting, stated};
use super::kinds::quantities::TimeLimitOrNone;
use super::kinds::texts::{Parsed, Text};
use super::kinds::words::Words;
use super::kinds::{Bool, RedirectStatus, Status};
use super::shape::{Form, Shape, list, map, names, text_or_map};
use super::shape::{TEXT, TEXTS};
use crate::config::value::targets;
use crate::identity::Auth;

pub(super) static ROUTES: Shape = list(&ROUTE);

static ROUTE: Shape = map(&[
    &HOSTS,
    &PATH,
    &METHODS,
    &HEADERS,
    &QUERY,
    &SERVICE,
    &REDIRECT,
    &RESPOND,
    &REWRITE,
    &REQUEST_HEADERS,
    &RESPONSE_HEADERS,
    &TIMEOUT,
    &EXPOSE,
    &AUTH,
    &guard::ALLOW,
    &guard::DENY,
    &guard::RATE_LIMIT,
    &guard::BODY_BYTES,
    &guard::UPGRADE,
    &browsers::CORS,
    &browsers::SECURITY_HEADERS,
]);

pub(crate) static HOSTS: Group = group(
    "hosts",
    "Host names, exact or \"*.example.com\"; default every host.",
    &TEXTS,
);

pub(crate) static PATH: Group = group(
    "path",
    "A prefix on segment boundaries, {exact: …} or {regex: …}; default every path.",
    &PATH_SHAPE,
);

static PATH_SHAPE: Shape = text_or_map(Form::Any, &[&EXACT_PATH, &PATH_REGEX]);

pub(crate) static EXACT_PATH: Stated<Text> = stated("exact", "This path and no other.", Text);

pub(crate) static PATH_REGEX: Stated<Text> = stated(
    "regex",
    "Paths that the expression matches as a whole.",
    Text,
);

pub(crate) static METHODS: Group = group(
    "methods",
    "Methods, in capitals; default every method.",
    &TEXTS,
);

pub(crate) static HEADERS: Group = group(
    "headers",
    "Headers that must be there: a text, {regex: …} or {present: …}.",
    &VALUES,
);

pub(crate) static QUERY: Group = group(
    "query",
    "Query parameters that must be there, as with headers.",
    &VALUES,
);

static VALUES: Shape = names(&VALUE);

static VALUE: Shape = text_or_map(Form::Any, &[&VALUE_REGEX, &PRESENT]);

pub(crate) static VALUE_REGEX: Stated<Text> = stated(
    "regex",
    "Values that the expression matches as a whole.",
    Text,
);

pub(crate) static PRESENT: Stated<Bool> = stated(
    "present",
    "true: is there, whatever it says; false: is not there.",
    Bool,
);

pub(crate) static SERVICE: Stated<Text> =
    stated("service", "The service that requests go to.", Text);

pub(crate) static REDIRECT: Group = group(
    "redirect",
    "Answers with a redirect instead.",
    &REDIRECT_SHAPE,
);

static REDIRECT_SHAPE: Shape = map(&[&TO, &REDIRECT_STATUS]);

pub(crate) static TO: Stated<Parsed<Box<str>>> = required(
    "to",
    "A path, which replaces the matched prefix, or a whole URL.",
    Parsed {
        what: "a place to go",
        stand_in: "/",
        parse: targets::redirect_target,
    },
);

// For good, and with the same method.
pub(crate) static REDIRECT_STATUS: Setting<RedirectStatus> = setting(
    "status",
    "301, 302, 303, 307 or 308; default {default}.",
    RedirectStatus,
    StatusCode::PERMANENT_REDIRECT,
);

pub(crate) static RESPOND: Group = group(
    "respond",
    "Answers with a fixed text instead.",
    &RESPOND_SHAPE,
);

static RESPOND_SHAPE: Shape = map(&[&RESPOND_STATUS, &RESPOND_BODY]);

pub(crate) static RESPOND_STATUS: Setting<Status> = setting(
    "status",
    "{least} to {most}; default {default}.",
    Status,
    StatusCode::OK,
);

pub(crate) static RESPOND_BODY: Setting<Text> = setting(
    "body",
    "The body, text/plain in UTF-8; default {default}.",
    Text,
    "",
);

pub(crate) static REWRITE: Group = group(
    "rewrite",
    "Changes the path before it is sent on; the query is kept.",
    &REWRITE_SHAPE,
);

static REWRITE_SHAPE: Shape = map(&[&PREFIX]);

pub(crate) static PREFIX: Stated<Text> = required(
    "prefix",
    "Replaces the matched prefix, or the whole exact path.",
    Text,
);

pub(crate) static REQUEST_HEADERS: Group = group(
    "request_headers",
    "Edits of the request's headers.",
    &HEADER_EDITS,
);

pub(crate) static RESPONSE_HEADERS: Group = group(
    "response_headers",
    "Edits of the response's headers.",
    &HEADER_EDITS,
);

/// In the order in which they are applied.
static HEADER_EDITS: Shape = map(&[&REMOVE, &SET, &ADD]);

pub(crate) static REMOVE: Group = group("remove", "Removes these, before anything is set.", &TEXTS);

pub(crate) static SET: Group = group("set", "Replaces what is there.", &NAMED_TEXTS);

pub(crate) static ADD: Group = group("add", "Adds to what is there.", &NAMED_TEXTS);

static NAMED_TEXTS: Shape = names(&TEXT);

pub(crate) static TIMEOUT: Stated<TimeLimitOrNone> = stated(
    "timeout",
    "Until response headers, over all attempts; by default only the service's timeouts hold. none: a gRPC call may \
     also be silent for longer than the service's timeouts.response before its answer begins.",
    TimeLimitOrNone,
);

pub(crate) static EXPOSE: Setting<Bool> = setting(
    "expose",
    "Whether responses carry x-serin-decision; default {default}.",
    Bool,
    false,
);

pub(crate) static AUTH: Setting<&Words<Auth>> = setting(
    "auth",
    "Whether a verified token is needed: optional (default), required (else 401) or none (tokens are not looked at).",
    &AUTH_WORDS,
    Auth::Optional,
);

static AUTH_WORDS: Words<Auth> = Words(&[
    ("optional", Auth::Optional),
    ("required", Auth::Required),
    ("none", Auth::None),
]);
