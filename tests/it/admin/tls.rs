//! TLS of the admin API: certificates by name, their rotation, and certificates of clients.

use std::fs;
use std::io;
use std::process::Output;

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::authority::{Authority, connect};
use crate::harness::metrics::Metrics;
use crate::harness::{
    Gateway, Origin, Raw, Setup, client, eventually, fill, get, in_time, run_serin,
};

const CONFIG: &str = "
services: { search: { stable: @stable } }
routes: [{ path: /, service: search }]
";

const TOKEN: &str = "a-token-of-somebody-who-looks";

/// `admin` with TLS, probes in the clear, and a token.
fn admin(authority: &Authority, certificates: &[&str], more: &str) -> String {
    let pairs = certificates.iter().map(|file| {
        let (cert, key) = (format!("{file}.crt"), format!("{file}.key"));
        format!(
            "{{ cert: '{}', key: '{}' }}",
            authority.path(&cert),
            authority.path(&key)
        )
    });
    let pairs: Vec<String> = pairs.collect();
    format!(
        "admin:\n  address: 127.0.0.1:0\n  probes: 127.0.0.1:0\n  hosts: ['*.serin.internal']\n  \
         tls: {{ certificates: [{}]{more} }}\n  \
         tokens: [{{ name: viewer, role: admin, token: {TOKEN} }}]\n",
        pairs.join(", ")
    )
}

async fn start(admin: &str) -> (Origin, Gateway) {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(fill(CONFIG, [&stable]) + admin).await;
    (stable, gateway)
}

fn both() -> &'static [&'static rustls::SupportedProtocolVersion] {
    rustls::ALL_VERSIONS
}

/// Asks for the status over a connection, and reads all of the answer.
async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> io::Result<String> {
    let request = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}

async fn status(client: &TlsConnector, gateway: &Gateway) -> Value {
    let stream = connect(client, gateway.admin_address(), "localhost").await;
    let mut stream = stream.expect("a handshake");
    let answer = ask(&mut stream, "localhost").await.expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

/// The certificate that a server shows to those who ask for this name.
async fn shown(client: &TlsConnector, gateway: &Gateway, name: &str) -> CertificateDer<'static> {
    let stream = connect(client, gateway.admin_address(), name).await;
    let stream = stream.expect("a handshake");
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().expect("certificates")[0].clone()
}

async fn metrics(gateway: &Gateway) -> Metrics {
    let answer = client::send(gateway.probes_address(), get("/metrics").host("localhost")).await;
    Metrics::parse(answer.text())
}

#[tokio::test]
async fn a_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let authority = Authority::new();
    authority.issue("own", &["localhost", "127.0.0.1"]);
    authority.issue("wild", &["*.serin.internal"]);
    let (_stable, gateway) = start(&admin(&authority, &["own", "wild"], "")).await;
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let client = authority.client(versions, None);
        for (name, file) in [
            ("localhost", "own"),
            ("127.0.0.1", "own"),
            ("a.serin.internal", "wild"),
        ] {
            assert_eq!(
                shown(&client, &gateway, name).await,
                authority.certificate(file),
                "{name}"
            );
            let stream = connect(&client, gateway.admin_address(), name).await;
            let answer = ask(&mut stream.expect("a handshake"), name).await;
            let answer = answer.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
        }
        // For a name that no certificate is for, the first: the client sees that it is for another.
        let other = connect(&client, gateway.admin_address(), "elsewhere.test").await;
        assert!(
            other
                .unwrap_err()
                .to_string()
                .contains("not valid for name")
        );
    }
    let client = authority.client(both(), None);
    assert_eq!(status(&client, &gateway).await["warnings"], json!([]));
    let ends = [("listener", "admin"), ("subject", "CN=own")];
    // 2100-01-01T00:00:00Z
    let found = metrics(&gateway)
        .await
        .sum("serin_certificate_expiry_seconds", &ends);
    assert_eq!(found, 4_102_444_800.0);
    // Traffic and probes are in the clear as before.
    gateway.get_as("u1", "/").await.assert_from("stable");
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_that_this_is_tls() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let (_stable, gateway) = start(&admin(&authority, &["own"], "")).await;
    for request in [
        "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!(
            "POST /api/v1/explain HTTP/1.1\r\nHost: localhost\r\n\r\n{}",
            "x".repeat(100_000)
        ),
    ] {
        let mut plain = Raw::open(gateway.admin_address()).await;
        plain.try_write(request.as_bytes()).await;
        let answer = client::RawAnswer(plain.read_to_end().await);
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("https://"), "{}", answer.text());
    }
    // A greeting that is none of both is closed, and nobody is kept from being served by it.
    let mut noise = Raw::open(gateway.admin_address()).await;
    noise.try_write(&[0x7f; 64]).await;
    noise.read_to_end().await;
    let client = authority.client(both(), None);
    assert_eq!(status(&client, &gateway).await["generation"], 1);
}

#[tokio::test]
async fn other_certificates_come_into_use_without_a_restart_and_broken_ones_do_not() {
    let authority = Authority::new();
    authority.issue("own", &["localhost"]);
    let (_stable, gateway) = start(&admin(&authority, &["own"], "")).await;
    let client = authority.client(both(), None);
    let mut before = connect(&client, gateway.admin_address(), "localhost")
        .await
        .expect("a handshake");
    let first = shown(&client, &gateway, "localhost").await;
    let await_second = async || {
        let second = authority.certificate("own");
        eventually("the other certificate", || async {
            (shown(&client, &gateway, "localhost").await == second).then_some(second.clone())
        })
        .await
    };
    authority.issue("own", &["localhost"]);
    let second = await_second().await;
    assert_ne!(first, second);
    let answer = ask(&mut before, "localhost").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let (good, file) = (
        fs::read(authority.path("own.crt")).expect("a file"),
        authority.path("own.crt"),
    );
    let warned = async |word: &str| {
        eventually(word, || async {
            let warnings = status(&client, &gateway).await["warnings"].to_string();
            (warnings.contains(&file) && warnings.contains(word)).then_some(())
        })
        .await;
        assert_eq!(shown(&client, &gateway, "localhost").await, second);
        gateway.await_log(word).await;
    };
    fs::write(&file, "garbage").expect("a file");
    warned("not a PEM file").await;
    authority.issue_until("own", &["localhost"], 2020);
    warned("ended at 2020-01-01T00:00:00Z").await;
    fs::remove_file(&file).expect("a file");
    warned("no such file").await;
    // Its key is the later one's.
    fs::write(&file, &good).expect("a file");
    eventually("a key that does not fit", || async {
        let warnings = status(&client, &gateway).await["warnings"].to_string();
        warnings
            .contains("not the key of the certificate")
            .then_some(())
    })
    .await;
    authority.issue("own", &["localhost"]);
    assert_ne!(await_second().await, second);
    assert_eq!(status(&client, &gateway).await["warnings"], json!([]));
}

#[tokio::test]
async fn clients_need_a_certificate_where_their_authority_is_named() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    authority.issue("own", &["localhost"]);
    authority.issue("oncall", &["oncall"]);
    foreign.issue("oncall", &["oncall"]);
    fs::copy(foreign.path("oncall.crt"), authority.path("foreign.crt")).expect("a file");
    fs::copy(foreign.path("oncall.key"), authority.path("foreign.key")).expect("a file");
    let client_ca = format!(", client_ca: '{}'", authority.path("ca.crt"));
    let (_stable, gateway) = start(&admin(&authority, &["own"], &client_ca)).await;
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for (shows, is_let_in) in [
            (None, false),
            (Some("foreign"), false),
            (Some("oncall"), true),
        ] {
            let client = authority.client(versions, shows);
            // Twice: a session that is resumed must not be a way round.
            for _ in 0..2 {
                let answer = match connect(&client, gateway.admin_address(), "localhost").await {
                    Ok(mut stream) => ask(&mut stream, "localhost").await,
                    Err(error) => Err(error),
                };
                match answer {
                    Ok(answer) => assert!(is_let_in && answer.starts_with("HTTP/1.1 200 ")),
                    Err(error) => assert!(!is_let_in, "{shows:?}: {error}"),
                }
            }
        }
    }
}

/// What `serin check` finds, in one text, and whether the file passes.
fn checked(authority: &Authority, admin: &str, flags: &[&str]) -> (bool, String) {
    let path = authority.path("routes.yaml");
    let text = CONFIG.replace("@stable", "http://127.0.0.1:1") + admin;
    fs::write(&path, text).expect("a file");
    let output = run_serin([&["check"], flags, &[&path]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[test]
fn check_says_which_file_is_wrong_and_why() {
    let authority = Authority::new();
    for file in ["own", "other"] {
        authority.issue(file, &["localhost"]);
    }
    authority.issue_until("late", &["localhost"], 2020);
    fs::write(authority.path("text.crt"), "no certificate").expect("a file");
    fs::copy(authority.path("own.key"), authority.path("text.key")).expect("a file");
    fs::copy(authority.path("other.crt"), authority.path("mixed.crt")).expect("a file");
    fs::copy(authority.path("own.key"), authority.path("mixed.key")).expect("a file");
    fs::copy(authority.path("own.key"), authority.path("swapped.crt")).expect("a file");
    fs::copy(authority.path("own.crt"), authority.path("swapped.key")).expect("a file");
    let good = checked(
        &authority,
        &admin(&authority, &["own", "other"], ""),
        &["--strict"],
    );
    assert!(good.0 && good.1.ends_with("no problems\n"), "{}", good.1);
    for (file, wrong, words) in [
        ("text", "text.crt", "it is not a PEM file"),
        (
            "mixed",
            "mixed.key",
            "it is not the key of the certificate in",
        ),
        ("swapped", "swapped.crt", "there is no certificate in it"),
        (
            "late",
            "late.crt",
            "the certificate ended at 2020-01-01T00:00:00Z",
        ),
    ] {
        let (passes, told) = checked(&authority, &admin(&authority, &["own", file], ""), &[]);
        assert!(!passes && told.contains(words), "{told}");
        assert!(told.contains(&authority.path(wrong)), "{told}");
    }
    let client_ca = format!(", client_ca: '{}'", authority.path("own.key"));
    let (passes, told) = checked(&authority, &admin(&authority, &["own"], &client_ca), &[]);
    assert!(
        !passes && told.contains("there is no certificate in it"),
        "{told}"
    );
    // The file may be where the gateway runs.
    let missing = admin(&authority, &["nowhere"], "");
    let (passes, told) = checked(&authority, &missing, &[]);
    assert!(
        passes && told.contains("warning: ") && told.contains("there is no such file"),
        "{told}"
    );
    assert!(!checked(&authority, &missing, &["--strict"]).0);
}

#[tokio::test]
async fn a_gateway_starts_with_a_certificate_that_is_over_and_not_with_a_broken_one() {
    let authority = Authority::new();
    authority.issue_until("late", &["localhost"], 2020);
    let stable = Origin::start("stable").await;
    let config = fill(CONFIG, [&stable]) + &admin(&authority, &["late"], "");
    let gateway = Setup::new(config).start().await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    gateway
        .await_log("the certificate ended at 2020-01-01")
        .await;

    fs::write(authority.path("late.key"), "no key").expect("a file");
    let path = authority.path("routes.yaml");
    let text = CONFIG.replace("@stable", "http://127.0.0.1:1") + &admin(&authority, &["late"], "");
    fs::write(&path, format!("listeners: [127.0.0.1:0]\n{text}")).expect("a file");
    let output = run_serin(["run", "-c", &path]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{told}");
    let wrong = format!("{}: it is not a PEM file", authority.path("late.key"));
    assert!(told.contains(&wrong), "{told}");
}

/// A command of the binary that asks this gateway over TLS.
fn command(gateway: &Gateway, authority: &Authority, more: &[&str]) -> Output {
    let port = gateway.admin_address().port();
    let token = authority.path("token");
    fs::write(&token, TOKEN).expect("a file");
    let admin = format!("https://localhost:{port}");
    let asked = ["status", "--admin", &admin, "--token-file", &token];
    run_serin([&asked[..], more].concat())
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, why: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(why), "{told}");
}

#[tokio::test]
async fn commands_trust_whom_they_are_told_to_and_show_a_certificate() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    authority.issue("own", &["localhost"]);
    authority.issue("oncall", &["oncall"]);
    let client_ca = format!(", client_ca: '{}'", authority.path("ca.crt"));
    let (_stable, gateway) = start(&admin(&authority, &["own"], &client_ca)).await;
    let (ca, other) = (authority.path("ca.crt"), foreign.path("ca.crt"));
    let (cert, key) = (authority.path("oncall.crt"), authority.path("oncall.key"));
    let own = ["--cert", &cert, "--key", &key];
    let ask = |more: &[&str]| command(&gateway, &authority, more);
    let told = ask(&[&["--ca", &ca], &own[..]].concat());
    assert!(told.status.success(), "{told:?}");
    let unknown = ask(&[&["--ca", &other], &own[..]].concat());
    assert_refused(&unknown, 1, "invalid peer certificate");
    assert_refused(&ask(&["--ca", &ca]), 1, "fatal alert");
    assert_refused(&ask(&["--ca", &ca, "--cert", &cert]), 2, "--key");
    assert_refused(&ask(&["--ca", &key]), 1, "there is no certificate in it");
    let swapped = ask(&["--ca", &ca, "--cert", &cert, "--key", &cert]);
    assert_refused(&swapped, 1, "no private key can be read from it");
    // What is at this port speaks TLS, and says so.
    let plain = format!("http://localhost:{}", gateway.admin_address().port());
    let plain = run_serin(["status", "--admin", &plain]);
    assert_refused(&plain, 1, "https://");
}
