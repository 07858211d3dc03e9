//! Why the file is reloaded, and what that comes to.

use std::sync::Arc;

use crate::config::diagnostic::Findings;
use crate::context::Moment;
use crate::digest::Digest;
use crate::publisher::Stopped;

/// Why the file is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadTrigger {
    /// It changed.
    Changed,
    /// SIGHUP.
    Signal,
    /// `POST /api/v1/reload`.
    Api,
}

impl ReloadFailure {
    /// The name that the API and the audit trail carry.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Unreadable(_) => "unreadable",
            Self::Failed(_) => "failed",
            Self::Stopped(_) => "stopped",
        }
    }
}

impl ReloadTrigger {
    /// The name that logs and the API carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Signal => "signal",
            Self::Api => "api",
        }
    }
}

/// A reload that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    /// The generation that runs now.
    pub generation: u64,
    /// Its content's hash.
    pub digest: Digest,
    /// Whether anything changed.
    pub is_new: bool,
    /// What in the file differs from what the process was started with, and takes a restart.
    pub restart_needed: Vec<String>,
}

/// A reload that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadFailure {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// The file cannot be used.
    #[error("the file has errors; what runs stays")]
    Invalid(Findings),
    /// No snapshot could be made of it.
    #[error("no snapshot could be made of the file: {0}; what runs stays")]
    Failed(Arc<str>),
    /// The process ends.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The last reload, or the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastReload {
    /// When.
    pub at: Moment,
    /// Why; `None`: the start.
    pub cause: Option<ReloadTrigger>,
    /// How it ended.
    pub result: Result<(), ReloadFailure>,
}
