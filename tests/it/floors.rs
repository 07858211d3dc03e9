//! The house's rules, read off the sources: which floor may name which, and the words that a floor does not know.

mod circles;
mod source;
mod vendors;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use source::{Source, expression, read_all, read_house};

/// Words that F0 to F2 do not know: no I/O, no clock, no randomness, no locks, no runtime, no wire types.
const IMPURE: &str = concat!(
    r"\b(tokio|pingora\w*|hyper|hyper_util|axum|hickory_resolver|notify|tracing|rand|anyhow)::",
    r"|\b(Instant|SystemTime|Timestamp|Zoned)::now\b|\bSystemTime\b",
    r"|\b(Mutex|RwLock|Condvar|TcpStream|TcpListener|UdpSocket|UnixStream)\b",
    r"|\bstd::(fs|env|process|thread)\b|\be?println!",
);

/// The floors that [`IMPURE`] holds for.
const PURE: u8 = 2;

/// Where a module stands: its floor, and on that its group. A "then" in `src/lib.rs` begins another group.
type Rank = (u8, u8);

/// The rank of every module, as `src/lib.rs` says it.
fn ranks() -> BTreeMap<String, Rank> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let doc = text.lines().filter_map(|line| line.strip_prefix("//! "));
    let mut items: Vec<String> = Vec::new();
    for line in doc {
        match items.last_mut() {
            Some(item) if line.starts_with("  ") => item.push_str(line),
            _ => items.push(line.to_owned()),
        }
    }
    let word = expression(r"`([a-z_]+)`|\bthen\b");
    let mut ranks = BTreeMap::new();
    for item in items.iter().filter_map(|item| item.strip_prefix("* F")) {
        let (floor, modules) = item.split_at(1);
        let (modules, _) = modules.split_once(':').unwrap_or((modules, ""));
        let (floor, mut group) = (floor.parse().expect("a floor's number"), 0);
        for found in word.captures_iter(modules) {
            match found.get(1) {
                Some(name) => {
                    ranks.insert(name.as_str().to_owned(), (floor, group));
                }
                None => group += 1,
            }
        }
    }
    ranks
}

/// The floor of every module.
fn floors() -> BTreeMap<String, u8> {
    let ranks = ranks().into_iter();
    ranks.map(|(name, (floor, _))| (name, floor)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The floor of a file: that of the module of the crate's root that it belongs to.
fn floor_of(source: &Source, floors: &BTreeMap<String, u8>) -> Option<u8> {
    match source.module() {
        "main" => Some(6),
        "lib" => None,
        module => {
            let floor = floors.get(module);
            Some(*floor.unwrap_or_else(|| panic!("src/lib.rs puts {module} on no floor")))
        }
    }
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn every_module_has_a_floor_and_every_floor_its_modules() {
    let floors = floors();
    let mut declared: Vec<String> = read_house()
        .iter()
        .map(|source| source.module().to_owned())
        .filter(|module| module != "lib" && module != "main")
        .collect();
    declared.sort();
    declared.dedup();
    let named: Vec<String> = floors.keys().cloned().collect();
    assert_eq!(
        named, declared,
        "src/lib.rs names other modules than there are"
    );
}

#[test]
fn imports_go_down_only() {
    let ranks = ranks();
    let groups = |floor| ranks.values().filter(|rank| rank.0 == floor).max();
    assert!(groups(3).is_some_and(|last| last.1 > 0), "F3 has an order");
    let mut climbs = Vec::new();
    for source in read_house() {
        let Some(&own) = ranks.get(source.module()) else {
            continue;
        };
        for (line, module) in source.crate_paths() {
            if let Some(&other) = ranks.get(&module).filter(|&&other| other > own) {
                climbs.push(format!(
                    "{}:{line}: F{}, group {}, names {module} (F{}, group {})",
                    source.path, own.0, own.1, other.0, other.1
                ));
            }
        }
    }
    assert_none("an import climbs", &climbs);
}

#[test]
fn the_pure_floors_know_no_impure_words() {
    let floors = floors();
    let impure = expression(IMPURE);
    let wire = expression(r"\b(serde|serde_json)::");
    let mut found = Vec::new();
    for source in read_house() {
        if floor_of(source, &floors).is_none_or(|floor| floor > PURE) {
            continue;
        }
        found.extend(source.matches(&impure));
        // Diagnostics and the schema are JSON for people's tools; they are made where files are read. A flag server's
        // document is JSON, and the engine is where it becomes rules.
        let reads_documents = source.path.starts_with("core/src/engine/unleash");
        if source.module() != "config" && !reads_documents {
            found.extend(source.matches(&wire));
        }
    }
    assert_none("a pure floor names what it must not know", &found);
}

#[test]
fn errors_without_a_type_stay_at_the_top() {
    let floors = floors();
    let anyhow = expression(r"\banyhow\b");
    let mut found = Vec::new();
    for source in read_house() {
        if floor_of(source, &floors).is_some_and(|floor| floor < 6) {
            found.extend(source.matches(&anyhow));
        }
    }
    assert_none("anyhow lives on F6 and nowhere else", &found);
}

#[test]
fn only_the_adapter_and_the_root_know_pingora() {
    let pingora = expression(r"\bpingora");
    let mut found = Vec::new();
    for source in read_house() {
        let is_adapter = source.path.starts_with("src/proxy/pingora");
        if !is_adapter && !["gateway", "main"].contains(&source.module()) {
            found.extend(source.matches(&pingora));
        }
    }
    // Where the adapter hangs.
    found.retain(|line| !line.starts_with("src/proxy.rs:") || !line.contains("pub mod pingora;"));
    assert_none("pingora is named outside its adapter and the root", &found);
}

#[test]
fn what_a_worker_keeps_is_listed_in_one_place() {
    let local = expression(r"\b(thread_local|task_local)!");
    let page = std::fs::read_to_string(root().join("src/proxy/worker_local.rs"));
    let page = page.expect("the page on what a worker keeps");
    let mut found = Vec::new();
    for source in read_house() {
        let Some(module) = source.path.strip_prefix("src/proxy/") else {
            continue;
        };
        let module = module.trim_end_matches(".rs").replace('/', "::");
        let names = [format!("[`super::{module}`]"), format!("`{module}`")];
        if !names.iter().any(|name| page.contains(name)) {
            found.extend(source.matches(&local));
        }
    }
    assert_none("src/proxy/worker_local.rs does not list it", &found);
}

#[test]
fn files_are_short_and_named_for_what_they_are() {
    let mut found = Vec::new();
    for source in read_house() {
        let lines = source.lines_without_tests();
        if !source.is_test() && lines > 400 {
            found.push(format!("{}: {lines} lines without tests", source.path));
        }
    }
    for source in ["core/src", "src", "tests", "benches"]
        .into_iter()
        .flat_map(read_all)
    {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let vague = [
            "mod.rs",
            "utils.rs",
            "util.rs",
            "common.rs",
            "helpers.rs",
            "manager.rs",
            "types.rs",
        ];
        if vague.contains(&name) {
            found.push(format!("{}: the name says nothing", source.path));
        }
    }
    assert_none("files", &found);
}

#[test]
fn nothing_is_left_for_later() {
    let later = expression(r"\b(todo|unimplemented|dbg)!|#\s*\[\s*ignore");
    let note = expression(&[r"\b(TO", "DO|FIX", r"ME)\b"].concat());
    let mut found = Vec::new();
    for source in ["core/src", "src", "tests", "benches"]
        .into_iter()
        .flat_map(read_all)
    {
        found.extend(source.matches_with_tests(&later));
        found.extend(source.matches_in_comments(&note));
    }
    assert_none("left for later", &found);
}

#[test]
fn tests_wait_for_facts() {
    let sleep = expression(r"\bsleep\s*\(");
    // On a busy machine anything may take long: a test compares, or bounds what could have kept it waiting.
    let bound = expression(r"\belapsed\(\)\s*<=?\s*Duration::");
    let mut found = Vec::new();
    for source in read_all("tests") {
        if !source.path.starts_with("tests/it/harness") {
            found.extend(source.matches_with_tests(&sleep));
            found.extend(source.matches_with_tests(&bound));
        }
    }
    assert_none("a test sleeps and hopes", &found);
}

#[test]
fn every_file_of_tests_has_its_place() {
    let text = std::fs::read_to_string(root().join("tests/it/main.rs")).expect("tests/it/main.rs");
    let doc: String = text
        .lines()
        .filter(|line| line.starts_with("//!"))
        .collect();
    let modules = text
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let missing = modules.filter(|module| !doc.contains(&format!("`{module}`")));
    let missing: Vec<String> = missing.map(ToOwned::to_owned).collect();
    assert_none("tests/it/main.rs does not say what stands in", &missing);
}

#[test]
fn contributing_names_files_that_there_are() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    let path = expression(r"`((?:core|src|tests|deploy|benches|scripts|\.ci)/[\w./]+)`");
    let named: Vec<&str> = path
        .captures_iter(&text)
        .filter_map(|found| Some(found.get(1)?.as_str()))
        .collect();
    assert!(named.len() > 25, "{named:?}");
    let missing = named.iter().filter(|named| !root().join(named).exists());
    let missing: Vec<String> = missing.map(ToString::to_string).collect();
    assert_none("CONTRIBUTING.md names what is not there", &missing);
}

#[test]
fn every_dependency_may_be_shipped() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 50, "{}", packages.len());
    let permissive = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "0BSD",
        "CC0-1.0",
        "Unlicense",
        "Unicode-3.0",
        "BSL-1.0",
        "MIT-0",
    ];
    // All parts that "and" joins, and any that "or" joins, must be permissive.
    let shippable = |licence: &str| {
        let licence = licence.replace('/', " OR ").replace(['(', ')'], " ");
        licence.split(" AND ").all(|part| {
            part.split(" OR ").any(|one| {
                let name = one.split(" WITH ").next().unwrap_or_default().trim();
                permissive.contains(&name)
            })
        })
    };
    let mut found = Vec::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none stated");
        if !shippable(licence) {
            found.push(format!(
                "{} {}: {licence}",
                package["name"], package["version"]
            ));
        }
    }
    assert_none("a licence that is not permissive", &found);
}
