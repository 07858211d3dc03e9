//! The keys of `identity.override`.

use crate::config::keys::key::{Group, Setting, Stated, group, required, setting};
use crate::config::keys::kinds::texts::{Name, Parsed, name};
use crate::config::keys::shape::{Shape, map};
use crate::config::value;
use crate::config::value::targets;
use crate::overrides;

pub(crate) static OVERRIDE: Group = group(
    "override",
    "Signed tokens that expire, by which testers ask for a deployment (serin override mint); off unless present.",
    &OVERRIDE_KEYS,
);

static OVERRIDE_KEYS: Shape = map(&[&KEY, &HEADER, &COOKIE]);

pub(crate) static KEY: Stated<Name<Box<str>>> = required(
    "key",
    "The secret that they are signed with, of 32 characters or more, the same for all gateways: write ${SERIN_OVERRIDE_KEY}.",
    name(),
);

pub(crate) static HEADER: Setting<Parsed<Box<str>>> = setting(
    "header",
    "The header field that they come in, which no service gets; default {default}.",
    Parsed {
        what: "a header field for overrides",
        stand_in: overrides::HEADER,
        parse: |text| match targets::own_header(text) {
            Ok(name) => Ok(name.as_str().into()),
            Err(_) => Err("its name begins with x- and is no other field's, as in x-qa".to_owned()),
        },
    },
    overrides::HEADER,
);

pub(crate) static COOKIE: Setting<Parsed<Box<str>>> = setting(
    "cookie",
    "The cookie, the same; default {default}.",
    Parsed {
        what: "the name of a cookie",
        stand_in: "serin_override",
        parse: value::cookie_name,
    },
    "serin_override",
);
