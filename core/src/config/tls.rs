//! `tls` of a listener: which PEM files it shows who it is with.

use std::path::PathBuf;

use super::diagnostic::Span;

/// `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates, the first of which is for clients that name no host, or another one; never empty.
    pub certificates: Vec<CertificateFiles>,
    /// Who vouches for clients, each of which then needs a certificate; `None`: none needs one.
    pub client_ca: Option<StatedFile>,
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

impl TlsFiles {
    /// Every file, in the configuration's order.
    pub fn all(&self) -> impl Iterator<Item = &StatedFile> {
        let pairs = self.certificates.iter();
        let files = pairs.flat_map(|files| [&files.cert, &files.key]);
        files.chain(&self.client_ca)
    }
}
