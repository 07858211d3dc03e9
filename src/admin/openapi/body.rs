//! What operations take and give, as the table of endpoints says it.

use std::iter;

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use super::parameter::{Describe, Parameter};

/// What JSON documents are sent as.
pub(in crate::admin) const JSON: &str = "application/json";

/// Where the document keeps the schemas that have a name.
pub(in crate::admin) const SCHEMAS: &str = "#/components/schemas";

/// Where there was none before.
pub(in crate::admin) const NEW: &[(u16, &str)] = &[(201, "New")];

/// Some JSON object.
pub(in crate::admin) type AnyObject = Map<String, Value>;

/// A body of a media type.
#[derive(Clone, Copy)]
pub(in crate::admin) struct Body {
    pub(in crate::admin) media: &'static str,
    pub(super) schema: Describe,
    pub(super) is_required: bool,
}

impl Body {
    pub(super) const fn new<T: JsonSchema>(media: &'static str) -> Self {
        Self {
            media,
            schema: SchemaGenerator::subschema_for::<T>,
            is_required: true,
        }
    }
}

/// What an operation is sent beside its path.
#[derive(Clone, Copy)]
pub(in crate::admin) struct Takes {
    body: Option<Body>,
    parameters: &'static [Parameter],
}

impl Takes {
    /// Nothing.
    pub(in crate::admin) const NOTHING: Self = Self {
        body: None,
        parameters: &[],
    };

    /// A JSON document, read as a `T`.
    pub(in crate::admin) const fn json<T: JsonSchema>() -> Self {
        Self::body_of(Body::new::<T>(JSON))
    }

    /// A JSON document that may be left out.
    pub(in crate::admin) const fn json_or_nothing<T: JsonSchema>() -> Self {
        let mut body = Body::new::<T>(JSON);
        body.is_required = false;
        Self::body_of(body)
    }

    /// Text of a media type.
    pub(in crate::admin) const fn text(media: &'static str) -> Self {
        Self::body_of(Body::new::<String>(media))
    }

    const fn body_of(body: Body) -> Self {
        let body = Some(body);
        let Self { parameters, .. } = Self::NOTHING;
        Self { body, parameters }
    }

    /// With these header fields and parameters of the query.
    pub(in crate::admin) const fn with(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    /// Its body, if it has one.
    pub(in crate::admin) fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    pub(super) fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }
}

/// What an operation answers when all is well.
#[derive(Clone, Copy)]
pub(in crate::admin) struct Answer {
    body: Body,
    /// What its body may be, too, if the client prefers that.
    other_media: Option<&'static str>,
    others: &'static [(u16, &'static str)],
}

impl Answer {
    /// A JSON document, written from a `T`.
    pub(in crate::admin) const fn json<T: JsonSchema>() -> Self {
        Self::of(Body::new::<T>(JSON))
    }

    /// Text of a media type.
    pub(in crate::admin) const fn text(media: &'static str) -> Self {
        Self::of(Body::new::<String>(media))
    }

    const fn of(body: Body) -> Self {
        Self {
            body,
            other_media: None,
            others: &[],
        }
    }

    /// Also as this media type, for clients that prefer it.
    pub(in crate::admin) const fn or_as(mut self, media: &'static str) -> Self {
        self.other_media = Some(media);
        self
    }

    /// What its body may be.
    pub(super) fn bodies(&self) -> impl Iterator<Item = Body> {
        let other = self.other_media.map(|media| Body { media, ..self.body });
        iter::once(self.body).chain(other)
    }

    /// With these statuses beside 200, and what they mean.
    pub(in crate::admin) const fn or(mut self, others: &'static [(u16, &'static str)]) -> Self {
        self.others = others;
        self
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = (u16, &'static str)> {
        iter::once((200, "Well")).chain(self.others.iter().copied())
    }
}

/// Says of an object that is written that it has no members beside those that are described.
pub(super) fn closed(schema: &mut Schema) {
    let is_plain = ["additionalProperties", "allOf", "anyOf", "oneOf"]
        .iter()
        .all(|&key| schema.get(key).is_none());
    if is_plain && schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}
