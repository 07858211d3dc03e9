//! `serin canary register` and its sisters: against a gateway, and against an admin API that fails as the test wants.

use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{RANKER, config, decision, happened, shown};
use crate::harness::{
    Gateway, Lines, Origin, Recorded, Reply, assert_has, eventually, pause, run_serin, serin, until,
};

const TARGET: [&str; 2] = ["search", "search.ranker"];

/// Runs a command to its end, on a thread of its own: what it asks may have to answer on this one.
async fn run(mut command: Command) -> (Option<i32>, String) {
    let run = tokio::task::spawn_blocking(move || command.output());
    let Output {
        status,
        stdout,
        stderr,
    } = run.await.expect("a thread").expect("the binary runs");
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).expect("text"))
}

/// `serin canary <verb> search search.ranker …`, to be sent to this admin API.
fn canary(admin: &str, verb: &str, further: &[&str]) -> Command {
    let admin = ["--admin", admin];
    serin([&["canary", verb], &TARGET[..], further, &admin].concat())
}

fn admin_of(gateway: &Gateway) -> String {
    format!("http://{}", gateway.admin_address())
}

/// `register … --hold`, as a process beside the test.
struct Held {
    child: Child,
    stderr: Lines,
}

impl Held {
    fn start(admin: &str, further: &[&str]) -> Self {
        let mut command = canary(admin, "register", &[&["--hold"], further].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        Self { child, stderr }
    }

    fn sigterm(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
    }

    /// Waits for a line of standard error with this text.
    async fn await_said(&self, text: &str) {
        let what = format!("{text:?} on standard error");
        until(&what, || self.stderr.text().contains(text).then_some(())).await;
    }

    /// Waits for its end; returns its exit code and its standard error.
    async fn ended(&mut self) -> (Option<i32>, String) {
        let child = &mut self.child;
        let status = until("the command's end", || child.try_wait().expect("a child")).await;
        until("the end of standard error", || {
            self.stderr.ended().then_some(())
        })
        .await;
        (status.code(), self.stderr.text())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Registers the canary with rings for the team; it becomes ready while the command waits.
async fn registered_by_command(admin: &str, origin: &Origin) -> Value {
    origin.answer(|_| Reply::status(503));
    let folder = tempfile::tempdir().expect("a folder");
    let rings = folder.path().join("rings.json");
    std::fs::write(&rings, r#"[{ "name": "team", "segment": "team" }]"#).expect("a file");
    let (url, rings) = (origin.url(), rings.to_str().expect("a path").to_owned());
    let order = ["--url", &url, "--ttl", "30m", "--rings", &rings];
    let wait = ["--health", "/healthz", "--wait", "8s", "--json"];
    let mut register = canary(admin, "register", &[&order[..], &wait].concat());
    register
        .env("GITHUB_REF_NAME", "feature/ranker")
        .env("GITHUB_SHA", "4f1c2ab");
    let done = tokio::spawn(run(register));
    origin.await_requests(1).await;
    assert!(!done.is_finished(), "it waits for a check that passes");
    origin.answer(|_| Reply::status(200));
    let (code, said) = done.await.expect("a task");
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&said).expect("one document")
}

#[tokio::test]
async fn a_canary_lives_by_commands() {
    let (stable, origin) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    let admin = admin_of(&gateway);
    let answer = registered_by_command(&admin, &origin).await;
    assert_has(
        &answer,
        &json!({ "state": "ready", "branch": "feature/ranker", "commit": "4f1c2ab", "recorded_in": ["state"] }),
    );
    assert_eq!(origin.last().target, "/healthz");
    gateway.get_as("ann", "/").await.assert_from("canary");

    for (verb, expected) in [
        (
            "renew",
            "search.ranker of search is ready, and registered until ",
        ),
        ("show", "branch: feature/ranker"),
        ("kill", "search.ranker of search is killed"),
        ("show", "search.ranker of search is ready, killed"),
        ("restore", "search.ranker of search is restored"),
    ] {
        let (code, said) = run(canary(&admin, verb, &[])).await;
        assert_eq!(code, Some(0), "{verb}: {said}");
        assert!(said.contains(expected), "{verb}: {said}");
    }
    gateway.get_as("ann", "/").await.assert_from("canary");

    let (code, said) = run(canary(&admin, "deregister", &[])).await;
    let expected = "search.ranker of search is taken back: its users are on stable\n";
    assert_eq!((code, said.as_str()), (Some(0), expected));
    let answer = gateway.get_as("ann", "/").await;
    answer.assert_from("stable");
    assert!(decision(&answer).contains("lease_over"), "{answer:?}");
    for verb in ["deregister", "renew"] {
        let (code, said) = run(canary(&admin, verb, &[])).await;
        assert_eq!(code, Some(1), "{verb}: {said}");
        assert!(said.contains("is not registered in search"), "{said}");
    }
    let (code, said) = run(canary(&admin, "deregister", &["--ignore-not-found"])).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is not registered in search"), "{said}");
}

#[tokio::test]
async fn every_command_prints_its_answer_as_json() {
    let (stable, origin) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    let admin = admin_of(&gateway);
    registered_by_command(&admin, &origin).await;
    for (verb, pointer, expected) in [
        ("renew", "/state", json!("ready")),
        ("show", "/history/0/what", json!("registered")),
        ("kill", "/killed", json!(true)),
        ("restore", "/killed", json!(false)),
        ("deregister", "/state", json!("over")),
    ] {
        let (code, said) = run(canary(&admin, verb, &["--json"])).await;
        assert_eq!(code, Some(0), "{verb}: {said}");
        let answer: Value = serde_json::from_str(&said).expect(verb);
        assert_eq!(answer.pointer(pointer), Some(&expected), "{verb}: {said}");
    }
    for (service, pointer) in [
        (&["search"][..], "/canaries/0/name"),
        (&[], "/services/0/canaries/0/name"),
    ] {
        let args = [&["canary", "list", "--json", "--admin", &admin], service].concat();
        let (code, said) = run(serin(args)).await;
        assert_eq!(code, Some(0), "{said}");
        let answer: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(answer.pointer(pointer), Some(&json!("search.ranker")));
    }
}

/// A registrar of search alone, and a viewer of everything.
const TOKENS: &str = "admin:
  address: 127.0.0.1:0
  tokens:
    - { name: ci-search, role: registrar, services: [search], token: token-of-the-pipeline }
    - { name: looks, role: viewer, token: token-of-somebody-who-looks }
";

#[tokio::test]
async fn lists_are_of_the_services_that_a_token_is_for() {
    let (stable, origin) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(format!("{TOKENS}{}", config(&stable))).await;
    let (admin, folder) = (admin_of(&gateway), tempfile::tempdir().expect("a folder"));
    let file = |name: &str, token: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("{token}\n")).expect("a file");
        file.to_str().expect("a path").to_owned()
    };
    let pipeline = file("pipeline", "token-of-the-pipeline");
    let viewer = file("viewer", "token-of-somebody-who-looks");
    let url = origin.url();
    let order = ["--url", &url, "--token-file", &pipeline];
    let (code, said) = run(canary(&admin, "register", &order)).await;
    assert_eq!(code, Some(0), "{said}");

    let list = |service: &[&str], token: &str| {
        let token = ["--token-file", token, "--admin", &admin];
        run(serin([&["canary", "list"], service, &token].concat()))
    };
    let (code, said) = list(&[], &pipeline).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("search.ranker of search: "), "{said}");
    assert!(!said.contains("no canary"), "{said}");
    let (code, said) = list(&["shop"], &pipeline).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("shop"), "{said}");
    let nothing = (Some(0), "no canary is registered\n".to_owned());
    assert_eq!(list(&["shop"], &viewer).await, nothing);

    let order = ["--url", &url, "--token-file", &viewer];
    let (code, said) = run(canary(&admin, "register", &order)).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("this takes the role"), "{said}");
    let (code, said) = run(canary(&admin, "show", &[])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--token-file"), "{said}");
}

#[tokio::test]
async fn exit_codes_say_whether_to_try_again() {
    let (stable, mut dead) = (Origin::start("stable").await, Origin::start("dead").await);
    let gateway = Gateway::start(config(&stable)).await;
    dead.stop().await;
    let (admin, url) = (admin_of(&gateway), dead.url());
    let register = |further: &[&str]| canary(&admin, "register", further);

    let (code, said) = run(register(&["--url", &url, "--wait", "300ms"])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not ready after 300ms"), "{said}");
    let hold = ["--url", &url, "--hold", "--wait", "300ms"];
    let (code, said) = run(register(&hold)).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not ready after 300ms"), "{said}");
    let (code, said) = run(register(&["--url", "http://169.254.169.254"])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("169.254.169.254"), "{said}");
    let (code, said) = run(register(&["--url", &url, "--ttl", "30d"])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("registry.ttl.max"), "{said}");

    for usage in [
        &[][..],
        &["--url", &url, "--wait", "soon"],
        &["--url", &url, "--ringss", "-"],
    ] {
        assert_eq!(run(register(usage)).await.0, Some(2), "{usage:?}");
    }
    let missing = register(&["--url", &url, "--rings", "/nowhere/rings.json"]);
    let (code, said) = run(missing).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/nowhere/rings.json: "), "{said}");
}

/// Every command that asks the admin API.
const ASKING: [&[&str]; 19] = [
    &[
        "canary",
        "register",
        "search",
        "search.x",
        "--url",
        "http://127.0.0.1:9",
    ],
    &["canary", "renew", "search", "search.x"],
    &["canary", "deregister", "search", "search.x"],
    &["canary", "list"],
    &["canary", "list", "search"],
    &["canary", "show", "search", "search.x"],
    &["canary", "kill", "search", "search.x"],
    &["canary", "restore", "search", "search.x"],
    &["canary", "restore", "--all-unknown"],
    &["flag", "list"],
    &["flag", "delete", "search.x"],
    &["segment", "show", "team"],
    &["ring", "off", "search.x", "team"],
    &["ring", "set", "search.x", "team", "5%"],
    &["status"],
    &["reload"],
    &["refresh"],
    &["log"],
    &["explain", "--user", "ann"],
];

#[tokio::test]
async fn every_command_says_whether_to_try_again() {
    let mut admin = Origin::start("admin").await;
    let place = admin.url();
    for (reply, expected) in [
        (Reply::status(503).body(r#"{ "detail": "later" }"#), 75),
        (Reply::status(403).body(r#"{ "detail": "never" }"#), 1),
    ] {
        admin.answer(move |_| reply.clone());
        for command in ASKING {
            let (code, said) = run(serin([command, &["--admin", &place]].concat())).await;
            assert_eq!(code, Some(expected), "{command:?}: {said}");
        }
    }
    admin.stop().await;
    for command in ASKING {
        let output = run_serin([command, &["--admin", &place]].concat());
        assert_eq!(output.status.code(), Some(75), "{command:?}: {output:?}");
        for wrong in ["ftp://127.0.0.1", "127.0.0.1:9900", "http://a b"] {
            let output = run_serin([command, &["--admin", wrong]].concat());
            assert_eq!(output.status.code(), Some(2), "{command:?}: {output:?}");
        }
    }
    let mut explain = serin(["explain", "--user", "ann"]);
    explain.env("SERIN_ADMIN", "127.0.0.1:9900");
    assert_eq!(run(explain).await.0, Some(2));
}

#[tokio::test]
async fn every_status_has_its_exit_code() {
    let admin = Origin::start("admin").await;
    for (reply, expected) in [
        (Reply::status(503), 75),
        (Reply::status(429), 75),
        (Reply::status(408), 75),
        (Reply::status(502).body("<html>"), 75),
        (Reply::status(409).header("retry-after", "5"), 75),
        (Reply::status(409), 1),
        (Reply::status(403), 1),
        (Reply::status(500), 1),
        (
            Reply::status(302).header("location", "http://127.0.0.1:9"),
            1,
        ),
        (Reply::status(200).body("<html>"), 1),
    ] {
        let what = format!("{reply:?}");
        admin.answer(move |_| reply.clone());
        let order = ["--url", "http://127.0.0.1:9"];
        let (code, said) = run(canary(&admin.url(), "register", &order)).await;
        assert_eq!(code, Some(expected), "{what}: {said}");
    }
}

#[tokio::test]
async fn a_held_canary_outlives_its_ttl_and_ends_with_the_command() {
    let (stable, origin) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    let url = origin.url();
    let mut held = Held::start(&admin_of(&gateway), &["--url", &url, "--ttl", "1s"]);
    let at = |canary: &Value, pointer: &str| -> jiff::Timestamp {
        let text = canary.pointer(pointer).and_then(Value::as_str);
        text.expect(pointer).parse().expect("a moment")
    };
    eventually("a renewal after the first TTL", || async {
        let answer = gateway.admin(RANKER).await;
        let canary = (answer.status == 200).then(|| answer.json())?;
        assert_ne!(canary["state"], "over", "{canary}");
        let lived = at(&canary, "/lease/renewed_at").duration_since(at(&canary, "/registered_at"));
        (lived > jiff::SignedDuration::from_millis(1500)).then_some(())
    })
    .await;
    held.sigterm();
    assert_eq!(held.ended().await, (Some(0), String::new()));
    let canary = shown(&gateway, RANKER).await;
    assert_eq!(canary["state"], "over");
    assert_eq!(happened(&canary).last(), Some(&"taken_back"));
}

#[tokio::test]
async fn a_held_canary_outlives_restarts_of_the_gateway_and_the_loss_of_its_state() {
    let (stable, origin) = (Origin::start("stable").await, Origin::start("canary").await);
    // Its port stays reserved for the gateways that are started one after the other.
    let mut port = Origin::start("port").await;
    port.stop().await;
    let state = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let config = |state: &tempfile::TempDir| {
        let state = state.path().display().to_string();
        let text = config(&stable).replace("./state", &state);
        format!("admin: {}\n{text}", port.address())
    };
    let mut gateway = Gateway::start(config(&state[0])).await;
    let url = origin.url();
    let mut held = Held::start(&port.url(), &["--url", &url, "--ttl", "6s"]);
    let registered = [("deployment", "search.ranker"), ("state", "ready")];
    gateway
        .await_metric("serin_canary_state", &registered, 1.0)
        .await;
    gateway.terminate().await;
    held.await_said("; trying again").await;
    let mut gateway = Gateway::start(config(&state[0])).await;
    held.await_said("search.ranker of search is renewed again")
        .await;
    assert_ne!(shown(&gateway, RANKER).await["state"], "over");

    gateway.terminate().await;
    let gateway = Gateway::start(config(&state[1])).await;
    held.await_said("was not registered any more; it is again")
        .await;
    super::await_state(&gateway, RANKER, "ready").await;
    held.sigterm();
    let (code, said) = held.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(shown(&gateway, RANKER).await["state"], "over");
}

/// An admin API with one registration, which tests change.
#[derive(Debug)]
struct Registry {
    url: Option<&'static str>,
    refusal: Option<u16>,
}

const OWN: &str = "http://127.0.0.1:9";

/// An admin API as the contract has it, with nothing registered. Leases last long enough for 100 ms between renewals.
async fn registry() -> (Origin, &'static Mutex<Registry>) {
    let registry: &'static Mutex<Registry> = Box::leak(Box::new(Mutex::new(Registry {
        url: None,
        refusal: None,
    })));
    let origin = Origin::start("registry").await;
    origin.answer(move |asked| answer(&mut registry.lock().expect("no panic"), asked));
    (origin, registry)
}

fn answer(registry: &mut Registry, asked: &Recorded) -> Reply {
    if let Some(status) = registry.refusal {
        return Reply::status(status).body(r#"{ "detail": "as the test wants" }"#);
    }
    if asked.method == "PUT" {
        registry.url = Some(OWN);
    }
    let Some(url) = registry.url else {
        return Reply::status(404).body(r#"{ "detail": "it is not registered" }"#);
    };
    if asked.method == "DELETE" {
        registry.url = None;
    }
    let canary = json!({
        "service": "search", "name": "search.ranker", "url": url, "state": "ready", "flag": null,
        "lease": { "ttl": "300ms", "expires_at": "2026-01-01T00:00:00Z", "renewed_at": "2026-01-01T00:00:00Z" },
    });
    Reply::status(200).body(canary.to_string())
}

fn asked(origin: &Origin, method: &str) -> usize {
    let requests = origin.requests();
    let of_method = requests.iter().filter(|asked| asked.method == method);
    of_method.count()
}

async fn await_asked(origin: &Origin, method: &str, count: usize) {
    let what = format!("{count} × {method}");
    until(&what, || (asked(origin, method) >= count).then_some(())).await;
}

#[tokio::test]
async fn a_gateway_that_is_not_there_yet_or_no_more_is_asked_again() {
    let (mut origin, registry) = registry().await;
    registry.lock().expect("no panic").refusal = Some(503);
    let mut held = Held::start(&origin.url(), &["--url", OWN]);
    await_asked(&origin, "PUT", 2).await;
    registry.lock().expect("no panic").refusal = None;
    await_asked(&origin, "POST", 2).await;

    origin.stop().await;
    let before = asked(&origin, "POST");
    origin.restart().await;
    await_asked(&origin, "POST", before + 2).await;
    assert_eq!(asked(&origin, "PUT"), 3, "renewed, not registered anew");

    registry.lock().expect("no panic").url = None;
    await_asked(&origin, "PUT", 4).await;
    await_asked(&origin, "POST", asked(&origin, "POST") + 1).await;
    held.sigterm();
    let (code, said) = held.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("was not registered any more"), "{said}");
    assert_eq!(asked(&origin, "DELETE"), 1);
}

#[tokio::test]
async fn a_signal_during_the_registration_ends_what_it_has_registered() {
    let (origin, _) = registry().await;
    origin.hold();
    let mut held = Held::start(&origin.url(), &["--url", OWN]);
    await_asked(&origin, "PUT", 1).await;
    held.sigterm();
    // The gateway is slow to answer; meanwhile nothing may overtake the registration.
    pause(200).await;
    assert_eq!(origin.count(), 1);
    origin.release();
    assert_eq!(held.ended().await, (Some(0), String::new()));
    assert_eq!((asked(&origin, "PUT"), asked(&origin, "DELETE")), (1, 1));
}

#[tokio::test]
async fn a_name_that_another_pipeline_has_taken_is_left_to_it() {
    let (origin, registry) = registry().await;
    let mut held = Held::start(&origin.url(), &["--url", OWN]);
    await_asked(&origin, "POST", 1).await;
    registry.lock().expect("no panic").url = Some("http://127.0.0.1:10");
    let (code, said) = held.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("with another URL, http://127.0.0.1:10"),
        "{said}"
    );
    assert_eq!((asked(&origin, "PUT"), asked(&origin, "DELETE")), (1, 0));
}

#[tokio::test]
async fn a_refusal_ends_holding() {
    let (origin, registry) = registry().await;
    let mut held = Held::start(&origin.url(), &["--url", OWN]);
    await_asked(&origin, "POST", 1).await;
    registry.lock().expect("no panic").refusal = Some(403);
    let (code, said) = held.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("as the test wants"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_told_and_ends_with_its_ttl() {
    let (origin, registry) = registry().await;
    let mut held = Held::start(&origin.url(), &["--url", OWN]);
    await_asked(&origin, "POST", 1).await;
    origin.hold();
    await_asked(&origin, "POST", asked(&origin, "POST") + 1).await;
    registry.lock().expect("no panic").refusal = Some(403);
    held.sigterm();
    origin.release();
    let (code, said) = held.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("as the test wants"), "{said}");
}

#[tokio::test]
async fn a_gateway_that_is_gone_when_the_signal_comes_is_told_as_not_reached() {
    let (mut origin, _) = registry().await;
    let mut held = Held::start(&origin.url(), &["--url", OWN]);
    await_asked(&origin, "POST", 1).await;
    origin.stop().await;
    held.sigterm();
    let (code, said) = held.ended().await;
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains(&origin.url()), "{said}");
}

#[test]
fn help_says_what_each_command_takes() {
    let mut text = String::new();
    for verb in [
        &[][..],
        &["register"],
        &["renew"],
        &["deregister"],
        &["list"],
        &["show"],
        &["kill"],
        &["restore"],
    ] {
        let output = run_serin([&["canary"], verb, &["--help"]].concat());
        assert!(output.status.success(), "{output:?}");
        text.push_str(&String::from_utf8_lossy(&output.stdout));
        text.push_str("---\n");
    }
    insta::assert_snapshot!("help", text);
}
