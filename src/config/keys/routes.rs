//! The keys of `routes`.

use super::{
    BOOL, Key, Shape, TEXT, TEXTS, Text, key, later, list, map, names, required, text, text_or_map,
};

pub(super) static ROUTES: Shape = list(&ROUTE);

static ROUTE: Shape = map(&ROUTE_KEYS);

static ROUTE_KEYS: [Key; 14] = [
    key(
        "hosts",
        "Host names, exact or \"*.example.com\"; default every host.",
        &TEXTS,
    ),
    key(
        "path",
        "A prefix on segment boundaries, {exact: …} or {regex: …}; default every path.",
        &PATH,
    ),
    key(
        "methods",
        "Methods, in capitals; default every method.",
        &TEXTS,
    ),
    key(
        "headers",
        "Headers that must be there: a text, {regex: …} or {present: …}.",
        &VALUES,
    ),
    key(
        "query",
        "Query parameters that must be there, as with headers.",
        &VALUES,
    ),
    key("service", "The service that requests go to.", &TEXT),
    key("redirect", "Answers with a redirect instead.", &REDIRECT),
    key("respond", "Answers with a fixed text instead.", &RESPOND),
    key(
        "rewrite",
        "Changes the path before it is sent on; the query is kept.",
        &REWRITE,
    ),
    key(
        "request_headers",
        "Edits of the request's headers.",
        &HEADERS,
    ),
    key(
        "response_headers",
        "Edits of the response's headers.",
        &HEADERS,
    ),
    key(
        "timeout",
        "Until response headers, over all attempts; by default only the service's timeouts hold. none: a gRPC call may \
         also be silent for longer than the service's timeouts.response before its answer begins.",
        &DURATION_OR_NONE,
    ),
    key(
        "expose",
        "Whether responses carry x-serin-decision; default false.",
        &BOOL,
    ),
    later("rate_limit"),
];

static DURATION_OR_NONE: Shape = text(Text::DurationOrNone);

static PATH: Shape = text_or_map(Text::Any, &PATH_KEYS);

static PATH_KEYS: [Key; 2] = [
    key("exact", "This path and no other.", &TEXT),
    key(
        "regex",
        "Paths that the expression matches as a whole.",
        &TEXT,
    ),
];

static VALUES: Shape = names(&VALUE);

static VALUE: Shape = text_or_map(Text::Any, &VALUE_KEYS);

static VALUE_KEYS: [Key; 2] = [
    key(
        "regex",
        "Values that the expression matches as a whole.",
        &TEXT,
    ),
    key(
        "present",
        "true: is there, whatever it says; false: is not there.",
        &BOOL,
    ),
];

static REDIRECT: Shape = map(&[
    required(
        "to",
        "A path, which replaces the matched prefix, or a whole URL.",
        &TEXT,
    ),
    key("status", "301, 302, 303, 307 or 308; default 308.", &STATUS),
]);

static RESPOND: Shape = map(&[
    key("status", "200 to 599; default 200.", &STATUS),
    key(
        "body",
        "The body, text/plain in UTF-8; default empty.",
        &TEXT,
    ),
]);

static STATUS: Shape = text(Text::Integer(200, 599));

static REWRITE: Shape = map(&[required(
    "prefix",
    "Replaces the matched prefix, or the whole exact path.",
    &TEXT,
)]);

/// In the order in which they are applied.
static HEADERS: Shape = map(&[
    key("remove", "Removes these, before anything is set.", &TEXTS),
    key("set", "Replaces what is there.", &NAMED_TEXTS),
    key("add", "Adds to what is there.", &NAMED_TEXTS),
]);

static NAMED_TEXTS: Shape = names(&TEXT);
