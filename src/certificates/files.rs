//! PEM files as they are read, and what is wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::tls::{ListenerTls, StatedFile};
use crate::durable::read_small;

/// The hash of what the files hold.
pub(super) type Digest = [u8; 32];

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// The file.
    pub file: StatedFile,
    /// How bad it is.
    pub trouble: FileTrouble,
    /// What is wrong.
    pub why: String,
}

/// How bad something about a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileTrouble {
    /// There is no such file here: there may be one where the gateway runs.
    Missing,
    /// The certificate holds only later, or no more.
    NotItsTime,
    /// The file cannot be used.
    Unusable,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, why) = (self.file.path.display(), &self.why);
        write!(f, "{}: {path}: {why}", self.file.key)
    }
}

impl FileProblem {
    pub(super) fn new(file: &StatedFile, trouble: FileTrouble, why: impl Into<String>) -> Self {
        Self {
            file: file.clone(),
            trouble,
            why: why.into(),
        }
    }

    /// The same as a finding about the file that names it. `elsewhere`: what is not here may be where the gateway runs.
    pub fn finding(self, elsewhere: bool) -> Diagnostic {
        let is_elsewhere = elsewhere && self.trouble == FileTrouble::Missing;
        let Self { file, why, .. } = self;
        Diagnostic {
            severity: match is_elsewhere {
                true => Severity::Warning,
                false => Severity::Error,
            },
            message: format!("`{}`: {why}", file.path.display()),
            span: file.span,
            path: file.key,
            hint: None,
        }
    }

    pub(super) fn unusable(file: &StatedFile, why: impl Into<String>) -> Self {
        Self::new(file, FileTrouble::Unusable, why)
    }
}

/// What the files hold at a time.
pub(super) struct Contents(BTreeMap<PathBuf, io::Result<Vec<u8>>>);

impl Contents {
    pub(super) fn read(tls: &ListenerTls) -> Self {
        Self::of(tls.all().map(|file| &*file.path))
    }

    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        Self(
            paths
                .map(|path| (path.to_owned(), read_small(path)))
                .collect(),
        )
    }

    pub(super) fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        for content in self.0.values() {
            match content {
                Ok(bytes) => hash.update(Sha256::digest(bytes)),
                Err(error) => hash.update(error.to_string()),
            }
        }
        hash.finalize().into()
    }

    /// The certificates of a file, of which there is one at least.
    pub(super) fn certificates(
        &self,
        file: &StatedFile,
    ) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
        let certificates = self.sections(file)?.into_iter();
        let certificates: Vec<_> = certificates
            .filter(|(kind, _)| *kind == SectionKind::Certificate)
            .map(|(_, der)| CertificateDer::from(der))
            .collect();
        match certificates.is_empty() {
            true => Err(FileProblem::unusable(file, "there is no certificate in it")),
            false => Ok(certificates),
        }
    }

    /// The private key of a file.
    pub(super) fn key(&self, file: &StatedFile) -> Result<PrivateKeyDer<'static>, FileProblem> {
        let sections = self.sections(file)?;
        let mut keys = sections
            .into_iter()
            .filter_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
        if let Some(key) = keys.next() {
            return Ok(key);
        }
        let is_encrypted = self
            .bytes(file)?
            .windows(9)
            .any(|word| word == b"ENCRYPTED");
        let why = match is_encrypted {
            true => "the private key in it is encrypted, which is not supported",
            false => "there is no private key in it",
        };
        Err(FileProblem::unusable(file, why))
    }

    fn sections(&self, file: &StatedFile) -> Result<Vec<(SectionKind, Vec<u8>)>, FileProblem> {
        let bytes = self.bytes(file)?;
        let begin = b"-----BEGIN ";
        if !bytes.windows(begin.len()).any(|window| window == begin) {
            return Err(FileProblem::unusable(file, "it is not a PEM file"));
        }
        let sections: Result<_, _> = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).collect();
        sections
            .map_err(|error| FileProblem::unusable(file, format!("it is not a PEM file: {error}")))
    }

    fn bytes(&self, file: &StatedFile) -> Result<&[u8], FileProblem> {
        let (trouble, why) = match self.0.get(&file.path) {
            Some(Ok(bytes)) => return Ok(bytes),
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                (FileTrouble::Unusable, format!("it cannot be read: {error}"))
            }
            Some(Err(_)) | None => (FileTrouble::Missing, "there is no such file".to_owned()),
        };
        Err(FileProblem::new(file, trouble, why))
    }
}
