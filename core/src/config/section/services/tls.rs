//! `stable.tls`: how upstreams are spoken to over TLS.

use std::path::PathBuf;

use crate::cluster::policy::UpstreamTls;
use crate::cluster::{Scheme, UpstreamUrl};
use crate::config::keys::key::Stated;
use crate::config::keys::kinds::texts::Name;
use crate::config::keys::services as services_keys;
use crate::config::keys::services::tls as keys;
use crate::config::keys::shape::Key as _;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::tls::StatedFile;

/// Compiles the `tls` of a service's stable deployment; `None`: there is none.
pub(super) fn compile(reader: &mut Reader, service: &Node) -> Option<UpstreamTls> {
    let stable = services_keys::STABLE.node(service)?;
    let tls = services_keys::TLS.node(stable)?;
    let verify = keys::VERIFY.read(reader, tls);
    if let (false, Some(pair)) = (verify, keys::VERIFY.pair(tls)) {
        reader
            .problems
            .warning(
                pair.key_span,
                "stable may be anybody: its certificate is not verified",
            )
            .hint("name who vouches for it: `ca: ca.crt`");
    }
    check_scheme(reader, stable, tls);
    Some(UpstreamTls {
        ca: keys::CA.read(reader, tls),
        client: client(reader, tls),
        sni: keys::SNI.read(reader, tls),
        verify,
    })
}

/// The certificate that upstreams are shown, and its key: both, or none.
fn client(reader: &mut Reader, tls: &Node) -> Option<(PathBuf, PathBuf)> {
    let (cert, key) = (keys::CLIENT_CERT.pair(tls), keys::CLIENT_KEY.pair(tls));
    let lone = match (cert, key) {
        (Some(cert), None) => Some((cert, keys::CLIENT_KEY.name())),
        (None, Some(key)) => Some((key, keys::CLIENT_CERT.name())),
        _ => None,
    };
    if let Some((pair, missing)) = lone {
        let message = format!("a certificate goes with its key: `{missing}` is missing");
        reader.problems.error(pair.key_span, message);
    }
    let cert = keys::CLIENT_CERT.read(reader, tls);
    cert.zip(keys::CLIENT_KEY.read(reader, tls))
}

/// Tells where TLS is stated for an upstream that is spoken to in the clear.
fn check_scheme(reader: &mut Reader, stable: &Node, tls: &Node) {
    let url = services_keys::STABLE_URL.node(stable);
    let scalar = url.and_then(Node::scalar);
    let Some(scalar) = scalar.filter(|scalar| !scalar.is_placeholder()) else {
        return;
    };
    let scheme = scalar.text().parse::<UpstreamUrl>().map(|url| url.scheme());
    if let Ok(scheme @ (Scheme::Http | Scheme::H2c)) = scheme {
        let message = format!("{}:// is not TLS", scheme.as_str());
        reader
            .problems
            .warning(tls.span, message)
            .hint("stable is spoken to in the clear; for TLS write https:// or h2://");
    }
}

/// The files that it names, each with its place in the configuration.
pub(super) fn files(service: &str, node: &Node) -> Vec<StatedFile> {
    let stable = services_keys::STABLE.node(node);
    let tls = stable.and_then(|stable| services_keys::TLS.node(stable));
    let keys: [&Stated<Name<PathBuf>>; 3] = [&keys::CA, &keys::CLIENT_CERT, &keys::CLIENT_KEY];
    let stated = keys.into_iter().filter_map(|key| {
        let node = key.node(tls)?;
        let scalar = node.scalar().filter(|scalar| !scalar.is_placeholder())?;
        Some(StatedFile {
            path: scalar.text().into(),
            span: node.span,
            key: format!("services.{service}.stable.tls.{}", key.name()),
        })
    });
    stated.collect()
}
