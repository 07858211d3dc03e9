//! The keys of `identity`.

use super::{DURATION, Shape, TEXT, Text, key, later, list, map, names, text, word};

pub(super) static IDENTITY: Shape = map(&[
    key(
        "user_id",
        "Where the user's ID is read from; the first that yields a value wins.",
        &USER_IDS,
    ),
    key(
        "anonymous",
        "Requests without an ID: stable (default), sticky or reject.",
        &ANONYMOUS,
    ),
    key(
        "anonymous_cookie",
        "The cookie of anonymous: sticky.",
        &COOKIE,
    ),
    key(
        "properties",
        "What flags may look at; nothing else is read from the request.",
        &PROPERTIES,
    ),
    later("override"),
]);

static USER_IDS: Shape = list(&USER_ID);

static USER_ID: Shape = map(&[
    key("header", "A header.", &TEXT),
    key("cookie", "A cookie.", &TEXT),
    key("query", "A query parameter.", &TEXT),
    key(
        "trust",
        "Whose word counts: anyone (default) or proxies (server.trusted_proxies).",
        &TRUST,
    ),
    later("jwt"),
]);

static PROPERTIES: Shape = names(&PROPERTY);

static PROPERTY: Shape = map(&[
    key("header", "A header.", &TEXT),
    key("cookie", "A cookie.", &TEXT),
    key("query", "A query parameter.", &TEXT),
    key(
        "trust",
        "Whose word counts: anyone (default) or proxies (server.trusted_proxies).",
        &TRUST,
    ),
    later("claim"),
]);

static TRUST: Shape = text(Text::Word(&[word("anyone"), word("proxies")]));

static ANONYMOUS: Shape = text(Text::Word(&[
    word("stable"),
    word("sticky"),
    word("reject"),
]));

static COOKIE: Shape = map(&[
    key("name", "Its name; default serin_id.", &TEXT),
    key(
        "max_age",
        "How long browsers keep it; default 365d.",
        &DURATION,
    ),
    key(
        "secure",
        "auto (default: over HTTPS), always or never.",
        &SECURE,
    ),
    key("same_site", "strict, lax (default) or none.", &SAME_SITE),
]);

static SECURE: Shape = text(Text::Word(&[word("auto"), word("always"), word("never")]));

static SAME_SITE: Shape = text(Text::Word(&[word("strict"), word("lax"), word("none")]));
