//! Parameters of operations: names in paths, header fields, and what a query says.

use std::borrow::Cow;

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Value, json};

/// Makes a schema, or a reference to it.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// A header field or a parameter of the query; all may be left out.
pub(in crate::admin) struct Parameter {
    name: &'static str,
    place: &'static str,
    about: &'static str,
    schema: Describe,
}

/// `*`, or entity tags with commas between them (RFC 9110, 8.8.3).
struct EntityTags;

impl JsonSchema for EntityTags {
    fn schema_name() -> Cow<'static, str> {
        "EntityTags".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let tag = "(W/)?\"[!#-~]*\"";
        json_schema!({ "type": "string", "pattern": format!("^(\\*|{tag}( *, *{tag})*)$") })
    }
}

impl Parameter {
    /// A header field, read as a text.
    pub(in crate::admin) const fn header(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            place: "header",
            about,
            schema: SchemaGenerator::subschema_for::<String>,
        }
    }

    /// A header field with entity tags.
    pub(in crate::admin) const fn entity_tags(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            place: "header",
            about,
            schema: SchemaGenerator::subschema_for::<EntityTags>,
        }
    }

    /// A parameter of the query, read as a `T`.
    pub(in crate::admin) const fn query<T: JsonSchema>(
        name: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            place: "query",
            about,
            schema: SchemaGenerator::subschema_for::<T>,
        }
    }

    pub(super) fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        json!({
            "name": self.name,
            "in": self.place,
            "description": self.about,
            "required": false,
            "schema": (self.schema)(generator),
        })
    }
}

/// A name in a path.
pub(super) fn of_path(name: &str) -> Value {
    let schema = json!({ "type": "string", "minLength": 1 });
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}
