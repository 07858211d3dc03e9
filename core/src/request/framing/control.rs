//! How many of HTTP/2's frames a client sends that carry nothing of a request: each of them costs work, and none of them
//! costs the client an answer that it would have to take.

use std::time::{Duration, Instant};

/// How many such frames one connection may send in [`PERIOD`].
pub const MOST: u32 = 1_000;

/// In how long.
pub const PERIOD: Duration = Duration::from_secs(10);

/// How many bytes must have been written to the client for each PING that is taken for a measurement: clients of gRPC send
/// one with each message that they get, to learn how much the network carries. Its acknowledgement is 17 of these bytes.
const WRITTEN_FOR_PING: u64 = 32;

/// Frames that carry nothing of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlFrames {
    /// PING.
    pub pings: u32,
    /// SETTINGS that acknowledge nothing, PRIORITY, RST_STREAM, and DATA and CONTINUATION that are empty and end nothing.
    pub others: u32,
}

/// What one connection has sent of them lately.
#[derive(Clone, Copy, Debug)]
pub struct ControlMeter {
    begun: Instant,
    frames: ControlFrames,
    /// Bytes that had been written to the client when the period began.
    written: u64,
}

impl ControlMeter {
    /// For a connection that begins now.
    pub fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            frames: ControlFrames::default(),
            written: 0,
        }
    }

    /// Counts frames that have come; `written` is how many bytes the client has been written since its connection began. Answers
    /// whether they are too many.
    pub fn is_too_much(&mut self, came: ControlFrames, written: u64, now: Instant) -> bool {
        if now.saturating_duration_since(self.begun) >= PERIOD {
            *self = Self {
                begun: now,
                frames: ControlFrames::default(),
                written,
            };
        }
        self.frames.pings = self.frames.pings.saturating_add(came.pings);
        self.frames.others = self.frames.others.saturating_add(came.others);
        let measurements = written.saturating_sub(self.written) / WRITTEN_FOR_PING;
        let pings = u64::from(self.frames.pings);
        let counted = match pings <= measurements {
            true => 0,
            false => pings,
        };
        counted + u64::from(self.frames.others) > u64::from(MOST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{ControlFrames, ControlMeter, MOST, PERIOD};

    fn frames(pings: u32, others: u32) -> ControlFrames {
        ControlFrames { pings, others }
    }

    #[test]
    fn a_thousand_pass_in_ten_seconds_and_no_more() {
        let start = Instant::now();
        for kind in [frames(1, 0), frames(0, 1)] {
            let mut meter = ControlMeter::begin(start);
            // Each PING is acknowledged.
            let mut written = 0;
            for _ in 0..MOST {
                assert!(!meter.is_too_much(kind, written, start));
                written += 17;
            }
            assert!(meter.is_too_much(kind, written, start + PERIOD / 2));
            // What was long ago is forgotten.
            assert!(!meter.is_too_much(kind, written, start + PERIOD));
        }
        let mut meter = ControlMeter::begin(start);
        assert!(!meter.is_too_much(frames(500, 500), 0, start));
        assert!(meter.is_too_much(frames(0, 1), 0, start));
    }

    #[test]
    fn pings_that_go_with_what_the_client_gets_measure_the_network() {
        let start = Instant::now();
        let mut meter = ControlMeter::begin(start);
        let mut written = 0;
        for _ in 0..20_000 {
            // A message of some bytes in a frame of its own, and the acknowledgement of the PING for it.
            written += 9 + 5 + 4 + 17;
            assert!(!meter.is_too_much(frames(1, 0), written, start));
        }
        // What it was written before says nothing of what comes now.
        let later = start + PERIOD;
        assert!(!meter.is_too_much(frames(0, 0), written, later));
        assert!(meter.is_too_much(frames(MOST + 1, 0), written, later));
    }
}
