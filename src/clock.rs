//! The one place where the calendar is read; everything below takes the moment as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::context::Moment;

/// Now.
pub fn now() -> Moment {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment {
        unix_ms: i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX),
    }
}
