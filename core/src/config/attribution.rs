//! `attribution`: who was really served by what, told to those who analyse.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::flag_server::Secret;

/// `attribution`, but for its lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributionConfig {
    /// `attribution.receipts`; `None`: there are none.
    pub receipts: Option<ReceiptsConfig>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptKey {
    /// A secret.
    Secret(Secret),
    /// A file with an Ed25519 key in PEM.
    PrivateKey(PathBuf),
}

/// Whether a request goes where a gateway before this one has sent its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lanes {
    /// Where a trusted proxy's baggage says so.
    #[default]
    Follow,
    /// Never.
    Ignore,
}
