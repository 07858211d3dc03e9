//! The commands: what they print, and what they exit with.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::harness::{Gateway, Origin, fill, run_serin, serin};

const VALID: &str = "
services: { search: http://127.0.0.1:9001 }
flags:
  search.ranker:
    url: http://127.0.0.1:9002
    rings:
      - { name: team, when: { email: { ends_with: '@example.com' } } }
      - { name: early, rollout: 10% }
routes: [{ path: /search, service: search }]
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  properties: { email: { header: x-email } }
listeners: [127.0.0.1:0]
admin: 127.0.0.1:0
";

const INVALID: &str = "services:
  search:
    stabel: http://127.0.0.1:9001
  other: ftp://127.0.0.1
flags:
  search.ranker:
    url: http://127.0.0.1:9002
    rings:
      - { name: team, segment: Taem }
      - { name: early, rollout: 101% }
segments:
  Team: { userId: [u1] }
routes:
  - { path: /search, service: serach }
  - { path: search, service: search, timeout: 5 }
attribution: { relay: {} }
";

/// A folder with `routes.yaml` in it.
fn folder(config: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("routes.yaml"), config).expect("a file");
    folder
}

/// Runs a command in a folder.
fn run_in(folder: &TempDir, args: &[&str]) -> Output {
    let mut command = serin(args);
    command
        .current_dir(folder.path())
        .output()
        .expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// What both streams say.
fn said(output: &Output) -> String {
    stdout(output) + &stderr(output)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["frobnicate"][..],
        &["run", "--no-such-option"],
        &["check", "--format", "xml"],
        &["completions", "tcsh"],
        &["explain", "--property", "novalue"],
    ] {
        let output = run_serin(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", said(&output));
        assert!(
            !output.stderr.is_empty() && output.stdout.is_empty(),
            "{args:?}"
        );
    }
}

#[test]
fn help_and_version() {
    let output = run_serin(["--version"]);
    assert_eq!((code(&output), stdout(&output).trim()), (0, "serin 0.1.0"));
    let output = run_serin(["--help"]);
    assert_eq!(code(&output), 0);
    insta::assert_snapshot!("help", stdout(&output));
    for command in ["run", "demo", "check", "explain", "schema", "completions"] {
        let output = run_serin([command, "--help"]);
        assert_eq!(code(&output), 0, "{command}");
        insta::assert_snapshot!(format!("help_{command}"), stdout(&output));
    }
}

#[test]
fn check_accepts_a_valid_file() {
    let valid = folder(VALID);
    for args in [
        &["check"][..],
        &["check", "routes.yaml"],
        &["check", "-c", "routes.yaml"],
    ] {
        let output = run_in(&valid, args);
        assert_eq!(code(&output), 0, "{args:?}: {}", said(&output));
    }
    let output = run_in(&valid, &["check", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((code(&output), &report["errors"]), (0, &0.into()));
    assert_eq!(report["problems"], serde_json::json!([]));
}

#[test]
fn check_lists_every_problem_as_a_compiler_does() {
    let invalid = folder(INVALID);
    let output = run_in(&invalid, &["check", "routes.yaml"]);
    assert_eq!(code(&output), 1);
    insta::assert_snapshot!("check_text", said(&output));

    let output = run_in(&invalid, &["check", "routes.yaml", "--format", "json"]);
    assert_eq!(code(&output), 1);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let problems = report["problems"].as_array().expect("problems");
    let errors = problems
        .iter()
        .filter(|problem| problem["severity"] == "error");
    assert_eq!(report["errors"], errors.count());
    let lines: Vec<u64> = problems
        .iter()
        .filter(|problem| problem["severity"] == "error")
        .map(|problem| problem["line"].as_u64().expect("a line"))
        .collect();
    for line in [3, 4, 9, 10, 14, 15, 16] {
        assert!(lines.contains(&line), "line {line} of {report:#}");
    }
    assert!(lines.is_sorted(), "{lines:?}");
    insta::assert_json_snapshot!("check_json", report);
}

#[test]
fn check_names_a_file_that_is_not_there() {
    let output = run_in(&folder(VALID), &["check", "nowhere.yaml"]);
    assert_ne!(code(&output), 0);
    assert!(said(&output).contains("nowhere.yaml"), "{}", said(&output));
}

#[test]
fn check_takes_several_files_and_what_is_piped_in() {
    let folder = folder(VALID);
    fs::write(folder.path().join("bad.yaml"), "services: {}\n").expect("a file");
    let output = run_in(&folder, &["check", "routes.yaml", "bad.yaml"]);
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    assert!(text.starts_with("routes.yaml: no problems\n"), "{text}");
    assert!(text.contains("bad.yaml: 2 errors"), "{text}");
    let args = ["check", "--format", "json", "routes.yaml", "bad.yaml"];
    let reports: serde_json::Value =
        serde_json::from_slice(&run_in(&folder, &args).stdout).expect("JSON");
    assert_eq!(reports[0]["file"], "routes.yaml");
    assert_eq!(
        (&reports[0]["errors"], &reports[1]["errors"]),
        (&0.into(), &2.into())
    );

    for (text, expected, words) in [
        (VALID, 0, "stdin: no problems"),
        ("services: {}\n", 1, "--> stdin:1:1"),
    ] {
        let mut command = serin(["check", "-"]);
        let mut running = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut pipe = running.stdin.take().expect("a pipe");
        pipe.write_all(text.as_bytes()).expect("taken");
        drop(pipe);
        let output = running.wait_with_output().expect("an end");
        assert_eq!(code(&output), expected, "{}", said(&output));
        assert!(stdout(&output).contains(words), "{}", said(&output));
    }
}

#[test]
fn a_strict_check_fails_on_what_run_refuses_and_on_warnings() {
    let unset = folder(&VALID.replace("http://127.0.0.1:9001", "'${SEARCH_URL}'"));
    assert_eq!(code(&run_in(&unset, &["check"])), 0);
    let output = run_in(&unset, &["check", "--strict"]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(said(&output).contains("error: the variable `SEARCH_URL` is not set"));
    let odd = folder(&VALID.replace(", trust: anyone", ""));
    assert_eq!(code(&run_in(&odd, &["check"])), 0);
    assert_eq!(code(&run_in(&odd, &["check", "--strict"])), 1);
    let valid = folder(VALID);
    assert_eq!(code(&run_in(&valid, &["check", "--strict"])), 0);
}

#[test]
fn a_pipe_or_a_device_is_refused_and_not_waited_for() {
    let folder = folder(&VALID.replace("http://127.0.0.1:9001", "'${file:secret}'"));
    for name in ["pipe", "secret"] {
        let path = folder.path().join(name);
        let made = Command::new("mkfifo").arg(path).status();
        assert!(made.expect("mkfifo runs").success());
    }
    for (args, expected) in [
        (&["check", "pipe"][..], 1),
        (&["check", "/dev/zero"], 1),
        (&["run", "-c", "pipe"], 78),
        (&["explain", "-c", "pipe"], 1),
        (&["run", "-c", "/dev/zero"], 78),
    ] {
        let output = run_in(&folder, args);
        assert_eq!(code(&output), expected, "{args:?}");
        let said = said(&output);
        assert!(said.contains("not a regular file"), "{args:?}: {said}");
    }
    // Nor is a secret's.
    let output = run_in(&folder, &["run"]);
    assert_eq!(code(&output), 78);
    assert!(
        said(&output).contains("not a regular file"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn of_many_problems_only_the_first_are_told_everywhere() {
    let keys: String = (0..50_000)
        .map(|number| format!("key{number}: x\n"))
        .collect();
    let folder = folder(&keys);
    let output = run_in(&folder, &["check"]);
    assert!(
        output.stdout.len() < 50_000,
        "{} bytes",
        output.stdout.len()
    );
    assert!(said(&output).contains("50002 errors"), "{}", said(&output));
    let output = run_in(&folder, &["check", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(100));
    assert_eq!(
        (&report["errors"], &report["not_shown"]),
        (&50_002.into(), &49_902.into())
    );
    let gateway = Gateway::start(VALID).await;
    let answer = gateway
        .admin_send(crate::harness::post("/api/v1/config/check", keys))
        .await;
    assert!(
        answer.text().len() < 50_000,
        "{} bytes",
        answer.text().len()
    );
    let report = answer.json();
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(100));
    assert_eq!(
        (&report["errors"], &report["not_shown"]),
        (&50_002.into(), &49_902.into())
    );
}

#[test]
fn the_repository_carries_files_that_pass() {
    let text = fs::read_to_string(root().join("routes.yaml")).expect("routes.yaml");
    let lines = text.lines().count();
    assert!(lines <= 60, "{lines} lines");
    for file in ["routes.yaml", "deploy/reference.yaml"] {
        let mut command = serin(["check", "--format", "json", file]);
        let output = command
            .current_dir(root())
            .output()
            .expect("the binary runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let problems = report["problems"].as_array().expect("problems").iter();
        let messages = problems.filter_map(|problem| problem["message"].as_str());
        // The files that it names are those of a gateway, not of this machine.
        let is_elsewhere = |message: &&str| {
            message.ends_with("there is no such file") || message.contains("No such file")
        };
        let others: Vec<_> = messages.filter(|message| !is_elsewhere(message)).collect();
        assert_eq!((code(&output), others), (0, vec![]), "{file}");
    }
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let invalid = folder(INVALID);
    let binary = env!("CARGO_BIN_EXE_serin");
    let on_a_terminal = |no_colour: Option<&str>| {
        let mut command = Command::new("script");
        command
            .args(["-qec", &format!("{binary} check routes.yaml"), "/dev/null"])
            .current_dir(invalid.path())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(no_colour.map(|value| ("NO_COLOR", value)))
            .stdin(Stdio::null());
        let output = command.output().expect("script(1) runs");
        assert_eq!(code(&output), 1, "{}", said(&output));
        stdout(&output)
    };
    assert!(on_a_terminal(None).contains("\x1b["));
    assert!(!on_a_terminal(Some("1")).contains('\x1b'));
    let piped = run_in(&invalid, &["check"]);
    assert!(!said(&piped).contains('\x1b'));
}

#[test]
fn run_refuses_an_invalid_file() {
    let output = run_in(&folder(INVALID), &["run"]);
    assert_eq!(code(&output), 78);
    for said in ["stabel", "serach", "Taem", "101%"] {
        assert!(
            stderr(&output).contains(said),
            "{said}: {}",
            stderr(&output)
        );
    }
    // What is only a warning to `check` stops `run`.
    let unset = VALID.replace("http://127.0.0.1:9001", "'${SEARCH_URL}'");
    let unset = folder(&unset);
    let output = run_in(&unset, &["check"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).contains("SEARCH_URL"), "{}", said(&output));
    let output = run_in(&unset, &["run"]);
    assert_eq!(code(&output), 78, "{}", said(&output));
    assert!(
        stderr(&output).contains("SEARCH_URL"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn run_says_which_port_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for key in ["listeners: [ADDRESS]", "admin: ADDRESS"] {
        let line = key.replace("ADDRESS", "127.0.0.1:0");
        let config = VALID.replace(&line, &key.replace("ADDRESS", &address));
        let output = run_in(&folder(&config), &["run"]);
        assert_eq!(code(&output), 69, "{key}: {}", said(&output));
        assert!(stderr(&output).contains(&address), "{}", stderr(&output));
    }
}

#[test]
fn explain_reads_a_file() {
    let valid = folder(VALID);
    let explain = |args: &[&str]| {
        let all = [&["explain", "-c", "routes.yaml", "--path", "/search"], args].concat();
        let output = run_in(&valid, &all);
        assert_eq!(code(&output), 0, "{}", said(&output));
        stdout(&output)
    };
    insta::assert_snapshot!(
        "explain_targeted",
        explain(&["--user", "u1", "--property", "email=a@example.com"])
    );
    insta::assert_snapshot!("explain_default", explain(&["--user", "u1"]));
    // A request's header says as much as the user and the properties that it stands for.
    assert_eq!(
        explain(&[
            "--header",
            "X-User-Id=u1",
            "--header",
            "x-email=a@example.com"
        ]),
        explain(&["--user", "u1", "--property", "email=a@example.com"])
    );
    let output = run_in(&valid, &["explain", "--path", "/serach"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("the nearest is `/search`"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn explain_asks_a_running_gateway() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = VALID
        .replace("http://127.0.0.1:9001", "@stable")
        .replace("http://127.0.0.1:9002", "@canary");
    let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
    let admin = format!("http://{}", gateway.admin_address());
    let target = [
        "explain", "--admin", &admin, "--path", "/search", "--user", "u1",
    ];
    let output = run_serin(target.iter().chain(&["--property", "email=a@example.com"]));
    assert_eq!(code(&output), 0, "{}", said(&output));
    let text = stdout(&output);
    assert!(
        text.contains("search.ranker") && text.contains("team"),
        "{text}"
    );
    // The variable says where, as it does for the other commands, unless a file is named.
    let explain = |more: &[&str]| {
        let mut command = serin(["explain", "--path", "/search", "--user", "u1"]);
        command.args(more).env("SERIN_ADMIN", &admin);
        command.output().expect("the binary runs")
    };
    let output = explain(&["--property", "email=a@example.com"]);
    assert_eq!(stdout(&output), text, "{}", said(&output));
    let output = explain(&["--config", "/nowhere/routes.yaml"]);
    assert!(
        stderr(&output).contains("/nowhere/routes.yaml"),
        "{}",
        said(&output)
    );
    drop(gateway);
    let output = run_serin(target);
    assert_ne!(code(&output), 0);
    assert!(stderr(&output).contains(&admin), "{}", stderr(&output));
}

#[test]
fn the_schema_is_one_and_describes_the_file_in_the_root() {
    let output = run_serin(["schema"]);
    assert_eq!(code(&output), 0);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let file = |text: &str| -> serde_json::Value { serde_saphyr::from_str(text).expect("YAML") };
    for path in ["routes.yaml", "deploy/reference.yaml"] {
        let text = fs::read_to_string(root().join(path)).expect("a file");
        let errors: Vec<String> = validator
            .iter_errors(&file(&text))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{path}");
    }
    assert!(!validator.is_valid(&file(INVALID)));
}

#[test]
fn completions_are_for_three_shells() {
    for (shell, mark) in [
        ("bash", "complete -F _serin"),
        ("zsh", "#compdef serin"),
        ("fish", "complete -c serin"),
    ] {
        let output = run_serin(["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        let script = stdout(&output);
        assert!(
            script.contains(mark) && script.contains("explain"),
            "{shell}"
        );
        if shell == "bash" {
            let parsed = Command::new("bash").args(["-n", "-c", &script]).status();
            assert!(parsed.expect("bash runs").success());
        }
    }
}

// The commands keep this thread waiting, and the flag server must answer meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_reload_and_refresh_ask_a_running_gateway() {
    let parts = crate::sources::Parts::start().await;
    // Nobody asks the server but `refresh`.
    let config = parts.config("", "").replace("200ms", "1h");
    let gateway = Gateway::start(config).await;
    crate::sources::await_origin(&gateway, "canary").await;
    let ask = |command: &[&str]| {
        let output = gateway.ask(command);
        let out = String::from_utf8(output.stdout).expect("text");
        let err = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), out, err)
    };
    let (code, out, _) = ask(&["status"]);
    assert_eq!(code, Some(0));
    for said in [
        "generation",
        "source file",
        "source unleash",
        "last reload: ok",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
    parts.switch(false);
    let (code, out, err) = ask(&["refresh"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("changed: search.v2"), "{out}");
    gateway.get_as("u1", "/").await.assert_from("stable");
    let (code, _, err) = ask(&["refresh", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("nobody"), "{err}");

    let generation = gateway.generation().await;
    gateway.rewrite_config("services: {}\n");
    let (code, _, err) = ask(&["reload"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("`routes` is missing"), "{err}");
    assert_eq!(gateway.generation().await, generation);
    let (code, out, _) = ask(&["status"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("last reload: invalid"), "{out}");
    let (code, out, _) = ask(&["status", "--json"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).expect("JSON")["generation"],
        generation
    );
}
