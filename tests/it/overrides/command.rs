//! `serin override mint`.

use std::path::Path;
use std::process::Output;

use super::{KEY, Parts, shows};
use crate::harness::serin;

fn mint(config: &Path, key: Option<&str>, more: &[&str]) -> Output {
    let mut command = serin(["override", "mint", "--config"]);
    command.arg(config).args(more);
    if let Some(key) = key {
        command.env("SERIN_OVERRIDE_KEY", key);
    }
    command.output().expect("the binary runs")
}

/// The token that the command prints; it holds for an hour, unless `more` says otherwise.
pub(super) fn minted(config: &Path, key: &str, more: &[&str]) -> String {
    let life: &[&str] = match more.contains(&"--for") {
        true => &[],
        false => &["--for", "1h"],
    };
    let output = mint(config, Some(key), &[more, life].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().last().expect("a token").to_owned()
}

const TO_B: [&str; 4] = ["--service", "search", "--deployment", "search.b"];

#[tokio::test]
async fn the_token_stands_alone_and_beside_it_what_it_is_for() {
    let parts = Parts::start().await;
    let config = parts.gateway.folder().join("routes.yaml");
    let output = mint(
        &config,
        Some(KEY),
        &[&TO_B[..], &["--for", "2h", "--user", "bob"]].concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let token = String::from_utf8(output.stdout).expect("text");
    assert_eq!(token.lines().count(), 1, "{token}");
    let said = String::from_utf8(output.stderr).expect("text");
    let said: Vec<&str> = said.lines().collect();
    let [what, wherein] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert!(
        what.starts_with("search is search.b for the user \"bob\", until 2"),
        "{what}"
    );
    assert_eq!(
        *wherein,
        "it goes into the header x-serin-override or the cookie serin_override; commas between several"
    );
    let call = shows("/", token.trim()).user("bob");
    parts.gateway.send(call).await.assert_from("canary-b");
}

/// The exit code, what is printed, and what is said.
fn told(config: &Path, key: Option<&str>, more: &[&str]) -> (i32, String, String) {
    let output = mint(config, key, more);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("a code");
    (code, text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn what_cannot_be_minted_is_told() {
    let parts = Parts::start().await;
    let config = parts.gateway.folder().join("routes.yaml");
    let to = |service: &'static str, deployment: &'static str| {
        ["--service", service, "--deployment", deployment]
    };
    for (target, life, code, expected) in [
        (
            to("serch", "x"),
            "1h",
            1,
            "no service \"serch\"; did you mean search?",
        ),
        (
            to("news", "x"),
            "1h",
            1,
            "no service \"news\"; there are: search, cart",
        ),
        (
            to("cart", ""),
            "1h",
            1,
            "\"\" is empty or has a control character",
        ),
        (TO_B, "31d", 2, "at most 30d"),
        (TO_B, "999ms", 2, "at least 1s"),
        (TO_B, "soon", 2, "as in 250ms, 10s, 5m, 1h or 30d"),
    ] {
        let (status, out, said) = told(
            &config,
            Some(KEY),
            &[&target[..], &["--for", life]].concat(),
        );
        assert_eq!((status, &*out), (code, ""), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    // A flag server may know what the file does not.
    let unknown = [&to("search", "search.bb")[..], &["--for", "1h"]].concat();
    let (status, out, said) = told(&config, Some(KEY), &unknown);
    assert_eq!((status, out.lines().count()), (0, 1), "{said}");
    let near = "(did you mean search.b?)";
    assert!(said.contains("warning: ") && said.contains(near), "{said}");
}

#[tokio::test]
async fn the_key_alone_has_to_be_there() {
    let parts = Parts::with(|config| {
        config
            + "logging: { user_id: hash, hash_key: '${NOBODY_HAS_SET_THIS:-0123456789abcdef}' }\n"
    })
    .await;
    let folder = parts.gateway.folder();
    let config = folder.join("routes.yaml");
    let text = std::fs::read_to_string(&config).expect("the file");
    let unset = folder.join("unset.yaml");
    let text = text.replace(
        "${NOBODY_HAS_SET_THIS:-0123456789abcdef}",
        "${NOBODY_HAS_SET_THIS}",
    );
    std::fs::write(&unset, text).expect("a file");
    let without = folder.join("without.yaml");
    let text =
        "services: { search: 'http://127.0.0.1:9' }\nroutes: [{ path: /, service: search }]\n";
    std::fs::write(&without, text).expect("a file");
    let hour = [&TO_B[..], &["--for", "1h"]].concat();
    for (file, key, expected) in [
        (&config, None, "SERIN_OVERRIDE_KEY"),
        (
            &config,
            Some("short"),
            "this key has fewer than 32 characters",
        ),
        (&without, Some(KEY), "has no `identity.override`"),
    ] {
        let (status, out, said) = told(file, key, &hour);
        assert_eq!((status, &*out), (1, ""), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (status, out, said) = told(&unset, Some(KEY), &hour);
    assert_eq!(status, 0, "{said}");
    parts
        .gateway
        .send(shows("/", out.trim()))
        .await
        .assert_from("canary-b");
}
