//! What is made of the files: the server's side of TLS 1.2 and 1.3.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::facts::Facts;
use super::files::{Contents, Digest, FileProblem, FileTrouble};
use super::tickets::TicketKeys;
use crate::config::tls::{CertificateFiles, ClientAuth, ListenerTls, StatedFile, TlsVersion};
use crate::context::Moment;

/// What a listener's side of TLS is made by, whatever its files hold.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) tls: ListenerTls,
    /// What clients may choose from (ALPN), the preferred one first.
    pub(super) protocols: Vec<Vec<u8>>,
    /// What seals tickets; `None`: there are none.
    pub(super) tickets: Option<Arc<TicketKeys>>,
}

/// Files that are in use.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Vec<Facts>,
    pub(super) digest: Digest,
    /// Of each certificate.
    keys: Vec<Arc<CertifiedKey>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Loaded {
    /// What is in force of one of the configuration's certificates.
    fn pair(&self, index: usize) -> Option<(Arc<CertifiedKey>, Facts)> {
        Some((
            self.keys.get(index)?.clone(),
            self.certificates.get(index)?.clone(),
        ))
    }
}

/// Makes what it can of the files, and says what is wrong with them. What cannot be used, or not yet, or no more, leaves in
/// force what was there before it; where there was nothing, a certificate whose time it is not is used all the same.
pub(super) fn load(
    terms: &Terms,
    contents: &Contents,
    now: Moment,
    before: Option<&Loaded>,
) -> (Option<Loaded>, Vec<FileProblem>) {
    let files = &terms.tls;
    let provider = Arc::new(ring::default_provider());
    let mut problems = Vec::new();
    let mut known = Vec::new();
    for (index, pair) in files.certificates.iter().enumerate() {
        let in_force = before.and_then(|before| before.pair(index));
        match certificate(pair, contents, &provider) {
            Ok((key, facts)) => {
                let is_in_force = in_force.as_ref().is_some_and(|(_, own)| *own == facts);
                match facts.not_its_time(now).filter(|_| !is_in_force) {
                    None => known.push((Arc::new(key), facts)),
                    Some(why) => {
                        let trouble = FileTrouble::NotItsTime;
                        problems.push(FileProblem::new(&pair.cert, trouble, why));
                        known.push(in_force.unwrap_or((Arc::new(key), facts)));
                    }
                }
            }
            Err(problem) => {
                problems.push(problem);
                known.extend(in_force);
            }
        }
    }
    let verifier = match &files.client_ca {
        Some(file) => verifier(file, files.client_auth, contents, &provider).or_else(|problem| {
            problems.push(problem);
            before.map(|before| before.verifier.clone()).ok_or(())
        }),
        None => Ok(Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>),
    };
    let (Ok(verifier), true) = (verifier, known.len() == files.certificates.len()) else {
        return (None, problems);
    };
    let (keys, certificates) = known.iter().cloned().unzip();
    let loaded = config(known, verifier.clone(), provider, terms);
    let loaded = loaded.map(|config| Loaded {
        config: Arc::new(config),
        certificates,
        digest: contents.digest(),
        keys,
        verifier,
    });
    (loaded, problems)
}

fn certificate(
    files: &CertificateFiles,
    contents: &Contents,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, Facts), FileProblem> {
    let chain = contents.certificates(&files.cert)?;
    let key = contents.key(&files.key)?;
    let facts = chain
        .first()
        .map_or(Ok(None), |first| Facts::read(first).map(Some));
    let no_certificate = |why: &str| {
        let why = format!("what is in it is not a certificate: {why}");
        FileProblem::unusable(&files.cert, why)
    };
    let facts = facts.map_err(|why| no_certificate(&why))?;
    let facts = facts.ok_or_else(|| no_certificate("it is empty"))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let cert = files.cert.path.display();
        let why = match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                format!("it is not the key of the certificate in {cert}")
            }
            error => format!("the key cannot be used: {error}"),
        };
        FileProblem::unusable(&files.key, why)
    })?;
    Ok((key, facts))
}

fn verifier(
    file: &StatedFile,
    auth: ClientAuth,
    contents: &Contents,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, FileProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in contents.certificates(file)? {
        roots.add(certificate).map_err(|error| {
            let why = format!("what is in it is not the certificate of an authority: {error}");
            FileProblem::unusable(file, why)
        })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let verifier = match auth {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    verifier
        .build()
        .map_err(|error| FileProblem::unusable(file, error.to_string()))
}

fn config(
    known: Vec<(Arc<CertifiedKey>, Facts)>,
    verifier: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    terms: &Terms,
) -> Option<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider);
    // It fails only for a provider without ciphers for these versions.
    let builder = builder
        .with_protocol_versions(versions(terms.tls.min_version))
        .ok()?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(ByName::new(known)?));
    config.alpn_protocols.clone_from(&terms.protocols);
    if terms.tls.client_ca.is_some() {
        // A session that is resumed is not asked for its certificate again, which may be over by then.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else if let Some(tickets) = &terms.tickets {
        // What a session is, the client keeps.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets.clone();
        config.send_tls13_tickets = 1;
    }
    Some(config)
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
    match oldest {
        TlsVersion::Tls12 => &ALL,
        TlsVersion::Tls13 => &NEW,
    }
}

/// The certificate for the host that a client names.
#[derive(Debug)]
struct ByName {
    named: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl ByName {
    fn new(known: Vec<(Arc<CertifiedKey>, Facts)>) -> Option<Self> {
        let first = known.first()?.0.clone();
        let mut named = HashMap::new();
        for (key, facts) in known {
            for name in facts.names {
                // Of several for one name, the first in the file.
                named.entry(name).or_insert_with(|| key.clone());
            }
        }
        Some(Self { named, first })
    }

    /// The one for exactly that name, else for `*.` and the rest of it, else the first.
    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let name = name.unwrap_or_default().to_ascii_lowercase();
        let found = self.named.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.named.get(&format!("*.{parent}"))
        });
        found.unwrap_or(&self.first).clone()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()))
    }
}
