//! `serin schema`: the JSON Schema of `routes.yaml`, for editors.

use std::io::{self, Write};

use crate::config::schema;

/// Writes the schema.
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:#}", schema::schema())
}
