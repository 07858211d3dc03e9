//! The keys of `admin`.

use std::sync::Arc;

use super::key::{Group, Stated, group, required, stated};
use super::kinds::texts::{Name, Parsed, Text, name};
use super::kinds::words::Words;
use super::shape::{Form, Shape, TEXT, TEXTS, list, map, text_or_list, text_or_map};
use super::tls::ADMIN_TLS;
use crate::config::admin::Role;
use crate::config::token::Token;

pub(super) static ADMIN: Shape =
    text_or_map(Form::Any, &[&ADDRESS, &PROBES, &HOSTS, &TLS, &TOKENS]);

pub(crate) static ADDRESS: Group = group(
    "address",
    "Address and port, or several; default 127.0.0.1:9900. Without tokens, callers from elsewhere get probes and metrics only.",
    &ADDRESSES,
);

pub(crate) static PROBES: Group = group(
    "probes",
    "Address and port, or several, for /livez, /readyz and /metrics alone; default none of their own.",
    &ADDRESSES,
);

pub(crate) static HOSTS: Group = group(
    "hosts",
    "Names that the API answers to (exact or \"*.suffix\"), beside localhost and IP addresses; default none.",
    &TEXTS,
);

static ADDRESSES: Shape = text_or_list(Form::Any, &TEXT);

pub(crate) static TLS: Group = group(
    "tls",
    "What its address speaks TLS 1.2 and 1.3 with; default none: it speaks plain HTTP. Addresses for probes always do.",
    &ADMIN_TLS,
);

pub(crate) static TOKENS: Group = group(
    "tokens",
    "Who may ask, and for what; with any, every call but probes and metrics needs one; default none: only callers on this machine may.",
    &TOKEN_LIST,
);

static TOKEN_LIST: Shape = list(&TOKEN_SHAPE);

static TOKEN_SHAPE: Shape = map(&[&NAME, &ROLE, &SERVICES, &TOKEN, &TOKEN_SHA256]);

pub(crate) static NAME: Stated<Name<Arc<str>>> = required(
    "name",
    "What its bearer is called in logs, events and the API.",
    name(),
);

pub(crate) static ROLE: Stated<&'static Words<Role>> = required(
    "role",
    "viewer reads; registrar registers canaries, too; operator kills them and switches rings; admin may do everything.",
    &ROLES,
);

static ROLES: Words<Role> = Words(&[
    word(Role::Viewer),
    word(Role::Registrar),
    word(Role::Operator),
    word(Role::Admin),
]);

const fn word(role: Role) -> (&'static str, Role) {
    (role.as_str(), role)
}

pub(crate) static SERVICES: Group = group(
    "services",
    "The services that it may do so with; default all.",
    &TEXTS,
);

// Read by its section: nothing of a token is shown, not even of one that is none.
pub(crate) static TOKEN: Stated<Text> = stated(
    "token",
    "The token, of 16 characters or more; a secret: write ${CI_TOKEN}. Or `token_sha256`.",
    Text,
);

pub(crate) static TOKEN_SHA256: Stated<Parsed<Token>> = stated(
    "token_sha256",
    "The SHA-256 of a random token, in hexadecimal: then no secret stands anywhere.",
    Parsed {
        what: "a SHA-256 hash",
        stand_in: "0000000000000000000000000000000000000000000000000000000000000000",
        parse: Token::from_hex,
    },
);
