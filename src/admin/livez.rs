//! `GET /livez`: whether the process runs.

/// Answers, and that is all there is to know.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}
