//! The admin API against schemathesis, which makes requests of the API's own document: valid ones, broken ones, and what no
//! document would allow. It runs as nobody and as every role, and checks that each answer is declared, that no role gets
//! what is not for it, and that nothing fails inside (`tests/schemathesis/hooks.py`).
//!
//! The stream of events is left out: it never ends. What roles may do with it, `tokens` tests.

use std::path::Path;
use std::process::{Command, Output};

use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::sdk::packages;
use crate::harness::{Call, Gateway, Origin, fill, get};

/// A role, a token that has it, and the services that the token is for.
type Caller = (&'static str, &'static str, &'static str);

const CALLERS: [Caller; 5] = [
    ("none", "", ""),
    ("viewer", "token-of-somebody-who-looks", ""),
    ("registrar", "token-of-the-pipeline-of-search", "search"),
    ("operator", "token-of-who-is-on-call", ""),
    ("admin", ADMIN, ""),
];

const ADMIN: &str = "token-of-the-platform";

const CHECKS: &str = "status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method,\
                      allow_header_conformance,only_what_the_role_may,no_error_of_the_servers_own";

const CONFIG: &str = "
admin:
  address: 127.0.0.1:0
  tokens:
    - { name: of-viewer, role: viewer, token: token-of-somebody-who-looks }
    - { name: of-registrar, role: registrar, services: [search], token: token-of-the-pipeline-of-search }
    - { name: of-operator, role: operator, token: token-of-who-is-on-call }
    - { name: of-admin, role: admin, token: token-of-the-platform }
services:
  search: { stable: @stable, canaries: ['search.*'] }
  shop: @stable
flags: { search.team: { url: @canary, rings: [{ name: team }] } }
routes: [{ path: /, service: search }, { path: /shop, service: shop }]
# Whatever URL it makes up, nobody but this machine is asked.
canary_urls: { allow: ['127.0.0.0/8'] }
";

/// What is asked, and how much of it.
#[derive(Clone, Copy)]
struct Amount {
    phases: &'static str,
    /// How many requests of each operation are random.
    examples: &'static str,
    /// `None`: other requests each time.
    seed: Option<&'static str>,
    /// Only this path; `None`: all of them.
    path: Option<&'static str>,
}

/// Some random requests.
const RANDOM: Amount = Amount {
    phases: "fuzzing",
    examples: "5",
    seed: Some("1"),
    path: None,
};

/// And each keyword of each schema, kept and broken.
const WHOLE: Amount = Amount {
    phases: "coverage,fuzzing",
    ..RANDOM
};

/// As `make fuzz-api` asks.
const LONG: Amount = Amount {
    examples: "300",
    seed: None,
    ..WHOLE
};

fn as_admin(call: Call) -> Call {
    call.header("authorization", &format!("Bearer {ADMIN}"))
}

/// A gateway, and the document that it serves.
async fn start() -> ([Origin; 2], Gateway, Value) {
    let origins = [Origin::start("stable").await, Origin::start("canary").await];
    let gateway = Gateway::start(fill(CONFIG, origins.each_ref())).await;
    // So that there is something to read, to switch and to take back.
    let flag = Call::new(http::Method::PUT, "/api/v1/flags/search.own");
    let flag = flag.body(r#"{ "rings": [{ "name": "team", "rollout": "5%" }] }"#);
    assert_eq!(gateway.admin_send(as_admin(flag)).await.status, 201);
    let document = as_admin(get("/api/v1/openapi.json"));
    let document = gateway.admin_send(document).await.json();
    (origins, gateway, document)
}

/// Runs it as a caller, against a document.
async fn run(gateway: &Gateway, document: &Value, caller: Caller, amount: Amount) -> Output {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).expect("a file");
    let mut command = command(caller, amount);
    command
        .current_dir(folder.path())
        .args(["--url", &format!("http://{}", gateway.admin_address())])
        .arg(&file);
    let ended = tokio::task::spawn_blocking(move || (command.output(), folder)).await;
    ended.expect("no panic").0.expect("python3 runs")
}

fn command((role, token, services): Caller, amount: Amount) -> Command {
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis");
    let packages = packages("tests/schemathesis").join("python");
    let path = std::env::join_paths([packages, hooks]).expect("paths");
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("SERIN_ROLE", role)
        .env("SERIN_SERVICES", services)
        .args(["-m", "schemathesis.cli", "run", "--checks", CHECKS])
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--phases", amount.phases])
        .args(["--max-examples", amount.examples])
        .args(["--generation-database", "none", "--continue-on-failure"])
        .args(["--request-timeout", "10", "--warnings", "off", "--no-color"]);
    if let Some(path) = amount.path {
        command.args(["--include-path", path]);
    }
    if let Some(seed) = amount.seed {
        command.args(["--seed", seed]);
    }
    if !token.is_empty() {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    command
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

async fn ask_as(caller: Caller, amount: Amount) {
    let (_origins, gateway, document) = start().await;
    let output = run(&gateway, &document, caller, amount).await;
    let (role, token, _) = caller;
    assert!(output.status.success(), "as {role}:\n{}", said(&output));
    // It was answered: as that role, or as nobody.
    let page = gateway.metrics().await;
    let (role, code) = match token.is_empty() {
        true => ("-", "401"),
        false => (role, "200"),
    };
    let answered = page.sum(
        "serin_admin_requests_total",
        &[("role", role), ("code", code)],
    );
    assert!(
        answered >= 10.0,
        "as {role}: {answered} answers with {code}"
    );
}

#[tokio::test]
async fn whatever_is_asked_the_answer_is_declared_and_for_that_role() {
    let is_long = std::env::var_os("FUZZ_API").is_some();
    let runs = CALLERS.map(|caller| match caller.0 {
        _ if is_long => ask_as(caller, LONG),
        "admin" => ask_as(caller, WHOLE),
        _ => ask_as(caller, RANDOM),
    });
    join_all(runs).await;
}

#[tokio::test]
async fn what_is_not_declared_is_found() {
    let (_origins, gateway, document) = start().await;
    let mut without = document.clone();
    let service = &mut without["paths"]["/api/v1/services/{service}"]["get"]["responses"];
    let removed = service.as_object_mut().expect("statuses").remove("404");
    assert!(removed.is_some());
    let only = |path| Amount {
        path: Some(path),
        ..RANDOM
    };
    let asked = only("/api/v1/services/{service}");
    let found = run(&gateway, &without, ("admin", ADMIN, ""), asked).await;
    let text = said(&found);
    assert!(!found.status.success(), "{text}");
    assert!(text.contains("Undocumented status code"), "{text}");
    // A token that may do more than it is taken for.
    let asked = only("/api/v1/log");
    let found = run(&gateway, &document, ("viewer", ADMIN, ""), asked).await;
    let text = said(&found);
    assert!(!found.status.success(), "{text}");
    assert!(text.contains("for what takes admin"), "{text}");
}
