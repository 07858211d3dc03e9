//! `serin receipt verify`, and what the configuration may say.

use std::fs;
use std::process::Output;

use super::{Parts, SECRET, both, token};
use crate::harness::{Gateway, run_serin};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_receipt_is_verified_by_a_secret_or_the_gateways_own_file() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&both()).await;
    let receipt = token(&gateway.get_as("ann", "/").await);
    let path = |name: &str| gateway.folder().join(name).display().to_string();
    fs::write(path("secret"), format!("{SECRET}\n")).expect("a file");
    for (option, file) in [("--key-file", "secret"), ("--config", "routes.yaml")] {
        let output = run_serin(["receipt", "verify", &receipt, option, &path(file)]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let served = "\nsearch: served by search.v2, reason ring, flag search.v2, generation 1\n";
        assert!(
            said.starts_with("valid until ") && said.ends_with(served),
            "{said}"
        );
    }
    let secret = path("secret");
    let json = [
        "receipt",
        "verify",
        &receipt,
        "--format",
        "json",
        "--key-file",
        &secret,
    ];
    let json: serde_json::Value = serde_json::from_slice(&run_serin(json).stdout).expect("JSON");
    assert_eq!(json, super::claims(&receipt));
}

#[tokio::test]
async fn why_a_receipt_is_not_believed_is_told() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&both()).await;
    let receipt = token(&gateway.get_as("ann", "/").await);
    let path = |name: &str| gateway.folder().join(name).display().to_string();
    fs::write(path("secret"), SECRET).expect("a file");
    fs::write(path("other"), "another").expect("a file");
    fs::write(path("none.json"), "{}").expect("a file");
    let verify = |token: &str, option: &str, file: &str| {
        let output = run_serin(["receipt", "verify", token, option, &path(file)]);
        (output.status.code(), stderr(&output))
    };
    for (token, option, file, code, why) in [
        (
            &*receipt,
            "--key-file",
            "other",
            1,
            "foreign: it is signed by another key",
        ),
        (
            &receipt[1..],
            "--key-file",
            "secret",
            1,
            "this receipt is forged: ",
        ),
        (
            "x",
            "--key-file",
            "secret",
            1,
            "forged: it is no compact JWS",
        ),
        (
            &receipt,
            "--key-file",
            "nowhere",
            69,
            "nowhere` cannot be read",
        ),
        (
            &receipt,
            "--jwks",
            "none.json",
            69,
            "none.json` is no key set",
        ),
    ] {
        let (found, said) = verify(token, option, file);
        assert!(
            found == Some(code) && said.contains(why),
            "{found:?} {said}"
        );
    }
    assert_eq!(
        run_serin(["receipt", "verify", &receipt]).status.code(),
        Some(2)
    );
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_no_start_and_another_one_takes_a_restart() {
    let parts = Parts::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes.yaml");
    let wrong = both().replace(&format!("key: {SECRET}"), "private_key: nowhere.pem");
    fs::write(
        &file,
        crate::harness::gateway::complete(&parts.config(&wrong)),
    )
    .expect("a file");
    let output = run_serin(["run", "-c", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let why = "attribution.receipts.private_key: `nowhere.pem` cannot be read";
    assert!(stderr(&output).contains(why), "{output:?}");
    let gateway = Gateway::start(parts.config(&both())).await;
    gateway.rewrite_config(&parts.config(&both().replace(SECRET, &SECRET.replace('a', "e"))));
    let takes_a_restart = "attribution.receipts: runs with those it was started with";
    crate::harness::eventually("the status to say so", || async {
        let status = gateway.status().await.to_string();
        status.contains(takes_a_restart).then_some(())
    })
    .await;
}
