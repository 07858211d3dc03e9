//! What the configuration says of an Unleash server.

use std::sync::Arc;
use std::time::Duration;

use super::flag_server::{Secret, ServerUrl, Streaming};

/// One entry of `unleash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnleashConfig {
    /// What the source is called: in metrics, status, the API, and the stored snapshot's name.
    pub name: Arc<str>,
    /// Where its API is.
    pub url: ServerUrl,
    /// The backend token.
    pub token: Secret,
    /// What Serin is called there.
    pub app_name: Arc<str>,
    /// How often flags are asked for.
    pub poll: Duration,
    /// Whether flags are streamed.
    pub streaming: Streaming,
}
