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

#[test]
fn check_opens_the_private_key_and_names_the_file_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a pair");
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a pair");
    fs::write(path("good.pem"), made.serialize_pem()).expect("a file");
    fs::write(path("public.pem"), made.public_key_pem()).expect("a file");
    fs::write(path("ecdsa.pem"), other.serialize_pem()).expect("a file");
    fs::create_dir(path("folder.pem")).expect("a folder");
    let mut pipe = std::process::Command::new("mkfifo");
    let made = pipe.arg(path("pipe.pem")).status();
    assert!(made.expect("mkfifo runs").success());
    let check = |name: &str, more: &[&str]| {
        let config = format!(
            "services: {{ a: 'http://127.0.0.1:1' }}\nroutes: [{{ service: a }}]\nattribution:\n  receipts:\n    private_key: {}\n    header: x-serin-receipt\n",
            path(name)
        );
        fs::write(path("routes.yaml"), config).expect("a file");
        let file = path("routes.yaml");
        let output = run_serin(["check", "--format", "json", &file].iter().chain(more));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), report["problems"][0].clone())
    };
    assert_eq!(
        check("good.pem", &["--strict"]),
        (Some(0), serde_json::Value::Null)
    );
    for (name, why) in [
        ("public.pem", "has no Ed25519 private key in PEM"),
        ("ecdsa.pem", "has no Ed25519 private key in PEM"),
        ("folder.pem", "cannot be read: it is not a regular file"),
        ("pipe.pem", "cannot be read: it is not a regular file"),
    ] {
        let (code, problem) = check(name, &[]);
        let message = problem["message"].as_str().expect("a message");
        assert!(
            message.starts_with(&format!("`{}` {why}", path(name))),
            "{problem}"
        );
        let place = (&problem["path"], &problem["line"], &problem["severity"]);
        assert_eq!(code, Some(1), "{problem}");
        assert_eq!(place.0, "attribution.receipts.private_key");
        assert_eq!((place.1, place.2), (&5.into(), &"error".into()));
    }
    // It may be where the gateway runs.
    for (more, code, severity) in [(&[][..], 0, "warning"), (&["--strict"], 1, "error")] {
        let (found, problem) = check("nowhere.pem", more);
        assert_eq!(
            (found, &problem["severity"]),
            (Some(code), &severity.into())
        );
        assert!(
            problem["message"].to_string().contains("cannot be read: "),
            "{problem}"
        );
    }
}
