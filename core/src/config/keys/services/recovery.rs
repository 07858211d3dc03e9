//! The keys of `retries` and `rescue`.

use http::Method;

use crate::config::keys::key::{Group, Setting, Stated, group, setting, stated};
use crate::config::keys::kinds::lists::{
    Methods, RESCUED as RESCUED_METHODS, SERVER_ERRORS, Trigger, TriggerList,
};
use crate::config::keys::kinds::quantities::{Time, minutes};
use crate::config::keys::kinds::{Integer, Percentage, integer, percent};
use crate::config::keys::shape::{Shape, map};

pub(crate) static RETRIES: Group = group(
    "retries",
    "Further attempts on the same deployment.",
    &RETRIES_SHAPE,
);

static RETRIES_SHAPE: Shape = map(&[&ATTEMPTS, &RETRIED, &BUDGET]);

pub(crate) static ATTEMPTS: Setting<Integer<u32>> = setting(
    "attempts",
    "How many further attempts; default {default}.",
    integer(0, 10),
    1,
);

pub(crate) static RETRIED: Setting<TriggerList> = setting(
    "on",
    "What is retried: connect, and for safe methods reset, timeout, statuses; default {default}.",
    TriggerList,
    &[Trigger::Connect],
);

pub(crate) static BUDGET: Setting<Percentage> = setting(
    "budget",
    "How many of the service's active requests may be retries; default {default}, and three always.",
    Percentage,
    percent(20),
);

pub(crate) static RESCUE: Group = group(
    "rescue",
    "When stable takes over a canary's request.",
    &RESCUE_SHAPE,
);

static RESCUE_SHAPE: Shape = map(&[
    &RESCUED,
    &METHODS,
    &AFTER,
    &QUARANTINE_AFTER,
    &QUARANTINE_FOR,
]);

pub(crate) static RESCUED: Setting<TriggerList> = setting(
    "on",
    "What is rescued; default {default}, and [] turns it off.",
    TriggerList,
    &[
        Trigger::Connect,
        Trigger::Reset,
        Trigger::Timeout,
        SERVER_ERRORS,
    ],
);

pub(crate) static METHODS: Setting<&Methods> = setting(
    "methods",
    "What is sent to stable although it had reached the canary; default {default}.",
    &RESCUED_METHODS,
    &[Method::GET, Method::HEAD, Method::OPTIONS],
);

// Without it, `timeouts.response` holds.
pub(crate) static AFTER: Stated<Time> = stated(
    "after",
    "How long a canary may take to begin its answer; default timeouts.response.",
    Time::Limit,
);

pub(crate) static QUARANTINE_AFTER: Setting<Integer<u16>> = setting(
    "quarantine_after",
    "After how many rescues a user is spared the canary; default {default}, and 0 turns it off.",
    integer(0, 1000),
    3,
);

pub(crate) static QUARANTINE_FOR: Setting<Time> = setting(
    "quarantine_for",
    "Within which time, and for how long; default {default}.",
    Time::Limit,
    minutes(10),
);
