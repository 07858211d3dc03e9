//! Upstreams that are spoken to over TLS: who vouches for them, what they are shown, and what becomes of requests whose
//! upstream is somebody else.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::harness::authority::Authority;
use crate::harness::{Gateway, Origin, Setup, get, post, run_serin, until};

/// What an upstream saw of one handshake.
#[derive(Clone, Debug)]
struct Seen {
    name: Option<String>,
    protocol: Option<Vec<u8>>,
    shown: bool,
}

/// Ends TLS before an origin.
pub(super) struct Front {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    running: AbortHandle,
}

impl Front {
    /// With the certificate of a file; with `asks`, clients need one from the same authority.
    pub(super) async fn start(
        origin: &Origin,
        authority: &Authority,
        file: &str,
        asks: bool,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone());
        let config = config
            .with_safe_default_protocol_versions()
            .expect("versions");
        let config = if asks {
            let mut roots = RootCertStore::empty();
            roots
                .add(authority.certificate("ca"))
                .expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            config.with_no_client_auth()
        };
        let chain = vec![authority.certificate(file)];
        let mut config = config
            .with_single_cert(chain, authority.key(file))
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (notes, origin) = (seen.clone(), origin.address());
        let running = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                let (acceptor, notes) = (acceptor.clone(), notes.clone());
                tokio::spawn(async move {
                    // A client that does not trust it goes.
                    let Ok(mut stream) = acceptor.accept(socket).await else {
                        return;
                    };
                    let session = stream.get_ref().1;
                    let saw = Seen {
                        name: session.server_name().map(str::to_owned),
                        protocol: session.alpn_protocol().map(<[u8]>::to_vec),
                        shown: session.peer_certificates().is_some(),
                    };
                    notes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(saw);
                    let mut socket = TcpStream::connect(origin).await.expect("the origin");
                    let _ = copy_bidirectional(&mut stream, &mut socket).await;
                });
            }
        });
        let running = running.abort_handle();
        Self {
            address,
            seen,
            running,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    fn last(&self) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last().expect("a handshake").clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn before(stable: &str) -> Gateway {
    let config = format!(
        "services: {{ search: {{ stable: {stable} }} }}\nroutes: [{{ path: /, service: search }}]\n"
    );
    Gateway::start(config).await
}

#[tokio::test]
async fn an_upstream_is_who_its_authority_says_over_either_http() {
    let authority = Authority::new();
    authority.issue("own", &["localhost", "search.internal", "127.0.0.1"]);
    authority.issue("client", &["serin"]);
    let ca = authority.path("ca.crt");
    let origin = Origin::start("stable").await;
    let front = Front::start(&origin, &authority, "own", false).await;
    let port = front.port();
    let tls = format!("tls: {{ ca: {ca} }}");
    // By name, by address, and by a name that the file states.
    for (url, more, name) in [
        (
            format!("https://localhost:{port}"),
            tls.clone(),
            Some("localhost"),
        ),
        (format!("https://127.0.0.1:{port}"), tls.clone(), None),
        (
            format!("https://127.0.0.1:{port}"),
            format!("tls: {{ ca: {ca}, sni: search.internal }}"),
            Some("search.internal"),
        ),
    ] {
        let gateway = before(&format!("{{ url: '{url}', {more} }}")).await;
        for _ in 0..3 {
            gateway.send(get("/")).await.assert_from("stable");
        }
        let seen = front.last();
        assert_eq!(seen.name.as_deref(), name, "{url}");
        assert_eq!(seen.protocol.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(
            origin.last().header("host").as_deref(),
            Some("api.example.com")
        );
    }
    // HTTP/2, and a certificate of this gateway's own.
    let multiplexed = Origin::start_h2c("two").await;
    let two = Front::start(&multiplexed, &authority, "own", true).await;
    let shown = format!(
        "tls: {{ ca: {ca}, client_cert: {}, client_key: {} }}",
        authority.path("client.crt"),
        authority.path("client.key")
    );
    let port = two.port();
    let gateway = before(&format!("{{ url: 'h2://localhost:{port}', {shown} }}")).await;
    gateway
        .send(post("/large", vec![7; 1 << 20]))
        .await
        .assert_from("two");
    let seen = two.last();
    assert_eq!(
        (seen.protocol.as_deref(), seen.shown),
        (Some(&b"h2"[..]), true)
    );
    // Without one it is refused, which is no answer of the service's.
    let gateway = before(&format!("{{ url: 'h2://localhost:{port}', {tls} }}")).await;
    assert_eq!(gateway.send(get("/")).await.status, 502);
}

#[tokio::test]
async fn somebody_else_gets_no_request_and_stable_takes_a_canarys_users() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("own", &["localhost"]);
    authority.issue("elsewhere", &["elsewhere.internal"]);
    authority.issue_until("late", &["localhost"], 2020);
    other.issue("foreign", &["localhost"]);
    let ca = authority.path("ca.crt");
    let origin = Origin::start("origin").await;
    for (from, file) in [
        (&other, "foreign"),
        (&authority, "elsewhere"),
        (&authority, "late"),
    ] {
        let front = Front::start(&origin, from, file, false).await;
        let url = format!("https://localhost:{}", front.port());
        for tls in ["".to_owned(), format!(", tls: {{ ca: {ca} }}")] {
            let gateway = before(&format!("{{ url: '{url}'{tls} }}")).await;
            let answer = gateway.send(get("/")).await;
            assert_eq!((answer.status, origin.count()), (502, 0), "{file} {tls}");
        }
    }
    // Unless it may be anybody, which the file is warned of.
    let front = Front::start(&origin, &other, "foreign", false).await;
    let port = front.port();
    let gateway = before(&format!(
        "{{ url: 'https://localhost:{port}', tls: {{ verify: false }} }}"
    ))
    .await;
    gateway.send(get("/")).await.assert_from("origin");
    gateway.await_log("its certificate is not verified").await;
    // A canary's is always verified, by stable's authority.
    let (good, own) = (Origin::start("good").await, Origin::start("own").await);
    let (good_front, own_front) = (
        Front::start(&good, &authority, "own", false).await,
        Front::start(&own, &authority, "own", false).await,
    );
    let config = format!(
        "services:\n  search: {{ stable: {{ url: 'https://localhost:{}', tls: {{ ca: {ca}, verify: false }} }} }}\n\
         flags:\n  search.good: {{ url: 'https://localhost:{}', rings: [{{ when: {{ userId: [u-good] }} }}] }}\n  \
         search.bad: {{ url: 'https://localhost:{port}', rings: [{{ when: {{ userId: [u-bad] }} }}] }}\n\
         identity: {{ user_id: [{{ header: x-user-id, trust: anyone }}] }}\n\
         routes: [{{ path: /, service: search }}]\n",
        own_front.port(),
        good_front.port()
    );
    let gateway = Gateway::start(config).await;
    gateway.get_as("u-good", "/").await.assert_from("good");
    let before = origin.count();
    gateway.get_as("u-bad", "/").await.assert_from("own");
    assert_eq!(origin.count(), before, "nothing went to somebody else");
    gateway
        .await_metric("serin_rescues_total", &[("cause", "connect")], 1.0)
        .await;
}

#[tokio::test]
async fn connections_are_kept_and_checks_come_over_tls_too() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let ca = authority.path("ca.crt");
    let origin = Origin::start("stable").await;
    let front = Front::start(&origin, &authority, "own", false).await;
    let service = |ca: &str| {
        format!(
            "listeners: [127.0.0.1:0]\nservices:\n  search:\n    stable: {{ url: 'https://localhost:{}', tls: {{ ca: {ca} }} }}\n    \
             health: {{ path: /healthz, interval: 1s, timeout: 1s }}\nroutes: [{{ path: /, service: search }}]\n",
            front.port()
        )
    };
    let config = service(&ca) + "server: { threads: 1, shutdown_delay: 1ms }\n";
    let gateway = Setup::new(config).start().await;
    until("a check", || {
        let checks = origin.requests().into_iter();
        checks
            .map(|request| request.target)
            .find(|target| target == "/healthz")
    })
    .await;
    for _ in 0..20 {
        gateway.send(get("/")).await.assert_from("stable");
    }
    let asked = origin
        .requests()
        .into_iter()
        .filter(|request| request.target == "/");
    let connections: BTreeSet<usize> = asked.map(|request| request.connection).collect();
    assert_eq!(connections.len(), 1, "one handshake for all of them");
    // Another authority comes into use without a reload: the upstream's new certificate is from that one.
    let renewed = Authority::new();
    renewed.issue("own", &["localhost"]);
    fs::copy(renewed.path("ca.crt"), &ca).expect("a file");
    gateway
        .await_log("other certificates are in use for upstreams")
        .await;
    let answer = gateway.send(get("/")).await;
    assert_eq!(
        answer.status, 502,
        "its authority is no longer trusted: {answer:?}"
    );
    // A broken one changes nothing.
    fs::write(&ca, "garbage").expect("a file");
    gateway
        .await_log("upstreams are spoken to as they were")
        .await;
    // Nor is a file taken that names one.
    gateway.rewrite_config(&service("/nowhere/ca.crt"));
    gateway.await_log("there is no such file").await;
    assert_eq!(gateway.generation().await, 1);
}

#[test]
fn check_says_what_is_wrong_with_the_files_of_an_upstream() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let told = |tls: &str| {
        let path = authority.path("routes.yaml");
        let text = format!(
            "services:\n  search: {{ stable: {{ url: 'https://a.internal', tls: {{ {tls} }} }} }}\nroutes: [{{ service: search }}]\n"
        );
        fs::write(&path, text).expect("a file");
        let output = run_serin(["check", &path]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text)
    };
    let [ca, cert, key] = ["ca.crt", "own.crt", "own.key"].map(|file| authority.path(file));
    let good = told(&format!("ca: {ca}, client_cert: {cert}, client_key: {key}"));
    assert!(good.0 && good.1.contains("no problems"), "{}", good.1);
    for (tls, words) in [
        (format!("ca: {key}"), "there is no certificate in it"),
        (format!("client_cert: {cert}"), "`client_key` is missing"),
        (
            format!("client_cert: {ca}, client_key: {key}"),
            "it is not the key of",
        ),
        ("verify: maybe".to_owned(), "verify"),
    ] {
        let (passes, text) = told(&tls);
        assert!(!passes && text.contains(words), "{tls}: {text}");
    }
    let (passes, text) = told("ca: /nowhere/ca.crt");
    assert!(
        passes && text.contains("warning") && text.contains("no such file"),
        "{text}"
    );
    let (passes, text) = told("verify: false");
    assert!(
        passes && text.contains("its certificate is not verified"),
        "{text}"
    );
}
