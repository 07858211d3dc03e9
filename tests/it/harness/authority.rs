//! An authority of the tests' own, and certificates that it vouches for, as files.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::in_time;

/// An authority; its certificate is the file `ca.crt`.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("ca.crt"), issuer.pem()).expect("a file");
        Self { folder, issuer }
    }

    /// Makes `file.crt` and `file.key`, for these names.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) {
        self.issue_until(file, names, 2100);
    }

    /// The same, until a year begins.
    pub(crate) fn issue_until(&self, file: &str, names: &[&str], year: i32) {
        self.issue_until_day(file, names, (year, 1, 1));
    }

    /// The same, until about so many days from today.
    pub(crate) fn issue_for(&self, file: &str, names: &[&str], days: i64) {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let last = today.date().saturating_add(jiff::Span::new().days(days));
        let parts = [last.month(), last.day()].map(|part| u8::try_from(part).expect("small"));
        self.issue_until_day(file, names, (last.year().into(), parts[0], parts[1]));
    }

    fn issue_until_day(&self, file: &str, names: &[&str], (year, month, day): (i32, u8, u8)) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.not_after = date_time_ymd(year, month, day);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, file);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        // Each is replaced at once, as those do who renew certificates.
        for (end, text) in [("crt", certificate.pem()), ("key", key.serialize_pem())] {
            let next = self.path(&format!("{file}.{end}.next"));
            fs::write(&next, text).expect("a file");
            fs::rename(&next, self.path(&format!("{file}.{end}"))).expect("it is renamed");
        }
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    /// The certificate of a file.
    pub(crate) fn certificate(&self, file: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{file}.crt"))).expect("a certificate")
    }

    /// The key of a file.
    pub(crate) fn key(&self, file: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).expect("a key")
    }

    /// A client that trusts it, speaks these versions, and shows the certificate of a file.
    pub(crate) fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shows: Option<&str>,
    ) -> TlsConnector {
        TlsConnector::from(Arc::new(self.client_config(versions, shows)))
    }

    /// A client that trusts it, and offers these protocols (ALPN).
    pub(crate) fn client_offering(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut config = self.client_config(rustls::ALL_VERSIONS, None);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// What such a client is made of.
    pub(crate) fn client_config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shows: Option<&str>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate("ca")).expect("an authority");
        let provider = rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        match shows {
            None => config.with_no_client_auth(),
            Some(file) => {
                let chain = vec![self.certificate(file)];
                let config = config.with_client_auth_cert(chain, self.key(file));
                config.expect("a certificate and its key")
            }
        }
    }
}

/// Shakes hands with a server under this name.
pub(crate) async fn shake(
    client: &TlsConnector,
    socket: TcpStream,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    in_time("a handshake", client.connect(name, socket)).await
}

/// Connects, and shakes hands with a server under this name.
pub(crate) async fn connect(
    client: &TlsConnector,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await.expect("a connection");
    shake(client, socket, name).await
}
