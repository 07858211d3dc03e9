//! The one table of what `routes.yaml` may say. Each key is stated here once: its name, the kind of its value with bounds
//! and words, its default, what it is for, and whether requests are decided by it. The structure check, the sections, the
//! JSON Schema, hints and the digest all go by that statement, and a test holds `deploy/reference.yaml` against it.

pub(crate) mod admin;
pub(crate) mod attribution;
pub(crate) mod client_api;
pub(crate) mod flags;
pub(crate) mod identity;
pub mod key;
pub mod kinds;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod registry;
pub(crate) mod routes;
pub(crate) mod services;
pub mod shape;
pub(crate) mod tls;
pub(crate) mod traces;
pub(crate) mod unleash;

use key::{Group, later, needed, top};
use shape::{Scope, Shape, map};

/// The whole file.
pub static ROOT: Shape = map(&[
    &SERVICES,
    &ROUTES,
    &FLAGS,
    &SEGMENTS,
    &IDENTITY,
    &CANARY_URLS,
    &LISTENERS,
    &ADMIN,
    &SERVER,
    &LOGGING,
    &UNLEASH,
    &REGISTRY,
    &later("launchdarkly"),
    &REDIS,
    &CLIENT_API,
    &ATTRIBUTION,
    &TRACING,
]);

pub(crate) static SERVICES: Group = needed(top(
    "services",
    "What callers want: each has a stable deployment and its canaries.",
    &services::SERVICES,
    Scope::Decides,
));

pub(crate) static ROUTES: Group = needed(top(
    "routes",
    "Which requests go to which service; the most specific route wins.",
    &routes::ROUTES,
    Scope::Decides,
));

pub(crate) static FLAGS: Group = top(
    "flags",
    "Canary flags kept in this file, for those without a flag server.",
    &flags::FLAGS,
    Scope::Decides,
);

pub(crate) static SEGMENTS: Group = top(
    "segments",
    "Named audiences that rings refer to.",
    &flags::SEGMENTS,
    Scope::Decides,
);

pub(crate) static IDENTITY: Group = top(
    "identity",
    "Who the user is, and what flags may look at.",
    &identity::IDENTITY,
    Scope::Decides,
);

pub(crate) static CANARY_URLS: Group = top(
    "canary_urls",
    "Which upstreams flags may name.",
    &process::CANARY_URLS,
    Scope::Decides,
);

pub(crate) static LISTENERS: Group = top(
    "listeners",
    "Where end users' traffic is taken; default 0.0.0.0:8080.",
    &process::LISTENERS,
    Scope::Process,
);

pub(crate) static ADMIN: Group = top(
    "admin",
    "Where the admin API, metrics and probes are; default 127.0.0.1:9900.",
    &admin::ADMIN,
    Scope::Process,
);

pub(crate) static SERVER: Group = top(
    "server",
    "The process: threads, state, trusted proxies, shutdown.",
    &process::SERVER,
    Scope::ByKey,
);

pub(crate) static LOGGING: Group = top(
    "logging",
    "What is logged, and how.",
    &process::logging::LOGGING,
    Scope::Carried,
);

pub(crate) static UNLEASH: Group = top(
    "unleash",
    "A flag server, or a list of named ones in order of precedence.",
    &unleash::UNLEASH,
    Scope::Source,
);

pub(crate) static REGISTRY: Group = top(
    "registry",
    "How canaries are registered and recorded.",
    &registry::REGISTRY,
    Scope::Process,
);

pub(crate) static REDIS: Group = top(
    "redis",
    "The state that several gateways share: one Redis for all of them; default none, each has its own.",
    &redis::REDIS,
    Scope::Process,
);

pub(crate) static CLIENT_API: Group = top(
    "client_api",
    "What client apps and servers ask Serin itself; off unless present.",
    &client_api::CLIENT_API,
    Scope::Decides,
);

pub(crate) static ATTRIBUTION: Group = top(
    "attribution",
    "Who was really served by what, told to those who analyse.",
    &attribution::ATTRIBUTION,
    Scope::ByKey,
);

pub(crate) static TRACING: Group = top(
    "tracing",
    "Requests as spans, told to a collector of OpenTelemetry; off unless present.",
    &traces::TRACING,
    Scope::Carried,
);
