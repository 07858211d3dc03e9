//! Where configuration and flags come from, and how fresh they are.

pub mod environment;
mod feed;
pub mod file;
mod metrics;
mod servers;
mod status;
pub mod unleash;

pub use feed::refreshed::{RefreshError, Refreshed};
pub use feed::stored_sets::StoredSets;
pub use servers::{FlagServers, FlagServersSetup};
pub use status::{FeedMode, ServerFacts, SourceStatus, SourceStatuses, Stage};

pub use crate::engine::origin::FILE;
