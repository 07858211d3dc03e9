//! Schema and reader know the same keys: held against each other on every file that any test reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jsonschema::JsonType;
use jsonschema::Validator;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Map, Number, Value as Json, json};

use crate::config::keys::ROOT;
use crate::config::keys::shape::Key;
use crate::config::keys::shape::{Keys, Shape};
use crate::config::node::{Node, Scalar, Value};
use crate::config::problems::Problems;
use crate::config::{schema, structure, yaml};

/// Fails unless the schema and the structure check find the same keys, words and kinds of values wrong.
pub(super) fn agree(text: &str) {
    let mut problems = Problems::default();
    let Some(root) = yaml::parse(text, &mut problems) else {
        return;
    };
    let instance = json(&root);
    let mut problems = Problems::default();
    let Value::Map(pairs) = &root.value else {
        return;
    };
    let mut without_anchors = pairs.clone();
    without_anchors.retain(|pair| !pair.key.starts_with("x-"));
    let root = Node {
        span: root.span,
        value: Value::Map(without_anchors),
    };
    structure::check(&root, &ROOT, &mut problems);
    let (by_reader, by_schema) = (by_reader(&root, problems, &instance), by_schema(&instance));
    assert_eq!(
        by_reader, by_schema,
        "the reader's verdict and the schema's on\n{text}"
    );
}

fn by_reader(root: &Node, problems: Problems, instance: &Json) -> BTreeSet<String> {
    let found = problems.finish(Some(root));
    let verdicts = found.iter().cloned().filter_map(|diagnostic| {
        let path = diagnostic.path.replace(['.', '['], "/").replace(']', "");
        let message = diagnostic.message;
        if let Some(key) = message.strip_suffix("` is missing") {
            return Some(format!("missing {path} {}", key.trim_start_matches('`')));
        }
        let value = message.ends_with("is not known here");
        let odd_word = value && !at(instance, &path).is_some_and(Json::is_string);
        (!odd_word).then(|| format!("wrong {path}"))
    });
    verdicts.collect()
}

/// The value at a path, if no key on the way has a dot.
fn at<'j>(instance: &'j Json, path: &str) -> Option<&'j Json> {
    instance.pointer(&format!("/{path}"))
}

fn by_schema(instance: &Json) -> BTreeSet<String> {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    let validator = VALIDATOR
        .get_or_init(|| jsonschema::validator_for(&schema::schema()).expect("the schema is one"));
    let mut verdicts = BTreeSet::new();
    for error in validator.iter_errors(instance) {
        let pointer = error.instance_path().to_string();
        let path = pointer
            .trim_start_matches('/')
            .replace("~1", "/")
            .replace('.', "/");
        let below = |key: &str| {
            let key = key.replace('.', "/");
            if path.is_empty() {
                key
            } else {
                format!("{path}/{key}")
            }
        };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                verdicts.extend(unexpected.iter().map(|key| format!("wrong {}", below(key))));
            }
            // `false` for a value is how the schema refuses a key.
            ValidationErrorKind::FalseSchema | ValidationErrorKind::AnyOf { .. } => {
                verdicts.insert(format!("wrong {path}"));
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                verdicts.insert(format!("missing {path} {key}"));
            }
            ValidationErrorKind::Type { kind }
                if !(is_single(error.instance()) && takes_text(kind)) =>
            {
                verdicts.insert(format!("wrong {path}"));
            }
            _ => {}
        }
    }
    verdicts
}

fn takes_text(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Single(kind) => *kind == JsonType::String,
        TypeKind::Multiple(kinds) => kinds.contains(JsonType::String),
    }
}

fn is_single(instance: &Json) -> bool {
    instance.is_string() || instance.is_number() || instance.is_boolean()
}

/// The tree as an editor sees it: YAML 1.2's core schema says what is a number or a boolean.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(scalar) => single(scalar),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|e| (e.key.clone(), json(&e.value)));
            Json::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

fn single(scalar: &Scalar) -> Json {
    let text = scalar.text();
    match text {
        _ if scalar.is_quoted() => json!(text),
        "" | "~" => Json::Null,
        "true" => json!(true),
        "false" => json!(false),
        _ => text.parse::<i64>().map(Number::from).map_or_else(
            |_| {
                text.parse::<f64>()
                    .ok()
                    .and_then(Number::from_f64)
                    .map_or(json!(text), Json::Number)
            },
            Json::Number,
        ),
    }
}

#[test]
fn the_schema_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&schema::schema()));
}

#[test]
fn the_schema_has_defaults_bounds_and_words() {
    let schema = schema::schema();
    let service = &schema["properties"]["services"]["additionalProperties"]["properties"];
    let retries = &service["retries"]["properties"];
    let attempts = &retries["attempts"];
    assert_eq!(
        [
            &attempts["default"],
            &attempts["minimum"],
            &attempts["maximum"]
        ],
        [&json!(1), &json!(0), &json!(10)]
    );
    assert_eq!(retries["on"]["default"], json!(["connect"]));
    assert_eq!(
        service["timeouts"]["properties"]["idle"]["default"],
        json!("60s")
    );
    assert_eq!(service["preserve_host"]["default"], json!(true));
    assert_eq!(service["balance"]["default"], json!("least_requests"));
    assert_eq!(
        service["balance"]["anyOf"][0]["enum"],
        json!(["least_requests", "round_robin", "hash_user"])
    );
}

#[test]
fn keys_that_are_not_supported_yet_are_not_in_the_schema() {
    let schema = schema::schema().to_string();
    assert!(!schema.contains(r#""launchdarkly""#));
}

/// A file's keys of the table, by the address that each has there.
fn keys(text: &str) -> BTreeMap<usize, &'static str> {
    let root = yaml::parse(text, &mut Problems::default()).expect("a tree");
    let mut keys = BTreeMap::new();
    collect(ROOT, &root, &mut keys);
    keys
}

fn address(key: &'static dyn Key) -> usize {
    std::ptr::from_ref(key).addr()
}

fn collect(shape: Shape, node: &Node, into: &mut BTreeMap<usize, &'static str>) {
    for (item, node) in shape
        .list
        .iter()
        .flat_map(|item| node.items().iter().map(move |n| (item, n)))
    {
        collect(**item, node, into);
    }
    let Some(Keys { known, named }) = shape.map else {
        return;
    };
    for pair in node.pairs() {
        let key = known.iter().find(|key| key.name() == pair.key);
        if let Some(key) = key {
            into.insert(address(*key), key.name());
        }
        if let Some(shape) = key.map_or(named.copied(), |key| key.shape()) {
            collect(shape, &pair.value, into);
        }
    }
}

/// Every key that is supported.
fn due(shape: Shape, into: &mut BTreeMap<usize, &'static str>) {
    if let Some(item) = shape.list {
        due(*item, into);
    }
    let Some(Keys { known, named }) = shape.map else {
        return;
    };
    for key in known {
        if let Some(shape) = key.shape()
            && into.insert(address(*key), key.name()).is_none()
        {
            due(shape, into);
        }
    }
    // What names lead to may lead back here; its keys are known by then.
    if let Some(shape) = named {
        due(*shape, into);
    }
}

/// With `agree` on every file that is read, this shows that every key is accepted by both.
#[test]
fn the_reference_has_every_key() {
    let mut missing = BTreeMap::new();
    due(ROOT, &mut missing);
    assert!(missing.len() > 100, "{missing:?}");
    for stated in keys(include_str!("../../../../deploy/reference.yaml")).keys() {
        missing.remove(stated);
    }
    // It stands in place of `attribution.receipts.key`; a comment there says so.
    missing.retain(|_, name| *name != "private_key");
    assert_eq!(missing, BTreeMap::new());
}

#[test]
fn every_key_of_the_file_in_the_root_stands_in_the_reference() {
    let root = include_str!("../../../../routes.yaml");
    let reference = keys(include_str!("../../../../deploy/reference.yaml"));
    let mut extra = keys(root);
    extra.retain(|key, _| !reference.contains_key(key));
    assert_eq!(extra, BTreeMap::new());
    assert!(root.lines().count() <= 60);
}

#[test]
fn urls_of_every_scheme_are_taken_by_both() {
    for url in [
        "http://a",
        "h2c://10.0.0.1:9000",
        "srv+http://_http._tcp.search.svc",
        "HTTP://A.Example",
    ] {
        super::config(&format!(
            "services: {{ a: {url} }}\nroutes: [{{ service: a }}]\n"
        ));
    }
    let validator = jsonschema::validator_for(&schema::schema()).expect("a schema");
    for url in ["ftp://a", "hello", "srv+h2c://a"] {
        let file = serde_json::json!({ "services": { "a": url }, "routes": [{ "service": "a" }] });
        assert!(!validator.is_valid(&file), "{url}");
    }
}
