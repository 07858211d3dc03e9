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
    /// What may be written there; `None`: nothing, for want of an `admin_token`.
    pub admin: Option<UnleashAdmin>,
}

/// `admin_token` of a server, and what `registry.unleash` says of writing to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnleashAdmin {
    /// The token.
    pub token: Secret,
    /// Whether canaries are recorded here: they are on the first server with such a token.
    pub is_recorder: bool,
    /// How and where that is done.
    pub place: UnleashPlace,
}

/// `registry.unleash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnleashPlace {
    /// The project whose flags canaries become.
    pub project: Arc<str>,
    /// The environment whose strategies are the rings.
    pub environment: Arc<str>,
    /// What becomes of the flag when its canary leaves.
    pub on_deregister: OnDeregister,
}

/// What becomes of a recorded flag when its canary leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeregister {
    /// It is archived: clients are not told of it any more.
    Archive,
    /// It is marked stale.
    Stale,
    /// It stays as it is.
    Keep,
}
