//! Unleash's own specification of what a client must answer: `@unleash/client-specification`, whole.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{FeatureSet, NOW, Stage, find};
use crate::context::Moment;
use crate::engine::Variant;
use crate::engine::trace::Silent;

/// What version 6.1.0 has.
const FILES: usize = 22;
const TESTS: usize = 227;
const VARIANT_TESTS: usize = 52;

/// Where `scripts/install-test-deps` has put it.
fn folder() -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let output = Command::new(root.join("scripts/install-test-deps"))
        .args(["--folder", "tests/client-specification"])
        .output()
        .expect("the script runs");
    let folder = String::from_utf8(output.stdout).expect("a path");
    Path::new(folder.trim()).join("node_modules/@unleash/client-specification/specifications")
}

fn read(path: &Path) -> Value {
    let text = std::fs::read(path)
        .unwrap_or_else(|error| panic!("{path:?}: {error}; run scripts/install-test-deps"));
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn the_specification_is_met_whole() {
    let folder = folder();
    let index = read(&folder.join("index.json"));
    let names = index.as_array().expect("a list");
    assert_eq!(names.len(), FILES);
    let (mut tests, mut variant_tests) = (0, 0);
    let mut wrong = Vec::new();
    for name in names.iter().filter_map(Value::as_str) {
        let file = read(&folder.join(name));
        let set = state(&file["state"]);
        for case in list(&file["tests"]) {
            tests += 1;
            let answer = Value::from(answer(&set, case).feature_enabled);
            compare(name, case, &answer, &mut wrong);
        }
        for case in list(&file["variantTests"]) {
            variant_tests += 1;
            compare(name, case, &answer(&set, case).to_json(), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((tests, variant_tests), (TESTS, VARIANT_TESTS));
    println!("{FILES} files, {tests} tests, {variant_tests} variant tests: all as specified");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn compare(file: &str, case: &Value, answer: &Value, wrong: &mut Vec<String>) {
    let expected = &case["expectedResult"];
    if answer != expected {
        let about = &case["description"];
        wrong.push(format!("{file}: {about}: {answer} instead of {expected}"));
    }
}

/// A whole answer, or a delta on nothing.
fn state(state: &Value) -> FeatureSet {
    let text = state.to_string();
    let set = match state.get("events") {
        Some(_) => FeatureSet::default().apply(text.as_bytes()),
        None => FeatureSet::parse(text.as_bytes()),
    };
    set.expect("a document")
}

/// An answer as the specification writes it.
struct Answer {
    feature_enabled: bool,
    variant: Option<Variant>,
}

impl Answer {
    fn to_json(&self) -> Value {
        let name = self
            .variant
            .as_ref()
            .map_or("disabled", |variant| &variant.name);
        let mut json = serde_json::json!({
            "name": name,
            "enabled": self.variant.is_some(),
            "feature_enabled": self.feature_enabled,
        });
        if let Some(payload) = self
            .variant
            .as_ref()
            .and_then(|variant| variant.payload.as_ref())
        {
            json["payload"] = serde_json::json!({ "type": payload.kind, "value": payload.value });
        }
        json
    }
}

/// Flags are compiled for the application and the environment that the case is about.
fn answer(set: &FeatureSet, case: &Value) -> Answer {
    let context = &case["context"];
    let text = |name: &str| context[name].as_str().map(str::to_owned);
    let mut stage = Stage {
        app_name: text("appName").unwrap_or_default(),
        environment: text("environment"),
        ..Stage::new()
    };
    let compiled = stage.compile(set, None);
    let properties = context["properties"].as_object();
    let properties = properties.into_iter().flatten();
    let own = ["userId", "sessionId", "remoteAddress"];
    let own = own.iter().map(|name| (*name, &context[*name]));
    let values: Vec<(&str, &str)> = own
        .chain(properties.map(|(name, value)| (name.as_str(), value)))
        .filter_map(|(name, value)| Some((name, value.as_str()?)))
        .collect();
    let user = stage.context(&values);
    let moment = text("currentTime").map_or(NOW, |time| {
        let time: jiff::Timestamp = time.parse().expect("a time");
        Moment {
            unix_ms: time.as_millisecond(),
        }
    });
    let flag = find(&compiled, case["toggleName"].as_str().expect("a name"));
    let evaluation = flag.map(|flag| flag.evaluate(&user, moment, &mut Silent));
    let evaluation = evaluation.unwrap_or_default();
    let variant = evaluation.variant.and_then(|at| flag?.variant(at));
    Answer {
        feature_enabled: evaluation.on,
        variant: variant.cloned(),
    }
}
