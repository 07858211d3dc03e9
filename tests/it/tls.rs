//! Listeners that speak TLS, and what comes before it: certificates by name, ALPN, tickets, clients' certificates,
//! renewal under load, handshakes that come to nothing. What holds of requests over TLS, the whole suite shows
//! (`harness/wire.rs`).

mod handshakes;
mod proxy_protocol;
mod shadows;
mod upstreams;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::authority::{Authority, connect};
use crate::harness::{
    Connection, Gateway, H2Connection, Origin, Setup, eventually, fill, get, in_time, post,
};

const CONFIG: &str = "
services: { search: { stable: @stable } }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
routes: [{ path: /, service: search }]
";

/// A listener with these certificates, and more keys of `tls`.
fn listener(authority: &Authority, certificates: &[&str], more: &str) -> String {
    let pairs = certificates.iter().map(|file| {
        let (cert, key) = (format!("{file}.crt"), format!("{file}.key"));
        let (cert, key) = (authority.path(&cert), authority.path(&key));
        format!("{{ cert: {cert}, key: {key} }}")
    });
    let pairs: Vec<String> = pairs.collect();
    let pairs = pairs.join(", ");
    format!("  - {{ address: 127.0.0.1:0, tls: {{ certificates: [{pairs}]{more} }} }}\n")
}

async fn start(listeners: &str) -> (Origin, Gateway) {
    let stable = Origin::start("stable").await;
    let config = format!("listeners:\n{listeners}{}", fill(CONFIG, [&stable]));
    let gateway = Setup::new(config).start().await;
    (stable, gateway)
}

/// Asks once over a connection; over TLS 1.3 a server's refusal of a handshake may come only now.
async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    let request = "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}

fn connector(config: ClientConfig) -> TlsConnector {
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_client_gets_the_certificate_for_its_name_and_the_http_that_it_offers() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    authority.issue("wild", &["*.example.com"]);
    let (stable, gateway) = start(&listener(&authority, &["own", "wild"], "")).await;
    for (name, file) in [("localhost", "own"), ("api.example.com", "wild")] {
        let client = authority.client_offering(&[b"h2", b"http/1.1"]);
        let stream = connect(&client, gateway.address(), name).await;
        let stream = stream.expect("a handshake");
        let session = stream.get_ref().1;
        assert_eq!(
            session.alpn_protocol(),
            Some(&b"h2"[..]),
            "the server prefers it"
        );
        let shown = session.peer_certificates().expect("certificates")[0].clone();
        assert_eq!(shown, authority.certificate(file), "{name}");
        let answer = H2Connection::over(stream).await.send(get("/two")).await;
        answer.assert_from("stable");
    }
    for offer in [&[&b"http/1.1"[..]][..], &[]] {
        let client = authority.client_offering(offer);
        let stream = connect(&client, gateway.address(), "localhost").await;
        let mut connection = Connection::over(stream.expect("a handshake")).await;
        for path in ["/one", "/again"] {
            connection.send(get(path)).await.assert_from("stable");
        }
        let sent = stable.last();
        assert_eq!(sent.header("x-forwarded-proto").as_deref(), Some("https"));
    }
    // A client that speaks neither is told so, and one that offers nothing and then begins as HTTP/2 does is HTTP/1's.
    let client = authority.client_offering(&[b"spdy/3"]);
    let refused = connect(&client, gateway.address(), "localhost").await;
    let refused = refused.expect_err("no common protocol").to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    let stream = connect(
        &authority.client_offering(&[]),
        gateway.address(),
        "localhost",
    )
    .await;
    let mut stream = stream.expect("a handshake");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    stream.write_all(preface).await.expect("an open connection");
    let mut answer = String::new();
    let _ = in_time("the end", stream.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    let expiry = gateway.metrics().await;
    assert!(
        expiry.sum(
            "serin_certificate_expiry_seconds",
            &[("subject", "CN=wild")]
        ) > 0.0
    );
}

#[tokio::test]
async fn http2_and_old_versions_are_spoken_unless_the_file_says_no() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let new = listener(&authority, &["own"], ", min_version: 1.3");
    let one = listener(&authority, &["own"], "").replace("tls:", "http2: false, tls:");
    let (_stable, gateway) = start(&(new + &one)).await;
    let [new, one] = [gateway.addresses()[0], gateway.addresses()[1]];
    let tls12 = || connector(authority.client_config(&[&rustls::version::TLS12], None));
    let tls13 = || connector(authority.client_config(&[&rustls::version::TLS13], None));
    for (client, address, speaks) in [
        (tls12(), new, false),
        (tls13(), new, true),
        (tls12(), one, true),
        (tls13(), one, true),
    ] {
        let stream = connect(&client, address, "localhost").await;
        assert_eq!(stream.is_ok(), speaks, "{stream:?}");
    }
    let both = authority.client_offering(&[b"h2", b"http/1.1"]);
    let stream = connect(&both, one, "localhost").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn who_speaks_http_without_tls_is_told_so() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let (_stable, gateway) = start(&listener(&authority, &["own"], "")).await;
    let answer = gateway.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("speaks TLS"), "{}", answer.text());
    let noise = gateway.raw([0x7f; 64]).await;
    assert!(!noise.text().contains("HTTP"), "{}", noise.text());
    let figures = gateway.metrics().await;
    let ended = |result| figures.sum("serin_tls_handshakes_total", &[("result", result)]);
    assert_eq!((ended("not_tls"), ended("failed")), (1.0, 1.0));
}

#[tokio::test]
async fn clients_need_a_certificate_or_may_do_without_but_a_wrong_one_is_none() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    authority.issue("own", &["localhost"]);
    authority.issue("known", &["known"]);
    foreign.issue("foreign", &["foreign"]);
    for end in ["crt", "key"] {
        let file = format!("foreign.{end}");
        fs::copy(foreign.path(&file), authority.path(&file)).expect("a file");
    }
    let ca = authority.path("ca.crt");
    let must = listener(&authority, &["own"], &format!(", client_ca: {ca}"));
    let may = format!(", client_ca: {ca}, client_auth: optional");
    let (_stable, gateway) = start(&(must + &listener(&authority, &["own"], &may))).await;
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for (shows, served) in [
            (None, [false, true]),
            (Some("foreign"), [false, false]),
            (Some("known"), [true, true]),
        ] {
            let client = authority.client(versions, shows);
            for (address, served) in gateway.addresses().iter().zip(served) {
                // Twice: a session that is resumed must not be a way round.
                for _ in 0..2 {
                    let answer = match connect(&client, *address, "localhost").await {
                        Ok(mut stream) => ask(&mut stream).await,
                        Err(error) => Err(error),
                    };
                    let ok = answer
                        .as_ref()
                        .is_ok_and(|text| text.starts_with("HTTP/1.1 200"));
                    assert_eq!(ok, served, "{shows:?} at {address}: {answer:?}");
                }
            }
        }
    }
}

/// How a client's next handshake goes, with its answer read so that it has its ticket.
async fn next(client: &TlsConnector, address: SocketAddr) -> io::Result<HandshakeKind> {
    let mut stream = connect(client, address, "localhost").await?;
    let answer = ask(&mut stream).await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(stream.get_ref().1.handshake_kind().expect("a handshake"))
}

#[tokio::test]
async fn a_session_goes_on_with_another_gateway_and_never_on_another_listener() {
    use HandshakeKind::{Full, Resumed};
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let ca = authority.path("ca.crt");
    let key = ", ticket_key: a-secret-that-both-gateways-share-0123";
    let open = listener(&authority, &["own"], key);
    let closed = listener(&authority, &["own"], &format!("{key}, client_ca: {ca}"));
    let (_a, one) = start(&(open.clone() + &closed)).await;
    let (_b, other) = start(&open).await;
    let (_c, stranger) = start(&listener(&authority, &["own"], "")).await;
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let client = authority.client(versions, None);
        assert_eq!(next(&client, one.address()).await.unwrap(), Full);
        assert_eq!(next(&client, one.address()).await.unwrap(), Resumed);
        assert_eq!(next(&client, other.address()).await.unwrap(), Resumed);
        // Its ticket is no way round the certificate that another listener asks for.
        let refused = next(&client, one.addresses()[1]).await;
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(next(&client, stranger.address()).await.unwrap(), Full);
        assert_eq!(next(&client, stranger.address()).await.unwrap(), Resumed);
    }
    let figures = one.metrics().await;
    assert_eq!(
        figures.sum("serin_tls_handshakes_total", &[("result", "resumed")]),
        2.0
    );
}

#[tokio::test]
async fn certificates_are_renewed_under_load_and_no_handshake_fails() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let (_stable, gateway) = start(&listener(&authority, &["own"], "")).await;
    let address = gateway.address();
    let (ended, mut clients) = (tokio::sync::watch::channel(false), Vec::new());
    for offer in [&b"h2"[..], b"http/1.1", b"h2", b"http/1.1"] {
        let (ended, ca) = (ended.1.clone(), authority.certificate("ca"));
        clients.push(tokio::spawn(async move {
            let mut count = 0;
            while !*ended.borrow() {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(ca.clone()).expect("an authority");
                let provider = rustls::crypto::ring::default_provider();
                let config = ClientConfig::builder_with_provider(provider.into());
                let config = config.with_safe_default_protocol_versions();
                let config = config.expect("versions").with_root_certificates(roots);
                let mut config = config.with_no_client_auth();
                config.alpn_protocols = vec![offer.to_vec()];
                let stream = connect(&connector(config), address, "localhost").await;
                let stream = stream.expect("a handshake");
                let answer = match offer {
                    b"h2" => H2Connection::over(stream).await.send(get("/")).await,
                    _ => Connection::over(stream).await.send(get("/")).await,
                };
                answer.assert_from("stable");
                count += 1;
            }
            count
        }));
    }
    let client = authority.client(rustls::ALL_VERSIONS, None);
    for _ in 0..4 {
        authority.issue("own", &["localhost"]);
        let renewed = authority.certificate("own");
        eventually("the renewed certificate", || async {
            let stream = connect(&client, address, "localhost")
                .await
                .expect("a handshake");
            let shown = &stream
                .get_ref()
                .1
                .peer_certificates()
                .expect("certificates")[0];
            (*shown == renewed).then_some(())
        })
        .await;
        // A file that is broken changes nothing, and is told.
        let file = authority.path("own.crt");
        fs::write(&file, "garbage").expect("a file");
        eventually("a warning", || async {
            let warnings = gateway.status().await["warnings"].to_string();
            (warnings.contains(&file) && warnings.contains("the listener")).then_some(())
        })
        .await;
    }
    ended.0.send_replace(true);
    for client in clients {
        let handshakes = in_time("a client's end", client).await.expect("no failure");
        assert!(handshakes > 10, "{handshakes}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_continue_is_told_over_tls() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let (stable, gateway) = start(&listener(&authority, &["own"], "")).await;
    let client = authority.client(rustls::ALL_VERSIONS, None);
    let stream = connect(&client, gateway.address(), "localhost").await;
    let mut stream = stream.expect("a handshake");
    let head = "POST /body HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4\r\n\
                Expect: 100-continue\r\nConnection: close\r\n\r\n";
    stream
        .write_all(head.as_bytes())
        .await
        .expect("an open connection");
    let mut told = [0; 25];
    in_time("100", stream.read_exact(&mut told))
        .await
        .expect("a word");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.expect("an open connection");
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer))
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(&stable.last().body[..], b"body");
    // Large bodies, both ways at once.
    let stream = connect(&client, gateway.address(), "localhost").await;
    let mut connection = Connection::over(stream.expect("a handshake")).await;
    let answer = connection.send(post("/large", vec![7; 3 << 20])).await;
    answer.assert_from("stable");
    assert_eq!(stable.last().body.len(), 3 << 20);
}
