//! The keys of `redis`.

use std::path::PathBuf;
use std::sync::Arc;

use super::key::{Group, Setting, Stated, group, required, setting, stated};
use super::kinds::texts::{Name, Parsed, Texts, name};
use super::shape::{Shape, map};
use crate::config::redis;

pub(super) static REDIS: Shape = map(&[&URL, &PREFIX, &TLS]);

// Read by its section: there may be a password in it, of which nothing is shown.
pub(crate) static URL: Stated<Texts> = required(
    "url",
    "Where it is, as in redis://redis.default.svc:6379/0; rediss:// with TLS; a list: nodes of a Redis Cluster. A password is a secret: write ${REDIS_URL}.",
    Texts,
);

pub(crate) static PREFIX: Setting<Parsed<Arc<str>>> = setting(
    "prefix",
    "What all keys begin with: gateways with the same one share their state; default {default}.",
    Parsed {
        what: "a prefix for keys",
        stand_in: "serin:",
        parse: redis::prefix,
    },
    "serin:",
);

pub(crate) static TLS: Group = group("tls", "How rediss:// is spoken.", &TLS_KEYS);

static TLS_KEYS: Shape = map(&[&CA, &CLIENT_CERT, &CLIENT_KEY]);

pub(crate) static CA: Stated<Name<PathBuf>> = stated(
    "ca",
    "The PEM file of who may vouch for the server; default the system's.",
    name(),
);

pub(crate) static CLIENT_CERT: Stated<Name<PathBuf>> = stated(
    "client_cert",
    "The PEM file of the gateway's own certificate, where the server wants one; default none.",
    name(),
);

pub(crate) static CLIENT_KEY: Stated<Name<PathBuf>> =
    stated("client_key", "The PEM file of its key.", name());
