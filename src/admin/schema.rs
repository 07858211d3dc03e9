//! The words in which views describe themselves for the API's document (JSON Schema).

use serde_json::{Map, Value, json};

/// A reference to a schema that has a name.
pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// A list.
pub(super) fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An object all of whose members are there, but for those whose name ends in `?`.
pub(super) fn object(members: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in members {
        let bare = name.trim_end_matches('?');
        if bare == *name {
            required.push(bare);
        }
        properties.insert(bare.to_owned(), schema.clone());
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

/// An object that has no other members, as clients send it.
pub(super) fn closed_object(members: &[(&str, Value)]) -> Value {
    let mut schema = object(members);
    if let Some(members) = schema.as_object_mut() {
        members.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

/// What a schema describes, or `null`.
pub(super) fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// A text.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// A text or `null`.
pub(super) fn maybe_text() -> Value {
    json!({ "type": ["string", "null"] })
}

/// A point in time (RFC 3339).
pub(super) fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// A whole number that is not negative.
pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// Such a number or `null`.
pub(super) fn maybe_count() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0 })
}

/// A number.
pub(super) fn number() -> Value {
    json!({ "type": "number" })
}

/// A number or `null`.
pub(super) fn maybe_number() -> Value {
    json!({ "type": ["number", "null"] })
}

/// True or false.
pub(super) fn truth() -> Value {
    json!({ "type": "boolean" })
}
