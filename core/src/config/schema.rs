//! The JSON Schema of `routes.yaml` (draft 2020-12), for editors; made from the table of keys.

use serde_json::{Map, Value, json};

use super::keys::shape::{Form, Key, Shape, Written};
use super::keys::{ROOT, flags};

/// A value that is put in later can stand wherever a number or a boolean can.
const INTERPOLATED: &str = r"\$\{";

/// A part of the schema, for a document of another kind.
#[derive(Debug)]
pub struct Part {
    /// The part itself.
    pub schema: Map<String, Value>,
    /// What it refers to.
    pub definitions: Map<String, Value>,
}

impl Part {
    /// A flag. What it refers to stands at `place`, as in `#/$defs`.
    pub fn flag(place: &'static str) -> Self {
        Self::of(&flags::FLAG, place)
    }

    /// The rings of a flag.
    pub fn rings(place: &'static str) -> Self {
        Self::of(&flags::RING_LIST, place)
    }

    /// A segment.
    pub fn segment(place: &'static str) -> Self {
        Self::of(&flags::CONDITIONS, place)
    }

    fn of(part: &Shape, place: &'static str) -> Self {
        let mut definitions = Definitions::at(place);
        let schema = shape(part, &mut definitions);
        Self {
            schema,
            definitions: definitions.made,
        }
    }
}

/// The schemas that have a name, and where the document has them.
struct Definitions {
    place: &'static str,
    made: Map<String, Value>,
}

impl Definitions {
    fn at(place: &'static str) -> Self {
        let made = Map::new();
        Self { place, made }
    }
}

/// The whole schema. Keys that are not supported yet are absent.
pub fn schema() -> Value {
    let mut definitions = Definitions::at("#/$defs");
    let mut schema = shape(&ROOT, &mut definitions);
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".to_owned(), json!("Serin's routes.yaml"));
    // Keys for anchors.
    schema.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    schema.insert("$defs".to_owned(), Value::Object(definitions.made));
    Value::Object(schema)
}

/// A shape, or a reference to its definition if it has a name.
fn reference(shape_: &Shape, definitions: &mut Definitions) -> Map<String, Value> {
    let Some(name) = shape_.name else {
        return shape(shape_, definitions);
    };
    if !definitions.made.contains_key(name) {
        // Known by name before it is made, because it may contain itself.
        definitions.made.insert(name.to_owned(), Value::Null);
        let made = shape(shape_, definitions);
        definitions
            .made
            .insert(name.to_owned(), Value::Object(made));
    }
    object(json!({ "$ref": format!("{}/{name}", definitions.place) }))
}

/// Keywords for text, list and map stand beside each other: each applies to values of its own type only.
fn shape(shape: &Shape, definitions: &mut Definitions) -> Map<String, Value> {
    let mut schema = Map::new();
    let mut types: Vec<&str> = Vec::new();
    if let Some(text) = shape.text {
        let (kinds, keywords) = single(text);
        types.extend(kinds);
        schema.extend(keywords);
    }
    if let Some(item) = shape.list {
        types.push("array");
        let items = reference(item, definitions);
        schema.insert("items".to_owned(), Value::Object(items));
    }
    if let Some(keys) = &shape.map {
        types.push("object");
        let known: Map<String, Value> = keys
            .known
            .iter()
            .filter_map(|key| Some((key.name().to_owned(), property(*key, definitions)?)))
            .collect();
        let required: Vec<&str> = keys
            .known
            .iter()
            .filter(|key| key.statement().required)
            .map(|key| key.name())
            .collect();
        let others = keys.named.map_or(json!(false), |shape| {
            Value::Object(reference(shape, definitions))
        });
        schema.insert("properties".to_owned(), Value::Object(known));
        schema.insert("additionalProperties".to_owned(), others);
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
    }
    schema.insert("type".to_owned(), json!(types));
    schema
}

fn property(key: &dyn Key, definitions: &mut Definitions) -> Option<Value> {
    let mut schema = reference(&key.shape()?, definitions);
    schema.insert("description".to_owned(), json!(key.about()));
    if let Some(default) = key.default() {
        schema.insert("default".to_owned(), json_of(default));
    }
    Some(Value::Object(schema))
}

/// A default as JSON has it. A literal is written in JSON as in YAML.
fn json_of(default: Written) -> Value {
    match default {
        Written::Literal(text) => text.parse().unwrap_or(Value::String(text)),
        Written::Text(text) => Value::String(text),
        Written::List(items) => json!(items),
    }
}

/// The types that a single value may have where YAML is read as JSON, and what it must look like.
fn single(form: Form) -> (Vec<&'static str>, Map<String, Value>) {
    let pattern = |look: &str| object(json!({ "pattern": format!("{look}|{INTERPOLATED}") }));
    match form {
        // Where an editor sees a number or a boolean, Serin reads the text that stands there.
        Form::Any => (vec!["string", "number", "boolean"], Map::new()),
        Form::Bool => (
            vec!["boolean", "string"],
            object(json!({ "pattern": INTERPOLATED })),
        ),
        Form::Integer(least, most) => (
            vec!["integer", "string"],
            object(json!({ "minimum": least, "maximum": most, "pattern": INTERPOLATED })),
        ),
        Form::Duration => (vec!["string"], pattern("^[0-9]+(ms|s|m|h|d)$")),
        Form::DurationOrNever => (vec!["string"], pattern("^([0-9]+(ms|s|m|h|d)|never)$")),
        Form::DurationOrNone => (vec!["string"], pattern("^([0-9]+(ms|s|m|h|d)|none)$")),
        Form::Size => (vec!["string"], pattern("^[0-9]+([KMG]i)?B$")),
        Form::SizeOrNone => (vec!["string"], pattern("^([0-9]+([KMG]i)?B|none)$")),
        Form::RateOrNone => (
            vec!["string"],
            pattern("^([0-9]+([KMG]i)?B/s( over [0-9]+(ms|s|m|h|d))?|none)$"),
        ),
        Form::Percentage => (vec!["string"], pattern(r"^[0-9]+(\.[0-9]+)? *%$")),
        Form::Url => (
            vec!["string"],
            pattern(r"^([hH][tT][tT][pP][sS]?|[hH]2[cC]?|[sS][rR][vV]\+[hH][tT][tT][pP])://"),
        ),
        Form::Trigger => (
            vec!["string", "integer"],
            pattern("^(connect|reset|timeout|[45](xx|[0-9][0-9]))$"),
        ),
        Form::Word(words) => {
            let one = json!({ "anyOf": [{ "enum": words.names() }, { "pattern": INTERPOLATED }] });
            (vec!["string"], object(one))
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
