//! What upstreams are spoken to with over TLS: authorities and client certificates in PEM files, which are read again when
//! they change.
//!
//! They are the same for the whole process, whoever connects: workers, health checks, the check of a new registration.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::LOOK;
use super::facts::Facts;
use super::files::{Contents, Digest, FileProblem, FileTrouble};
use super::unverified::Unverified;
use crate::clock;
use crate::cluster::policy::UpstreamTls;
use crate::config::diagnostic::Span;
use crate::config::tls::StatedFile;
use crate::context::Moment;
use crate::snapshot::store::SnapshotStore;

/// What every service that states something of TLS is spoken to with.
static KNOWN: LazyLock<Mutex<HashMap<Arc<UpstreamTls>, Arc<ClientTls>>>> =
    LazyLock::new(Mutex::default);

/// The authorities of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "an authority of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots.into()
});

/// Files that are in use.
#[derive(Debug)]
pub struct Presented {
    /// Tells one from every other, in this process.
    pub id: u64,
    /// Who vouches for upstreams; `None`: the system's authorities.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// The certificate that they are shown, with those between it and its authority, and its key.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    digest: Digest,
}

/// What the upstreams of a service are spoken to with.
#[derive(Debug)]
pub struct ClientTls {
    stated: Arc<UpstreamTls>,
    loaded: ArcSwap<Result<Presented, Vec<FileProblem>>>,
}

/// What the upstreams of services that state this are spoken to with. Reads the files, if nobody has yet.
pub fn of(stated: &Arc<UpstreamTls>) -> Arc<ClientTls> {
    if let Some(known) = known().get(stated) {
        return known.clone();
    }
    // Without the table: files may take their time.
    let judged = load(stated, &contents(stated), clock::now());
    for problem in &judged.problems {
        tracing::warn!("what upstreams are shown cannot be used as it is: {problem}");
    }
    let tls = Arc::new(ClientTls {
        stated: stated.clone(),
        loaded: ArcSwap::from_pointee(judged.presented.ok_or(judged.problems)),
    });
    known().entry(stated.clone()).or_insert(tls).clone()
}

/// [`Presented::id`] of what is in use now.
///
/// # Errors
/// What is wrong with the files, for people: they could never be used.
pub fn id(stated: &Arc<UpstreamTls>) -> Result<u64, String> {
    let tls = of(stated);
    let presented = tls.presented();
    let presented = (**presented).as_ref();
    presented
        .map(|one| one.id)
        .map_err(|problems| told(problems))
}

/// Whether upstreams can be spoken to by what is stated: the files can be used now, or could be before.
pub fn is_usable(stated: &Arc<UpstreamTls>) -> bool {
    of(stated).presented().is_ok()
}

fn known() -> MutexGuard<'static, HashMap<Arc<UpstreamTls>, Arc<ClientTls>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientTls {
    /// What is in use now.
    ///
    /// # Errors
    /// What is wrong with the files: they could never be used.
    pub fn presented(&self) -> arc_swap::Guard<Arc<Result<Presented, Vec<FileProblem>>>> {
        self.loaded.load()
    }

    /// Puts what the files hold in use, if all of it can be. Whether its time has yet to come.
    fn take(&self, contents: &Contents, is_new: bool) -> bool {
        let Judged {
            presented,
            problems,
        } = load(&self.stated, contents, clock::now());
        for problem in problems.iter().filter(|_| is_new) {
            tracing::error!("{problem}: upstreams are spoken to as they were");
        }
        let is_in_force = self.presented().is_ok();
        match presented.filter(|_| problems.is_empty() || !is_in_force) {
            Some(presented) => {
                tracing::info!("other certificates are in use for upstreams");
                self.loaded.store(Arc::new(Ok(presented)));
            }
            None if !is_in_force => self.loaded.store(Arc::new(Err(problems.clone()))),
            None => {}
        }
        let mut troubles = problems.iter().map(|problem| problem.trouble);
        is_in_force && troubles.any(|trouble| trouble == FileTrouble::NotItsTime)
    }
}

/// What was found of one service's files at the looks so far.
struct Looks {
    last: Digest,
    judged: Digest,
    /// Whether what was judged is for later.
    waits: bool,
}

/// Reads files again whenever they have changed, for as long as it is polled. What no service of the snapshot that runs
/// states is forgotten.
pub async fn follow(store: Arc<SnapshotStore>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen: HashMap<Arc<UpstreamTls>, Looks> = HashMap::new();
    loop {
        ticks.tick().await;
        let stated: HashSet<Arc<UpstreamTls>> = {
            let snapshot = store.load();
            let services = snapshot.services.iter();
            let stated = services.filter_map(|service| service.upstream.tls.clone());
            stated.collect()
        };
        known().retain(|own, _| stated.contains(own));
        seen.retain(|own, _| stated.contains(own));
        // A file system that hangs keeps a thread, and nobody else.
        let looks = stated.into_iter().map(|stated| async {
            let looked = spawn_blocking(move || (of(&stated), contents(&stated))).await;
            looked.ok()
        });
        for (tls, contents) in join_all(looks).await.into_iter().flatten() {
            let digest = contents.digest();
            let in_use = match &**tls.presented() {
                Ok(presented) => presented.digest,
                Err(_) => Digest::default(),
            };
            let looks = seen.entry(tls.stated.clone()).or_insert(Looks {
                last: digest,
                judged: in_use,
                waits: false,
            });
            // Each content is judged once, and not while it is being written: when it is the same at the look after.
            // One whose time has not come is judged until it has.
            let is_settled = std::mem::replace(&mut looks.last, digest) == digest;
            let is_new = looks.judged != digest;
            if is_settled && (is_new || looks.waits) {
                looks.judged = digest;
                looks.waits = tls.take(&contents, is_new);
            }
        }
    }
}

/// How one upstream is spoken to by those that have no pool: its certificate is verified unless `verify` is false.
///
/// # Errors
/// What is wrong with the files.
pub fn client_config(
    stated: Option<&Arc<UpstreamTls>>,
    verify: bool,
    protocol: &[u8],
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let tls = stated.map(of);
    let loaded = tls.as_ref().map(|tls| tls.presented());
    let presented = match loaded.as_ref().map(|loaded| &***loaded) {
        None => None,
        Some(Ok(presented)) => Some(presented),
        Some(Err(problems)) => return Err(told(problems)),
    };
    let roots = match presented.and_then(|presented| presented.authorities.as_ref()) {
        None => SYSTEM.clone(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities.iter().cloned());
            roots.into()
        }
    };
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match verify {
        true => builder.with_root_certificates(roots),
        false => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    let mut config = match presented.and_then(|presented| presented.client.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| error.to_string())?,
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// Problems, for people.
pub fn told(problems: &[FileProblem]) -> String {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("; ")
}

/// Everything that is wrong with the files, each of which has the place that `stated` gives it.
pub fn check(tls: &UpstreamTls, stated: &[StatedFile], now: Moment) -> Vec<FileProblem> {
    let mut problems = load(tls, &contents(tls), now).problems;
    for problem in &mut problems {
        let place = stated.iter().find(|file| file.path == problem.file.path);
        problem.file = place.unwrap_or(&problem.file).clone();
    }
    problems
}

fn contents(tls: &UpstreamTls) -> Contents {
    let client = tls.client.iter().flat_map(|(cert, key)| [cert, key]);
    Contents::of(tls.ca.iter().chain(client).map(AsRef::as_ref))
}

fn file(path: &Path, key: &str) -> StatedFile {
    StatedFile {
        path: path.to_owned(),
        span: Span::default(),
        key: format!("stable.tls.{key}"),
    }
}

/// What was made of the files, and what is wrong with them. A certificate whose time it is not is both.
struct Judged {
    presented: Option<Presented>,
    problems: Vec<FileProblem>,
}

fn load(tls: &UpstreamTls, contents: &Contents, now: Moment) -> Judged {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let mut problems = Vec::new();
    let authorities = tls.ca.as_ref().map(|path| authorities(path, contents));
    let client = tls.client.as_ref();
    let client = client.map(|(cert, key)| client_certificate((cert, key), contents));
    let taken = match (authorities.transpose(), client.transpose()) {
        (Ok(authorities), Ok(client)) => Some((authorities, client)),
        (authorities, client) => {
            problems.extend(authorities.err());
            problems.extend(client.err());
            None
        }
    };
    let chain = taken.iter().filter_map(|(_, client)| client.as_ref());
    let chain = chain.flat_map(|(chain, _)| chain);
    if let Some(why) = chain
        .filter_map(|one| Facts::read(one).ok()?.not_its_time(now))
        .next()
        && let Some((cert, _)) = &tls.client
    {
        let cert = file(cert, "client_cert");
        problems.push(FileProblem::new(&cert, FileTrouble::NotItsTime, why));
    }
    let presented = taken.map(|(authorities, client)| Presented {
        id: IDS.fetch_add(1, Ordering::Relaxed),
        authorities,
        client,
        digest: contents.digest(),
    });
    Judged {
        presented,
        problems,
    }
}

fn authorities(
    path: &Path,
    contents: &Contents,
) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let file = file(path, "ca");
    let all = contents.certificates(&file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &all {
        let readable = Facts::read(certificate).and_then(|_| {
            let added = roots.add(certificate.clone());
            added.map_err(|error| error.to_string())
        });
        readable.map_err(|error| {
            let why = format!("what is in it is not the certificate of an authority: {error}");
            FileProblem::unusable(&file, why)
        })?;
    }
    Ok(all)
}

fn client_certificate(
    (cert, key): (&Path, &Path),
    contents: &Contents,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), FileProblem> {
    let (cert, key) = (file(cert, "client_cert"), file(key, "client_key"));
    let provider: CryptoProvider = ring::default_provider();
    let chain = contents.certificates(&cert)?;
    for certificate in &chain {
        Facts::read(certificate).map_err(|why| {
            let why = format!("what is in it is not a certificate: {why}");
            FileProblem::unusable(&cert, why)
        })?;
    }
    let private = contents.key(&key)?;
    CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider).map_err(|error| {
        let why = format!("it is not the key of {}: {error}", cert.path.display());
        FileProblem::unusable(&key, why)
    })?;
    Ok((chain, private))
}
