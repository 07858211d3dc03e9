//! Where what decides comes from, and how fresh it is.

pub mod environment;
pub mod file;
mod metrics;
mod status;
pub mod unleash;

pub use status::{Mode, ServerFacts, SourceStatus, Sources, Stage};

/// The name of `routes.yaml` among the sources.
pub const FILE: &str = "file";
