//! README against the binary: a stranger copies what stands there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use regex::Regex;

use crate::harness::{Gateway, Origin, Reply, run_serin};

/// The code blocks of README in this language, in order.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).expect("README");
    let block = Regex::new(&format!("(?s)\n```{language}\n(.*?)```")).expect("an expression");
    let blocks = block.captures_iter(&text);
    blocks.map(|found| found[1].to_owned()).collect()
}

/// What `serin check` says of a file with this text, and how it ends.
fn check(text: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("routes.yaml"), text).expect("a file");
    let output = crate::harness::serin(["check", "routes.yaml"])
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output.status.code())
}

#[test]
fn every_routes_yaml_of_it_passes_without_a_warning() {
    let files = blocks("yaml");
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        // What a reader has in the environment.
        let file = file.replace("${UNLEASH_TOKEN}", "token");
        let (said, code) = check(&file);
        assert_eq!(code, Some(0), "{file}{said}");
        assert!(said.contains("no problems"), "{file}{said}");
    }
}

#[test]
fn the_misspelt_key_is_explained_as_it_says() {
    let file = blocks("yaml").swap_remove(0);
    let misspelt = file.replacen("    stable:", "    stabel:", 1);
    assert_ne!(file, misspelt);
    let (said, code) = check(&misspelt);
    assert_eq!(code, Some(1), "{said}");
    let shown = blocks("text").pop().expect("what check says");
    assert_eq!(said, shown, "README shows all of it");
}

#[test]
fn the_commands_it_names_are_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(path.join("README.md")).expect("README");
    let makefile = fs::read_to_string(path.join("Makefile")).expect("Makefile");
    let make = Regex::new("(?m)`make ([a-z-]+)`|^make ([a-z-]+)$").expect("an expression");
    for found in make.captures_iter(&readme) {
        let target = found.get(1).or(found.get(2)).expect("a name").as_str();
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    let linked = Regex::new(r"\]\(([A-Za-z][^):]*)\)").expect("an expression");
    for file in linked
        .captures_iter(&readme)
        .map(|found| found[1].to_owned())
    {
        assert!(path.join(&file).exists(), "{file} is linked to");
    }
    let command = Regex::new("`serin ([a-z]+)").expect("an expression");
    for name in command
        .captures_iter(&readme)
        .map(|found| found[1].to_owned())
    {
        let help = run_serin([name.as_str(), "--help"]);
        assert!(help.status.success(), "serin {name}");
    }
}

/// A folder with a clone that is on a branch, and a server to push it to.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "
        git init -q --bare server && git init -q -b feature/ranker-v3 clone && cd clone
        git -c user.name=ann -c user.email=ann@example.com commit -q --allow-empty -m ranker
        git remote add origin ../server";
    let made = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .output()
        .expect("git runs");
    assert!(made.status.success(), "{made:?}");
    folder
}

#[tokio::test]
async fn the_ten_lines_from_git_push_to_a_canary_do_what_they_say() {
    let lines = blocks("sh");
    let lines = lines.iter().find(|block| block.starts_with("git push"));
    let lines = lines.expect("the ten lines");
    assert_eq!(lines.lines().count(), 10, "{lines}");
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.answer(|_| Reply::status(200).body("this is the canary\n"));
    let routes = fs::read_to_string("routes.yaml").expect("the repository's file");
    let routes = routes
        .replace("127.0.0.1:9001", &stable.address().to_string())
        .replace("127.0.0.1:9002", &canary.address().to_string())
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0");
    let gateway = Gateway::start(format!("{routes}\nserver: {{ state_dir: state }}\n")).await;
    // The sockets of `make run` are other ones here; nothing else of the lines is.
    let here = lines
        .replace("127.0.0.1:9002", &canary.address().to_string())
        .replace("127.0.0.1:8080", &gateway.address().to_string())
        .replace("127.0.0.1:9900", &gateway.admin_address().to_string());
    let folder = repository();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_serin"), folder.path().join("serin"))
        .expect("a link");
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", &here])
        .current_dir(folder.path().join("clone"))
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
    // On a thread of its own: the origins answer on this one.
    let done = tokio::task::spawn_blocking(move || shell.output());
    let Output {
        status,
        stdout,
        stderr,
    } = done.await.expect("a thread").expect("a shell");
    let (said, errors) = [stdout, stderr]
        .map(|text| String::from_utf8(text).expect("text"))
        .into();
    assert!(status.success(), "{said}{errors}");
    assert!(
        errors.contains("feature/ranker-v3 -> feature/ranker-v3"),
        "{errors}"
    );
    for expected in [
        "search.ranker-v3 of search is ready, and registered until ",
        "the flag search.ranker-v3 is kept now",
        "this is the canary",
        "ring all of search.ranker-v3: 0% -> 5%",
        "ring \"team\": yes",
        "search.ranker-v3 of search is killed: its users are on stable",
        "search.ranker-v3 of search is taken back: its users are on stable",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    gateway
        .get_as("dora", "/search")
        .await
        .assert_from("stable");
}
