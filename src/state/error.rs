//! Why something was not stored.

use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Why something was not stored. Nothing has changed then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A record is not what its write expects: somebody else was faster. Its key.
    #[error("`{0}` was changed meanwhile: read it again, then decide again")]
    Changed(String),
    /// There is no room for it.
    #[error("there is no room in state_dir: {0}")]
    Full(Arc<io::Error>),
    /// The file cannot be written.
    #[error("state_dir cannot be written: {0}")]
    Unwritable(Arc<io::Error>),
    /// What gateways share cannot be reached.
    #[error("the store that gateways share cannot be reached: try again")]
    Unreachable,
    /// The store has come to its end, and with it the process.
    #[error("the store has ended: the gateway stops")]
    Stopped,
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full(Arc::new(error))
            }
            _ => Self::Unwritable(Arc::new(error)),
        }
    }
}
