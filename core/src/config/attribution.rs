//! `attribution`: who was really served by what, told to those who analyse.

pub mod sinks;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::flag_server::Secret;
use super::tls::StatedFile;
use sinks::{SinkConfig, SpoolConfig};

/// `attribution`, but for its lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributionConfig {
    /// `attribution.receipts`; `None`: there are none.
    pub receipts: Option<ReceiptsConfig>,
    /// `attribution.exposures`; `None`: none are recorded.
    pub exposures: Option<ExposuresConfig>,
    /// `attribution.sinks`, in file order.
    pub sinks: Vec<SinkConfig>,
    /// `attribution.spool`.
    pub spool: SpoolConfig,
}

/// `attribution.receipts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptsConfig {
    /// What they are signed with.
    pub key: ReceiptKey,
    /// The cookie that they come and go in.
    pub cookie: Option<Box<str>>,
    /// The header field, the same; one of the two there is.
    pub header: Option<HeaderName>,
    /// How long one is valid.
    pub ttl: Duration,
}

/// What receipts are signed with.
#[derive(Clone, Debug)]
pub enum ReceiptKey {
    /// A secret.
    Secret(Secret),
    /// A file with an Ed25519 key in PEM.
    PrivateKey(StatedFile),
}

/// Where the configuration names a file makes no other key.
impl PartialEq for ReceiptKey {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(one), Self::Secret(two)) => one == two,
            (Self::PrivateKey(one), Self::PrivateKey(two)) => one.path == two.path,
            (Self::Secret(_), Self::PrivateKey(_)) | (Self::PrivateKey(_), Self::Secret(_)) => {
                false
            }
        }
    }
}

impl Eq for ReceiptKey {}

/// Whether a request goes where a gateway before this one has sent its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lanes {
    /// Where a trusted proxy's baggage says so.
    #[default]
    Follow,
    /// Never.
    Ignore,
}

/// `attribution.exposures`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposuresConfig {
    /// How users appear where a sink does not say otherwise.
    pub users: UserForm,
    /// What their IDs are hashed under, and what the exposures' own IDs depend on.
    pub key: Option<Secret>,
    /// Whether users without an ID of their own are recorded, by the ID in their cookie.
    pub anonymous: bool,
    /// Which of the users whom a percentage did not choose are recorded.
    pub control: Control,
    /// The properties that are recorded: names of `identity.properties`.
    pub properties: Vec<Arc<str>>,
}

/// How a user appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserForm {
    /// By a keyed hash of the ID.
    Hash,
    /// By the ID itself.
    Plain,
}

/// Which of the users are recorded whom a percentage asked and did not choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// As many as it chose, or all, if there are fewer.
    Matched,
    /// All.
    All,
    /// None.
    None,
}
