//! The keys of `registry`.

use std::sync::Arc;

use super::key::{Group, Setting, group, setting};
use super::kinds::quantities::{Time, days, minutes, seconds};
use super::kinds::texts::Parsed;
use super::kinds::words::Words;
use super::shape::{Shape, map};
use crate::config::unleash::OnDeregister;
use crate::config::value;

pub(super) static REGISTRY: Shape = map(&[&TTL, &UNLEASH]);

pub(crate) static UNLEASH: Group = group(
    "unleash",
    "How canaries are recorded in Unleash, and where rings are switched; needs `unleash.admin_token`.",
    &map(&[&PROJECT, &ENVIRONMENT, &ON_DEREGISTER]),
);

pub(crate) static PROJECT: Setting<Parsed<Arc<str>>> = setting(
    "project",
    "The project whose flags they become; default {default}.",
    Parsed {
        what: "a name of a project in Unleash",
        stand_in: "default",
        parse: value::unleash_name,
    },
    "default",
);

pub(crate) static ENVIRONMENT: Setting<Parsed<Arc<str>>> = setting(
    "environment",
    "The environment whose strategies are the rings; default {default}.",
    Parsed {
        what: "a name of an environment in Unleash",
        stand_in: "production",
        parse: value::unleash_name,
    },
    "production",
);

pub(crate) static ON_DEREGISTER: Setting<&Words<OnDeregister>> = setting(
    "on_deregister",
    "What becomes of the flag when its canary leaves: archive (default), stale, or keep.",
    &ON_DEREGISTERS,
    OnDeregister::Archive,
);

static ON_DEREGISTERS: Words<OnDeregister> = Words(&[
    ("archive", OnDeregister::Archive),
    ("stale", OnDeregister::Stale),
    ("keep", OnDeregister::Keep),
]);

pub(crate) static TTL: Group = group(
    "ttl",
    "How long a registration lasts that is not renewed.",
    &TTLS,
);

static TTLS: Shape = map(&[&DEFAULT, &MAX]);

pub(crate) static DEFAULT: Setting<Time> = setting(
    "default",
    "Where the registration does not say it; default {default}.",
    Time::Interval(seconds(1)),
    minutes(15),
);

pub(crate) static MAX: Setting<Time> = setting(
    "max",
    "The longest that a registration may ask for; default {default}.",
    Time::Interval(seconds(1)),
    days(7),
);
