//! `admin.tls`: the files; what is in them is for those who read them.

use std::path::PathBuf;

use crate::config::keys::admin as keys;
use crate::config::keys::key::Stated;
use crate::config::keys::kinds::texts::Name;
use crate::config::keys::shape::Key as _;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::tls::{CertificateFiles, StatedFile, TlsFiles};

/// Compiles `tls`; `None`: there is none.
pub(super) fn compile(reader: &mut Reader, admin: &Node) -> Option<TlsFiles> {
    let tls = keys::TLS.node(admin)?;
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
        let place = format!("admin.tls.certificates.{index}");
        let cert = file(reader, &keys::CERT, node, &place);
        let key = file(reader, &keys::KEY, node, &place);
        certificates.extend(
            cert.zip(key)
                .map(|(cert, key)| CertificateFiles { cert, key }),
        );
    }
    let client_ca = file(reader, &keys::CLIENT_CA, tls, "admin.tls");
    Some(TlsFiles {
        certificates,
        client_ca,
    })
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
