//! The keys of `stable.tls`.

use std::path::PathBuf;

use crate::config::keys::key::{Setting, Stated, setting, stated};
use crate::config::keys::kinds::Bool;
use crate::config::keys::kinds::texts::{Name, name};

pub(crate) static CA: Stated<Name<PathBuf>> = stated(
    "ca",
    "The PEM file of who vouches for it; read again when it changes; default: the system's authorities.",
    name(),
);

pub(crate) static SNI: Stated<Name<Box<str>>> = stated(
    "sni",
    "The name that its certificate is for; default: the URL's host.",
    name(),
);

pub(crate) static VERIFY: Setting<Bool> = setting(
    "verify",
    "Whether its certificate has to be for that name, and vouched for; default {default}. A canary's always has to be.",
    Bool,
    true,
);

pub(crate) static CLIENT_CERT: Stated<Name<PathBuf>> = stated(
    "client_cert",
    "The PEM file of the certificate that it is shown; read again when it changes; default none.",
    name(),
);

pub(crate) static CLIENT_KEY: Stated<Name<PathBuf>> =
    stated("client_key", "The PEM file of its private key.", name());
