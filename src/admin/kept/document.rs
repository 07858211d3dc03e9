//! The schemas of flags, rings and segments: made from the table of keys that `routes.yaml` is read by.

use std::borrow::Cow;

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};

use super::written::{WrittenFlag, WrittenSegment};
use crate::admin::openapi::body::SCHEMAS;
use crate::config::schema::Part;

/// A flag as people put it.
pub(in crate::admin) struct FlagDocument;

/// A segment as people put it.
pub(in crate::admin) struct SegmentDocument;

/// Rings as a registration has them.
pub(in crate::admin) struct Rings;

/// A flag as it is shown: as it was put, or in words where Serin does not keep it.
pub(in crate::admin) struct ShownFlag;

/// A segment as it is shown.
pub(in crate::admin) struct ShownSegment;

/// A document as an answer to an order has it.
pub(in crate::admin) struct PutDocument;

impl JsonSchema for FlagDocument {
    fn schema_name() -> Cow<'static, str> {
        "Flag".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        of_keys(Part::flag, generator)
    }
}

impl JsonSchema for SegmentDocument {
    fn schema_name() -> Cow<'static, str> {
        "Segment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        of_keys(Part::segment, generator)
    }
}

impl JsonSchema for Rings {
    fn schema_name() -> Cow<'static, str> {
        "Rings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        of_keys(Part::rings, generator)
    }
}

impl JsonSchema for ShownFlag {
    fn schema_name() -> Cow<'static, str> {
        "ShownFlag".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        either::<FlagDocument, WrittenFlag>(generator)
    }
}

impl JsonSchema for ShownSegment {
    fn schema_name() -> Cow<'static, str> {
        "ShownSegment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        either::<SegmentDocument, WrittenSegment>(generator)
    }
}

impl JsonSchema for PutDocument {
    fn schema_name() -> Cow<'static, str> {
        "PutDocument".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        either::<FlagDocument, SegmentDocument>(generator)
    }
}

fn of_keys(part: fn(&'static str) -> Part, generator: &mut SchemaGenerator) -> Schema {
    let Part {
        schema,
        definitions,
    } = part(SCHEMAS);
    generator.definitions_mut().extend(definitions);
    schema.into()
}

fn either<A: JsonSchema, B: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [generator.subschema_for::<A>(), generator.subschema_for::<B>()] })
}
