//! How a command speaks to an admin API whose URL begins with https://.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Whom a command trusts, and what it shows of itself.
#[derive(Debug, clap::Args)]
pub(super) struct TlsArgs {
    /// A PEM file of who may vouch for an https:// gateway; default the system's
    #[arg(long, value_name = "FILE", env = "SERIN_CA")]
    ca: Option<PathBuf>,
    /// A PEM file with a certificate of one's own, where the gateway wants one
    #[arg(long, value_name = "FILE", env = "SERIN_CERT", requires = "key")]
    cert: Option<PathBuf>,
    /// A PEM file with its private key
    #[arg(long, value_name = "FILE", env = "SERIN_KEY", requires = "cert")]
    key: Option<PathBuf>,
}

impl TlsArgs {
    /// What connects to a gateway. The files are read anew each time: certificates are renewed while a command runs.
    pub(super) fn connector(
        &self,
        is_https: bool,
    ) -> anyhow::Result<HttpsConnector<HttpConnector>> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let config = self.config(is_https)?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(config);
        Ok(builder.https_or_http().enable_http1().wrap_connector(tcp))
    }

    fn config(&self, is_https: bool) -> anyhow::Result<ClientConfig> {
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?;
        let config = match &self.ca {
            Some(ca) => config.with_root_certificates(roots(ca)?),
            None if is_https => config.with_native_roots().context(
                "there are no roots of the system's to trust: give the gateway's by --ca FILE",
            )?,
            // Nobody's certificate will be looked at.
            None => config.with_root_certificates(RootCertStore::empty()),
        };
        let Some((cert, key)) = self.cert.as_ref().zip(self.key.as_ref()) else {
            return Ok(config.with_no_client_auth());
        };
        let own = PrivateKeyDer::from_pem_file(key).with_context(|| {
            let key = key.display();
            format!("{key}: no private key can be read from it")
        })?;
        let config = config.with_client_auth_cert(certificates(cert)?, own);
        config.with_context(|| format!("{} and {}", cert.display(), key.display()))
    }
}

fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let added = roots.add(certificate);
        added.with_context(|| file.display().to_string())?;
    }
    Ok(roots)
}

/// The certificates of a file, of which there is one at least.
fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let place = || file.display().to_string();
    let read = CertificateDer::pem_file_iter(file).with_context(place)?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().with_context(place)?;
    if certificates.is_empty() {
        bail!("{}: there is no certificate in it", place());
    }
    Ok(certificates)
}

/// Whether the other side was reached and is not trusted, or does not trust this one: trying again does not help.
pub(super) fn is_distrust(error: &anyhow::Error) -> bool {
    error.chain().any(is_of_tls)
}

/// Whether it is an error of TLS, however many layers of the system's errors are around it.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_of_tls(inner))
}
