//! The keys of `canary_urls`, `listeners`, `server` and `logging`.

pub(crate) mod logging;
pub(crate) mod traffic;

use std::path::PathBuf;

use super::key::{Group, Setting, Stated, group, required, setting};
use super::kinds::lists::{Ports, Schemes};
use super::kinds::quantities::{PeriodOrNever, Time, days, minutes, seconds};
use super::kinds::texts::{Name, Text, name};
use super::kinds::{Bool, Integer, integer};
use super::shape::{Form, Scope, Shape, TEXTS, list, map, text_or_map};
use crate::cluster::policy::{AllowedScheme, PortRange};

pub(super) static CANARY_URLS: Shape = map(&[&ALLOW, &PORTS, &SCHEMES]);

pub(crate) static ALLOW: Group = group(
    "allow",
    "What flag servers' payloads and registrations may name: networks that every address must lie in, and host names (exact \
     or \"*.suffix\"); default any name, and private or loopback addresses. Metadata and link-local addresses never are.",
    &TEXTS,
);

pub(crate) static PORTS: Setting<Ports> = setting(
    "ports",
    "Ports that these may have, those of SRV records as well: numbers and ranges; default {default}.",
    Ports,
    &[
        PortRange::single(80),
        PortRange::single(443),
        PortRange {
            first: 1024,
            last: u16::MAX,
        },
    ],
);

pub(crate) static SCHEMES: Setting<Schemes> = setting(
    "schemes",
    "Schemes that these may have; srv+http counts as http; default {default}.",
    Schemes,
    &AllowedScheme::ALL,
);

pub(super) static LISTENERS: Shape = list(&LISTENER);

static LISTENER: Shape = text_or_map(
    Form::Any,
    &[&LISTENER_ADDRESS, &LISTENER_TLS, &PROXY_PROTOCOL, &HTTP2],
);

pub(crate) static LISTENER_ADDRESS: Stated<Text> =
    required("address", "Address and port, as in 0.0.0.0:8080.", Text);

pub(crate) static LISTENER_TLS: Group = group(
    "tls",
    "What it speaks TLS with; default none: it speaks plain HTTP.",
    &super::tls::LISTENER_TLS,
);

pub(crate) static PROXY_PROTOCOL: Setting<Bool> = setting(
    "proxy_protocol",
    "Whether each connection begins with a PROXY header, version 1 or 2, that says who the client is; taken from trusted_proxies \
     alone, others are refused; default {default}.",
    Bool,
    false,
);

pub(crate) static HTTP2: Setting<Bool> = setting(
    "http2",
    "Whether HTTP/2 is spoken: over TLS with clients that offer it, else with those that begin so; default {default}.",
    Bool,
    true,
);

pub(super) static SERVER: Shape = map(&[
    &THREADS,
    &STATE_DIR,
    &TRUSTED_PROXIES,
    &SHUTDOWN_DELAY,
    &SHUTDOWN_GRACE,
    &READY_WITHOUT_FLAGS,
    &SNAPSHOT_MAX_AGE,
    &REMOVAL_GUARD,
    &traffic::LIMITS,
    &traffic::TIMEOUTS,
]);

pub(crate) static THREADS: Setting<Integer<usize>> = setting(
    "threads",
    "Worker threads; default {default}: one per core.",
    integer(0, 1024),
    0,
)
.within(Scope::Process);

pub(crate) static STATE_DIR: Setting<Name<PathBuf>> = setting(
    "state_dir",
    "Where what must survive a restart is kept; default {default}.",
    name(),
    "./state",
)
.within(Scope::Process);

pub(crate) static TRUSTED_PROXIES: Group = group(
    "trusted_proxies",
    "Networks of proxies whose word counts; default none.",
    &TEXTS,
);

pub(crate) static SHUTDOWN_DELAY: Setting<Time> = setting(
    "shutdown_delay",
    "How long connections are still taken after SIGTERM; default {default}.",
    Time::Any,
    seconds(5),
)
.within(Scope::Process);

pub(crate) static SHUTDOWN_GRACE: Setting<Time> = setting(
    "shutdown_grace",
    "How long running requests may then go on; default {default}.",
    Time::Any,
    seconds(30),
)
.within(Scope::Process);

pub(crate) static READY_WITHOUT_FLAGS: Setting<PeriodOrNever> = setting(
    "ready_without_flags",
    "After how long /readyz is 200 although a flag server has never answered; default {default}.",
    PeriodOrNever,
    None,
)
.within(Scope::Process);

pub(crate) static SNAPSHOT_MAX_AGE: Setting<Time> = setting(
    "snapshot_max_age",
    "Stored flags that are older are loaded with a loud warning; default {default}.",
    Time::Limit,
    days(7),
)
.within(Scope::Process);

pub(crate) static REMOVAL_GUARD: Setting<Time> = setting(
    "removal_guard",
    "How long flags are kept that a suspiciously small answer lacks; default {default}.",
    Time::Any,
    minutes(5),
)
.within(Scope::Process);
