//! The keys of `tls`, of listeners and of the admin API.

use std::path::PathBuf;

use super::key::{Group, Setting, Stated, group, needed, required, setting, stated};
use super::kinds::texts::{Name, Text, name};
use super::kinds::words::Words;
use super::shape::{Shape, list, map};
use crate::config::tls::{ClientAuth, TlsVersion};

pub(super) static ADMIN_TLS: Shape = map(&[&CERTIFICATES, &CLIENT_CA, &CLIENT_AUTH, &MIN_VERSION]);

pub(super) static LISTENER_TLS: Shape = map(&[
    &CERTIFICATES,
    &CLIENT_CA,
    &CLIENT_AUTH,
    &MIN_VERSION,
    &TICKET_KEY,
]);

pub(crate) static CERTIFICATES: Group = needed(group(
    "certificates",
    "Certificates with their keys, chosen by the name that a client asks for; the first is for clients that ask for none of them.",
    &CERTIFICATE_LIST,
));

static CERTIFICATE_LIST: Shape = list(&CERTIFICATE);

static CERTIFICATE: Shape = map(&[&CERT, &KEY]);

pub(crate) static CERT: Stated<Name<PathBuf>> = required(
    "cert",
    "The PEM file of a certificate, followed by those between it and its authority; read again when it changes.",
    name(),
);

pub(crate) static KEY: Stated<Name<PathBuf>> =
    required("key", "The PEM file of its private key.", name());

pub(crate) static CLIENT_CA: Stated<Name<PathBuf>> = stated(
    "client_ca",
    "The PEM file of who vouches for clients, each of which then needs a certificate; default none: they need none.",
    name(),
);

pub(crate) static CLIENT_AUTH: Setting<&'static Words<ClientAuth>> = setting(
    "client_auth",
    "Whether each client needs a certificate from client_ca (required), or may do without (optional); default {default}.",
    &CLIENT_AUTHS,
    ClientAuth::Required,
);

static CLIENT_AUTHS: Words<ClientAuth> = Words(&[
    ("required", ClientAuth::Required),
    ("optional", ClientAuth::Optional),
]);

pub(crate) static MIN_VERSION: Setting<&'static Words<TlsVersion>> = setting(
    "min_version",
    "The oldest version of TLS that is spoken; default {default}.",
    &VERSIONS,
    TlsVersion::Tls12,
);

static VERSIONS: Words<TlsVersion> =
    Words(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]);

pub(crate) static TICKET_KEY: Stated<Text> = stated(
    "ticket_key",
    "A secret that gateways share, so that a client's session with one goes on with another: write ${TICKET_KEY}. Default: each has its own.",
    Text,
);
