//! The flag servers that a configuration names, whichever product each is. This file alone lists their sections.

use std::sync::Arc;

use super::flag_server::{ServerUrl, Streaming};
use super::unleash::UnleashConfig;
use crate::engine::source::SourceKind;

/// A flag server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// An entry of `unleash`.
    Unleash(UnleashConfig),
}

impl SourceConfig {
    /// What the source is called: in metrics, status, the API, and the stored copy's name.
    pub fn name(&self) -> &Arc<str> {
        let Self::Unleash(config) = self;
        &config.name
    }

    /// Which product it is.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Unleash(_) => SourceKind::Unleash,
        }
    }

    /// Where its API is.
    pub fn url(&self) -> &ServerUrl {
        let Self::Unleash(config) = self;
        &config.url
    }

    /// What Serin is called there; flags may look at it.
    pub fn app_name(&self) -> &Arc<str> {
        let Self::Unleash(config) = self;
        &config.app_name
    }

    /// How often flags are asked for.
    pub fn poll(&self) -> std::time::Duration {
        let Self::Unleash(config) = self;
        config.poll
    }

    /// Whether flags are streamed.
    pub fn streaming(&self) -> Streaming {
        let Self::Unleash(config) = self;
        config.streaming
    }

    /// Whether both mean the same source, however else they differ: what one has said is the other's to start from.
    pub fn is_same_source(&self, other: &Self) -> bool {
        self.name() == other.name() && self.kind() == other.kind()
    }
}
