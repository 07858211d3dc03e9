//! `deploy/prometheus`, `deploy/grafana`, `deploy/analysis`: rules, alerts and pictures against a real Prometheus and gateways.

mod faults;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::prometheus::Prometheus;
use crate::harness::sdk::packages;
use faults::Faults;

/// How long alerts may take: many faults on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(120);

/// The alert that takes more than ten thousand changes while the disk takes nothing: see unit `audit::*`.
const NOT_CAUSED: [&str; 1] = ["SerinAuditLost"];

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file)
}

fn read(file: &str) -> String {
    let path = path(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rules, with minutes made seconds: what is waited for, looked back on, and too old.
fn quick_rules() -> String {
    let mut rules = read("prometheus/rules.yaml");
    let shorter = [
        ("[5m]", "[6s]"),
        ("[10m]", "[20s]"),
        ("[15m]", "[40s]"),
        ("> 5\n", "> 1\n"),
        ("> 300\n", "> 2\n"),
        ("> 60\n", "> 2\n"),
    ];
    for (long, short) in shorter {
        assert!(rules.contains(long), "{long:?} stands in no rule");
        rules = rules.replace(long, short);
    }
    let line = |line: &str| match line.trim_start().strip_prefix("for: ") {
        Some(_) => line.split("for: ").next().unwrap_or_default().to_owned() + "for: 1s",
        None => line.to_owned(),
    };
    let lines: Vec<String> = rules.lines().map(line).collect();
    lines.join("\n") + "\n"
}

fn alerts() -> BTreeSet<String> {
    let rules = read("prometheus/rules.yaml");
    let lines = rules.lines().map(str::trim_start);
    let names = lines.filter_map(|line| line.strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// What an expression of a dashboard or a template is for this test's service and times.
fn filled_in(expression: &str) -> String {
    expression
        .replace("$service", ".*")
        .replace("$__rate_interval", "6s")
}

#[test]
fn the_rules_do_what_their_tests_say() {
    let output = Command::new("promtool")
        .args(["test", "rules", "rules.test.yaml"])
        .current_dir(path("prometheus"))
        .output()
        .expect("promtool: scripts/install-test-deps installs it");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let tests = read("prometheus/rules.test.yaml");
    for alert in alerts() {
        assert!(tests.contains(&alert), "{alert} has no test");
    }
}

#[tokio::test]
async fn each_alert_fires_on_its_fault_and_each_picture_has_data() {
    let prometheus = Prometheus::start(&quick_rules()).await;
    let faults = Faults::cause(&prometheus).await;
    let expected: BTreeSet<String> = alerts()
        .into_iter()
        .filter(|alert| !NOT_CAUSED.contains(&alert.as_str()))
        .collect();
    let mut seen = BTreeSet::new();
    let begun = Instant::now();
    while !expected.is_subset(&seen) {
        let missing: Vec<_> = expected.difference(&seen).collect();
        assert!(begun.elapsed() < PATIENCE, "these do not fire: {missing:?}");
        faults.go_on().await;
        seen.extend(prometheus.firing().await);
    }
    for (panel, expression) in dashboard() {
        let series = prometheus.query(&filled_in(&expression)).await;
        assert!(!series.is_empty(), "{panel}: nothing for {expression}");
    }
    for (template, expression) in templates() {
        let series = prometheus.query(&expression).await;
        assert_eq!(series.len(), 1, "{template}: {series:?} for {expression}");
    }
}

/// Each query of the dashboard, with its panel's title.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("grafana/serin.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| {
            let expression = target["expr"].as_str().expect("an expression");
            (title.clone(), expression.to_owned())
        })
    });
    queries.collect()
}

/// Each query of the analysis templates, about the canary that fails and the service that it is of.
fn templates() -> Vec<(String, String)> {
    let documents = ["analysis/argo-rollouts.yaml", "analysis/flagger.yaml"];
    let documents = documents.iter().flat_map(|file| {
        let text = read(file);
        let documents: Vec<Value> = text
            .split("\n---\n")
            .map(|one| serde_saphyr::from_str(one).expect(file))
            .collect();
        documents
    });
    let query = |name: &Value, query: &Value| {
        let text = query.as_str().expect("a query");
        let text = text
            .replace("{{args.service}}", "search")
            .replace("{{args.canary}}", "search.broken")
            .replace("{{ variables.service }}", "search")
            .replace("{{ variables.canary }}", "search.broken")
            .replace("{{ interval }}", "6s")
            .replace("[5m]", "[6s]");
        assert!(!text.contains("{{"), "{text}");
        (name.to_string(), text)
    };
    let mut queries = Vec::new();
    for document in documents {
        match document["spec"]["metrics"].as_array() {
            Some(metrics) => queries.extend(
                metrics
                    .iter()
                    .map(|one| query(&one["name"], &one["provider"]["prometheus"]["query"])),
            ),
            None => queries.push(query(
                &document["metadata"]["name"],
                &document["spec"]["query"],
            )),
        }
    }
    assert_eq!(queries.len(), 4);
    queries
}

#[test]
fn the_dashboard_is_laid_out_for_grafana() {
    let dashboard: Value = serde_json::from_str(&read("grafana/serin.json")).expect("JSON");
    let variables = dashboard["templating"]["list"].as_array();
    let variables = variables.expect("variables").iter();
    let names: Vec<&str> = variables.filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["datasource", "service"]);
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().expect("an ID")), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{title} is too wide");
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies over another");
            }
        }
        let targets = panel["targets"].as_array().into_iter().flatten();
        let mut references = BTreeSet::new();
        for target in targets {
            let reference = target["refId"].as_str().expect("a reference");
            assert!(references.insert(reference), "{title}: two {reference}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
        assert_eq!(references.is_empty(), panel["type"] == "row", "{title}");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            let text = panel["description"].as_str().expect("a description");
            assert!(text.ends_with('.'), "{title}: {text}");
        }
    }
}

/// What Grafana leaves to Prometheus' own part of it.
const OF_PROMETHEUS: [&str; 4] = [
    "/templating/list/1/definition: there is no such member",
    "/annotations/list/0/step: there is no such member",
    "/annotations/list/0/titleFormat: there is no such member",
    "/annotations/list/0/textFormat: there is no such member",
];

/// What Grafana's own types, made of its schema, find in a dashboard that they do not have, or of another type.
fn strange_to_grafana(dashboard: &Path) -> Vec<String> {
    let output = Command::new("python3")
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/grafana/check.py"))
        .arg(dashboard)
        .env("PYTHONPATH", packages("tests/grafana").join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3: scripts/install-test-deps installs it");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_dashboard_is_one_by_grafana_s_schema() {
    assert_eq!(
        strange_to_grafana(&path("grafana/serin.json")),
        OF_PROMETHEUS
    );
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.json");
    for (right, wrong) in [
        ("\"h\": 8", "\"h\": \"8\""),
        ("\"legendFormat\"", "\"legendformat\""),
        ("\"never\"", "\"sometimes\""),
        ("\"panels\": [", "\"panels\": [7, "),
    ] {
        let text = read("grafana/serin.json");
        assert!(text.contains(right), "{right}");
        fs::write(&broken, text.replacen(right, wrong, 1)).expect("a file");
        let found = strange_to_grafana(&broken);
        assert_ne!(found, OF_PROMETHEUS, "{wrong} is not found");
    }
}
