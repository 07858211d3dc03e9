//! README against the binary: a stranger copies what stands there.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::harness::run_serin;

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
