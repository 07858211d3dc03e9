//! `GET /metrics`: every figure, for Prometheus.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};

use super::Shared;
use super::problem::Problem;
use crate::telemetry::metrics::Format;

/// The figures, in the format that is asked for.
pub(super) async fn metrics(
    State(state): Shared,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    let page = state.metrics.render(format).map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Problem::new(500, "the metrics cannot be written")
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], page))
}
