//! The keys of `identity`.

pub(crate) mod channels;
pub(crate) mod overrides;
pub(crate) mod tokens;

use super::key::{Group, Setting, Stated, group, setting, stated};
use super::kinds::lists::Globs;
use super::kinds::quantities::{Time, days};
use super::kinds::texts::{Name, Parsed, Text, name};
use super::kinds::words::Words;
use super::shape::{Shape, list, map, names};
use crate::config::value;
use crate::identity::{Anonymous, SameSite, SecureCookie, Trust};

pub(super) static IDENTITY: Shape = map(&[
    &USER_ID,
    &ANONYMOUS,
    &ANONYMOUS_COOKIE,
    &PROPERTIES,
    &TEST_USERS,
    &overrides::OVERRIDE,
    &channels::CHANNELS,
]);

pub(crate) static USER_ID: Group = group(
    "user_id",
    "Where the user's ID is read from; the first that yields a value wins.",
    &USER_IDS,
);

pub(crate) static ANONYMOUS: Setting<&Words<Anonymous>> = setting(
    "anonymous",
    "Requests without an ID: stable (default), sticky or reject.",
    &ANONYMOUS_WORDS,
    Anonymous::Stable,
);

static ANONYMOUS_WORDS: Words<Anonymous> = Words(&[
    ("stable", Anonymous::Stable),
    ("sticky", Anonymous::Sticky),
    ("reject", Anonymous::Reject),
]);

pub(crate) static ANONYMOUS_COOKIE: Group = group(
    "anonymous_cookie",
    "The cookie of anonymous: sticky.",
    &COOKIE_SHAPE,
);

pub(crate) static PROPERTIES: Group = group(
    "properties",
    "What flags may look at; nothing else is read from the request.",
    &PROPERTY_MAP,
);

pub(crate) static TEST_USERS: Stated<Globs> = stated(
    "test_users",
    "IDs and globs of users who are routed like anybody, and left out of exposures; default none.",
    Globs,
);

static USER_IDS: Shape = list(&USER_ID_SOURCE);

static USER_ID_SOURCE: Shape = map(&[&HEADER, &COOKIE, &QUERY, &TRUST, &tokens::JWT]);

static PROPERTY_MAP: Shape = names(&PROPERTY);

static PROPERTY: Shape = map(&[&HEADER, &COOKIE, &QUERY, &TRUST, &CLAIM]);

pub(crate) static HEADER: Stated<Text> = stated("header", "A header.", Text);

pub(crate) static COOKIE: Stated<Parsed<Box<str>>> = stated(
    "cookie",
    "A cookie.",
    Parsed {
        what: "the name of a cookie",
        stand_in: "placeholder",
        parse: value::cookie_name,
    },
);

pub(crate) static QUERY: Stated<Name<Box<str>>> = stated("query", "A query parameter.", name());

pub(crate) static TRUST: Setting<&Words<Trust>> = setting(
    "trust",
    "Whose word counts: anyone (default) or proxies (server.trusted_proxies).",
    &TRUST_WORDS,
    Trust::Anyone,
);

static TRUST_WORDS: Words<Trust> = Words(&[("anyone", Trust::Anyone), ("proxies", Trust::Proxies)]);

pub(crate) static CLAIM: Stated<Name<Box<str>>> = stated(
    "claim",
    "A claim of the verified token, as in sub or app.plan; a list's values are joined by commas.",
    name(),
);

static COOKIE_SHAPE: Shape = map(&[&COOKIE_NAME, &MAX_AGE, &SECURE, &SAME_SITE]);

pub(crate) static COOKIE_NAME: Setting<Parsed<Box<str>>> = setting(
    "name",
    "Its name; default {default}.",
    Parsed {
        what: "the name of a cookie",
        stand_in: "serin_id",
        parse: value::cookie_name,
    },
    "serin_id",
);

pub(crate) static MAX_AGE: Setting<Time> = setting(
    "max_age",
    "How long browsers keep it; default {default}.",
    Time::Limit,
    days(365),
);

pub(crate) static SECURE: Setting<&Words<SecureCookie>> = setting(
    "secure",
    "auto (default: over HTTPS), always or never.",
    &SECURE_WORDS,
    SecureCookie::Auto,
);

static SECURE_WORDS: Words<SecureCookie> = Words(&[
    ("auto", SecureCookie::Auto),
    ("always", SecureCookie::Always),
    ("never", SecureCookie::Never),
]);

pub(crate) static SAME_SITE: Setting<&Words<SameSite>> = setting(
    "same_site",
    "strict, lax (default) or none.",
    &SAME_SITE_WORDS,
    SameSite::Lax,
);

static SAME_SITE_WORDS: Words<SameSite> = Words(&[
    ("strict", SameSite::Strict),
    ("lax", SameSite::Lax),
    ("none", SameSite::None),
]);
