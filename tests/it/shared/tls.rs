//! Redis over TLS.

use std::fs;

use tempfile::TempDir;

use super::{House, await_killed, folder, killed, ordered, store};
use crate::harness::Gateway;
use crate::harness::redis::Redis;

/// A Redis that speaks TLS alone, and only to those who have its certificate, with what there is to name in `redis.tls`.
struct TlsHouse {
    house: House,
    files: TempDir,
}

impl TlsHouse {
    async fn new() -> Self {
        let files = folder();
        self_signed(&files, "own");
        let (cert, key) = (file(&files, "own.pem"), file(&files, "own.key"));
        let options = [
            "--port",
            "0",
            "--tls-port",
            "%port",
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &cert,
            "--tls-auth-clients",
            "yes",
        ];
        let redis = Redis::start_with(&options).await;
        let house = House {
            redis,
            ..House::new().await
        };
        Self { house, files }
    }

    /// A gateway that has the right certificate to show, and trusts this authority.
    async fn gateway_that_trusts(&self, authority: &str) -> Gateway {
        let [ca, cert, key] = [authority, "own.pem", "own.key"].map(|name| file(&self.files, name));
        self.gateway(&format!(
            "tls: {{ ca: '{ca}', client_cert: '{cert}', client_key: '{key}' }}"
        ))
        .await
    }

    async fn gateway(&self, tls: &str) -> Gateway {
        let port = self.house.redis.port();
        let more = format!("redis: {{ url: 'rediss://127.0.0.1:{port}', {tls} }}\n");
        self.house.gateway_with(&folder(), &more).await
    }
}

fn file(files: &TempDir, name: &str) -> String {
    files.path().join(name).display().to_string()
}

/// Makes a certificate and its key.
fn self_signed(files: &TempDir, name: &str) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.expect("a certificate");
    fs::write(file(files, &format!("{name}.pem")), made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_pem();
    fs::write(file(files, &format!("{name}.key")), key).unwrap();
}

/// Why a gateway does not share anything.
async fn trouble(gateway: &Gateway) -> String {
    let shown = store(gateway).await;
    assert_eq!(shown["up"], false, "{shown}");
    shown["last_error"].as_str().expect("an error").to_owned()
}

#[tokio::test]
async fn redis_is_spoken_to_over_tls_with_certificates_of_the_house() {
    let tls = TlsHouse::new().await;
    let one = tls.gateway_that_trusts("own.pem").await;
    let two = tls.gateway_that_trusts("own.pem").await;
    ordered(&one, "search.ranker", "kill").await;
    await_killed(&two, &["search.ranker"]).await;
}

#[tokio::test]
async fn a_redis_that_nobody_trusted_vouches_for_is_told_nothing() {
    let tls = TlsHouse::new().await;
    let one = tls.gateway_that_trusts("own.pem").await;
    ordered(&one, "search.ranker", "kill").await;
    self_signed(&tls.files, "other");
    let wrong = tls.gateway_that_trusts("other.pem").await;
    // By the system's roots nobody vouches for it either.
    let systems = tls.gateway("").await;
    for gateway in [&wrong, &systems] {
        let error = trouble(gateway).await;
        assert!(error.contains("certificate"), "{error}");
        assert_eq!(killed(gateway).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_file_of_certificates_that_is_not_there_is_told_by_its_name() {
    let tls = TlsHouse::new().await;
    let lost = tls.gateway("tls: { ca: /nowhere/ca.pem }").await;
    let error = trouble(&lost).await;
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
}
