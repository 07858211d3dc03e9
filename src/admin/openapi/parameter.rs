//! Parameters of operations: names in paths, header fields, and what a query says.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
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

impl Parameter {
    /// A header field.
    pub(in crate::admin) const fn header(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            place: "header",
            about,
            schema: SchemaGenerator::subschema_for::<String>,
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
