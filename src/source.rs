//! Where configuration and flags come from, and how fresh they are.

pub mod environment;
mod feed;
pub mod file;
pub mod key_sets;
mod metrics;
mod servers;
mod status;
pub mod unleash;

pub(crate) mod http {
    //! HTTP to other servers, bounded in time and size.

    pub(crate) use super::feed::backoff::Backoff;
    pub(crate) use super::feed::flag_server::FetchError;
    pub(crate) use super::feed::http::{HttpClient, retry_after, whole, words};
}

pub use feed::refreshed::{RefreshError, Refreshed};
pub use feed::stored_sets::StoredSets;
pub use servers::{FlagServers, FlagServersSetup};
pub use status::{FeedMode, ServerFacts, SourceStatus, SourceStatuses, Stage};

pub use crate::engine::origin::FILE;
