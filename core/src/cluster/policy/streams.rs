//! What becomes of requests that run on a canary when its users leave it.

use std::time::Duration;

use crate::canary::Leave;

/// How long, at most, a killed canary's requests go on, whatever is stated.
const KILLED_WITHIN: Duration = Duration::from_secs(30);

/// What becomes of streams (WebSockets, events, gRPC, answers that never end) on a canary that their users leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPolicy {
    /// Whether they go on.
    pub on_leave: OnLeave,
    /// If not, until when the last of them has ended.
    pub within: Duration,
}

/// What becomes of a stream whose user leaves the canary that it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLeave {
    /// It goes on to its own end, unless the canary is killed.
    Keep,
    /// It is closed, so that its client comes back, to where it is meant to be now.
    Close,
}

impl StreamPolicy {
    /// Until when, from the moment that users leave for this reason, their requests must have ended; `None`: they end by
    /// themselves.
    pub fn window(&self, why: Leave) -> Option<Duration> {
        match (self.on_leave, why) {
            (OnLeave::Close, Leave::Killed) => Some(self.within.min(KILLED_WITHIN)),
            (OnLeave::Keep, Leave::Killed) => Some(KILLED_WITHIN),
            (OnLeave::Close, Leave::LeaseOver | Leave::Moved) => Some(self.within),
            (OnLeave::Keep, Leave::LeaseOver | Leave::Moved) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{OnLeave, StreamPolicy};
    use crate::canary::Leave;

    #[test]
    fn a_kill_ends_every_stream_and_the_rest_is_the_services_choice() {
        let windows = |on_leave, seconds| {
            let policy = StreamPolicy {
                on_leave,
                within: Duration::from_secs(seconds),
            };
            [Leave::Killed, Leave::LeaseOver, Leave::Moved]
                .map(|why| policy.window(why).map(|window| window.as_secs()))
        };
        assert_eq!(windows(OnLeave::Keep, 5), [Some(30), None, None]);
        assert_eq!(windows(OnLeave::Close, 5), [Some(5); 3]);
        assert_eq!(
            windows(OnLeave::Close, 300),
            [Some(30), Some(300), Some(300)]
        );
    }
}
