//! Copies of requests that a shadow gets: of which requests, what of the answers is compared, and what came of it.

mod member;

use std::sync::Arc;

use http::Method;

use crate::flag::Share;
pub use member::{MemberPath, Step};

/// The header field that tells a shadow that nobody waits for its answer. It is Serin's own: no client's passes, whoever
/// sends it.
pub const HEADER: &str = "x-serin-mirror";

/// `mirror` of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorPolicy {
    /// The deployment of the service that gets the copies: its shadow.
    pub to: Arc<str>,
    /// Of how many requests.
    pub sample: Share,
    /// Of requests by which methods.
    pub methods: Vec<Method>,
    /// Whether its answers are compared with stable's.
    pub compare: bool,
    /// The members of JSON bodies that are left out of that.
    pub ignore: Vec<MemberPath>,
}

/// What came of a request that was to be mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorResult {
    /// The shadow answered as stable did: by status, content type, and JSON or length.
    Same,
    /// The shadow answered otherwise than stable.
    Differs,
    /// The shadow answered, and nothing is known to differ, but bodies were not compared.
    Answered,
    /// The shadow did not answer.
    Failed,
    /// The shadow did not get the request: it had as many as it may have, or was withdrawn meanwhile, or the body was too
    /// large, or did not come whole.
    Dropped,
}

impl MirrorResult {
    /// Every result, in the order of their indices.
    pub const ALL: [Self; 5] = [
        Self::Same,
        Self::Differs,
        Self::Answered,
        Self::Failed,
        Self::Dropped,
    ];

    /// The name that metrics carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}
