//! `tls` of a listener: the files; what is in them is for those who read them.

use std::path::PathBuf;

use crate::config::flag_server::Secret;
use crate::config::keys::key::Stated;
use crate::config::keys::kinds::texts::Name;
use crate::config::keys::shape::Key as _;
use crate::config::keys::tls as keys;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::tls::{CertificateFiles, ClientAuth, ListenerTls, StatedFile};

/// A key of tickets that is shorter could be guessed.
const SHORTEST_TICKET_KEY: usize = 32;

/// Compiles `tls`, which stands at `place`, as in `admin.tls`.
pub(super) fn compile(reader: &mut Reader, tls: &Node, place: &str) -> ListenerTls {
    let items = keys::CERTIFICATES.items(tls);
    if let Some(node) = keys::CERTIFICATES.node(tls)
        && items.is_empty()
    {
        reader
            .problems
            .error(node.span, "there is no certificate")
            .hint("as in `[{ cert: tls.crt, key: tls.key }]`");
    }
    let mut certificates = Vec::new();
    for (index, node) in items.iter().enumerate() {
        let place = format!("{place}.certificates.{index}");
        let cert = file(reader, &keys::CERT, node, &place);
        let key = file(reader, &keys::KEY, node, &place);
        certificates.extend(
            cert.zip(key)
                .map(|(cert, key)| CertificateFiles { cert, key }),
        );
    }
    ListenerTls {
        certificates,
        client_ca: file(reader, &keys::CLIENT_CA, tls, place),
        client_auth: client_auth(reader, tls),
        min_version: keys::MIN_VERSION.read(reader, tls),
        ticket_key: ticket_key(reader, tls),
    }
}

fn file(
    reader: &mut Reader,
    key: &Stated<Name<PathBuf>>,
    map: &Node,
    place: &str,
) -> Option<StatedFile> {
    let span = key.node(map)?.span;
    Some(StatedFile {
        path: key.read(reader, map)?,
        span,
        key: format!("{place}.{}", key.name()),
    })
}

fn client_auth(reader: &mut Reader, tls: &Node) -> ClientAuth {
    if let Some(pair) = keys::CLIENT_AUTH.pair(tls)
        && keys::CLIENT_CA.node(tls).is_none()
    {
        reader
            .problems
            .error(pair.key_span, "no client is asked for a certificate")
            .hint("add `client_ca`: the authority that vouches for clients");
    }
    keys::CLIENT_AUTH.read(reader, tls)
}

fn ticket_key(reader: &mut Reader, tls: &Node) -> Option<Secret> {
    let node = keys::TICKET_KEY.node(tls)?;
    let key = keys::TICKET_KEY.read(reader, tls)?;
    let is_known = node.scalar().is_some_and(|scalar| !scalar.is_placeholder());
    if is_known && key.len() < SHORTEST_TICKET_KEY {
        let message = format!(
            "this key has fewer than {SHORTEST_TICKET_KEY} characters: who guesses it can read what was sent"
        );
        reader
            .problems
            .error(node.span, message)
            .hint("as `openssl rand -hex 32` makes it");
    }
    Some(Secret::new(&key))
}
