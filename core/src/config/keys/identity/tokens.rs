//! The keys of `jwt`.

use std::path::PathBuf;

use super::{COOKIE, HEADER};
use crate::config::flag_server::ServerUrl;
use crate::config::keys::key::{Group, Setting, Stated, group, setting, stated};
use crate::config::keys::kinds::lists::Algorithms;
use crate::config::keys::kinds::texts::{Name, Parsed, Texts, name};
use crate::config::keys::shape::{Shape, map};

pub(crate) static JWT: Group = group(
    "jwt",
    "A signed token (JWT); one that does not verify is no identity. exp is required; 60 s of skew are allowed.",
    &JWT_KEYS,
);

static JWT_KEYS: Shape = map(&[
    &JWKS_URL,
    &JWKS_FILE,
    &SECRET,
    &ISSUER,
    &AUDIENCE,
    &CLAIM,
    &ALGORITHMS,
    &FROM,
]);

pub(crate) static JWKS_URL: Stated<Parsed<ServerUrl>> = stated(
    "jwks_url",
    "Where the keys are (a key set, RFC 7517): fetched in the background, kept through an outage.",
    Parsed {
        what: "the URL of a key set",
        stand_in: "https://idp.example.com/jwks.json",
        parse: key_set_url,
    },
);

fn key_set_url(text: &str) -> Result<ServerUrl, String> {
    let hint = |_| "as in https://idp.example.com/jwks.json, without a user and a query".to_owned();
    ServerUrl::parse(text).map_err(hint)
}

pub(crate) static JWKS_FILE: Stated<Name<PathBuf>> = stated(
    "jwks_file",
    "In place of `jwks_url`: a file with the keys, read again when it changes.",
    name(),
);

pub(crate) static SECRET: Stated<Name<Box<str>>> = stated(
    "secret",
    "In place of `jwks_url`: the secret that tokens are signed with (HS256): write ${JWT_SECRET}.",
    name(),
);

pub(crate) static ISSUER: Stated<Name<Box<str>>> = stated(
    "issuer",
    "Who must have issued the token (iss); default whoever has the keys.",
    name(),
);

pub(crate) static AUDIENCE: Stated<Texts> = stated(
    "audience",
    "Whom it must be meant for (aud), one of these; default none: then a token with an audience is not believed.",
    Texts,
);

pub(crate) static CLAIM: Setting<Name<Box<str>>> = setting(
    "claim",
    "The claim with the user's ID, as in sub or app.user; default {default}.",
    name(),
    "sub",
);

pub(crate) static ALGORITHMS: Stated<Algorithms> = stated(
    "algorithms",
    "How tokens may be signed, whatever they say themselves; default RS256, ES256 and EdDSA, with a secret HS256.",
    Algorithms,
);

pub(crate) static FROM: Group = group(
    "from",
    "Where the token is: {header: …} or {cookie: …}; default the header authorization, as a Bearer token.",
    &FROM_KEYS,
);

static FROM_KEYS: Shape = map(&[&HEADER, &COOKIE]);
