//! `tls` of a listener: which PEM files it shows who it is with, and what it asks of clients.

use std::path::PathBuf;

use super::diagnostic::Span;
use super::flag_server::Secret;

/// `tls` of a listener, the admin API's included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificates, the first of which is for clients that name no host, or another one; never empty.
    pub certificates: Vec<CertificateFiles>,
    /// Who vouches for clients; `None`: none is asked for a certificate.
    pub client_ca: Option<StatedFile>,
    /// Whether clients may do without one where they are asked.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// What the keys of session tickets are derived from; `None`: something random, this process's own.
    pub ticket_key: Option<Secret>,
}

/// Whether clients need a certificate where `client_ca` asks them for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Each needs one.
    #[default]
    Required,
    /// One that has none is served as well; a wrong one is refused.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those between it and its authority.
    pub cert: StatedFile,
    /// Its private key.
    pub key: StatedFile,
}

/// A file that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedFile {
    /// The file.
    pub path: PathBuf,
    /// Where the configuration names it.
    pub span: Span,
    /// The key that names it, as in `admin.tls.client_ca`.
    pub key: String,
}

impl ListenerTls {
    /// Every file, in the configuration's order.
    pub fn all(&self) -> impl Iterator<Item = &StatedFile> {
        let pairs = self.certificates.iter();
        let files = pairs.flat_map(|files| [&files.cert, &files.key]);
        files.chain(&self.client_ca)
    }
}
