//! Reading JSON bodies.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::Problem;

/// The document that a body holds.
pub(super) fn document<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let body = body?;
    // serde would read a struct from a list, too.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new(422, "the body: expected an object".to_owned()));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let status = match error.classify() {
            Category::Data => 422,
            Category::Syntax | Category::Eof | Category::Io => 400,
        };
        Problem::new(status, format!("the body: {error}"))
    })
}
