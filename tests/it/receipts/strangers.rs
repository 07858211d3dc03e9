//! Those who have no gateway: PyJWT and jose verify receipts as any application would.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Parts, SECRET, both, claims, token};
use crate::harness::sdk::{node, packages};

/// What a script of `tests/receipts` says.
fn verified(script: &str, arguments: [&str; 3]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = packages("tests/receipts");
    let mut command = if script.ends_with(".py") {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", own.join("python"));
        command
    } else {
        let mut command = Command::new(node(&packages("tests/clients")));
        command.env("NODE_PATH", own.join("node_modules"));
        command
    };
    let script = root.join("tests/receipts").join(script);
    let output = command.arg(script).args(arguments).output();
    let output = output.expect("the interpreter starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_all_that_they_need() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&both()).await;
    let receipt = token(&gateway.get_as("ann", "/").await);
    let keys = gateway.get_as("ann", "/.serin/receipts/jwks.json").await;
    assert_eq!(
        keys.json(),
        json!({ "keys": [] }),
        "a secret is told to nobody"
    );
    let other = SECRET.replace('a', "b");
    for (script, failure) in [
        ("verify.py", "InvalidSignatureError"),
        ("verify.cjs", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
    ] {
        let valid = verified(script, ["HS256", SECRET, &receipt]);
        assert_eq!(valid, claims(&receipt), "{script}");
        let wrong = verified(script, ["HS256", &other, &receipt]);
        assert_eq!(wrong["error"], failure, "{script}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_key_is_there_for_everybody() {
    let parts = Parts::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a pair");
    std::fs::write(path("key.pem"), pair.serialize_pem()).expect("a file");
    let key = format!("private_key: '{}'", path("key.pem"));
    let gateway = parts
        .gateway(&both().replace(&format!("key: {SECRET}"), &key))
        .await;
    let receipt = token(&gateway.get_as("ann", "/").await);
    let set = gateway.get_as("ann", "/.serin/receipts/jwks.json").await;
    std::fs::write(path("jwks.json"), &set.body).expect("a file");
    let url = format!("http://{}/.serin/receipts/jwks.json", gateway.address());
    for (script, keys) in [("verify.py", path("jwks.json")), ("verify.cjs", url)] {
        let valid = verified(script, ["EdDSA", &keys, &receipt]);
        assert_eq!(valid, claims(&receipt), "{script}");
        let (signed, _) = receipt.rsplit_once('.').expect("a signature");
        let forged = format!("{signed}.{}", "A".repeat(86));
        let wrong = verified(script, ["EdDSA", &keys, &forged]);
        assert!(wrong["error"].is_string(), "{script}: {wrong}");
    }
}
