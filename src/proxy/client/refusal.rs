//! What becomes of bytes that never became a request: they are too many, too slow, or nothing that can be read.

use std::sync::atomic::Ordering;

use http::StatusCode;

use super::{ClientConnection, SENDS_HEAD};

impl ClientConnection {
    /// Whether no more of a head is to be read: more bytes have come than it may have, and it is not over yet. One
    /// that is, is measured when it has been parsed.
    pub(super) fn refuses_more(&self) -> bool {
        if self.phase.load(Ordering::Relaxed) != SENDS_HEAD {
            return false;
        }
        let most = self.store.peek().traffic.request.header_bytes;
        let refuses = self.head_bytes.load(Ordering::Relaxed) > most;
        if refuses {
            self.refused.store(true, Ordering::Relaxed);
        }
        refuses
    }

    /// Notes the answer to bytes that never became a request, in the words of whoever could not read them. Whether it is one:
    /// then its client gets that status in Serin's own words, which do not name what reads here.
    pub(super) fn is_unreadable(&self, answer: &[u8]) -> bool {
        if self.phase.load(Ordering::Relaxed) != SENDS_HEAD {
            return false;
        }
        if self.unreadable.load(Ordering::Relaxed) == 0 {
            let digits = answer
                .strip_prefix(b"HTTP/1.1 ")
                .and_then(|rest| rest.get(..3));
            let status = digits.and_then(|digits| StatusCode::from_bytes(digits).ok());
            let status = status.unwrap_or(StatusCode::BAD_REQUEST);
            self.unreadable.store(status.as_u16(), Ordering::Relaxed);
        }
        true
    }

    /// What a head is to be refused with that was cut off before its end, or could not be read.
    pub(super) fn refusal(&self) -> Option<StatusCode> {
        if self.phase.load(Ordering::Relaxed) != SENDS_HEAD {
            None
        } else if self.refused.load(Ordering::Relaxed) {
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        } else {
            let unreadable = self.unreadable.load(Ordering::Relaxed);
            let overdue = self.deadline.is_expired();
            StatusCode::from_u16(unreadable)
                .ok()
                .or_else(|| overdue.then_some(StatusCode::REQUEST_TIMEOUT))
        }
    }
}
