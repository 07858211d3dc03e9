//! One JSON object a line on standard output for the requests that `logging.access` wants to see.
//!
//! The request path decides whether a line is wanted, copies what the line needs and goes on. A thread of its own formats
//! and writes; when it cannot keep up, the request path drops lines and counts them.

pub mod key;
mod line;
mod metrics;

use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::config::AccessPolicy;
use crate::digest::mix;
use crate::meter::Counter;
use crate::record::Outcome;
use line::LogLine;

/// How many lines may wait for the writer.
const QUEUE: usize = 8_192;
/// How much is written at once, at most.
const CHUNK: usize = 64 * 1024;

/// The access log's near end. Cloned into every worker.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    dropped: Arc<Counter>,
}

#[derive(Debug)]
enum Message {
    LogLine(Box<LogLine>),
    /// Everything before this is to be written now.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Starts the writer. It ends when every clone of this is gone.
    pub fn start(output: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE);
        let dropped = Arc::new(Counter::default());
        let lost = dropped.clone();
        std::thread::Builder::new()
            .name("serin-access".to_owned())
            .spawn(move || write_all(&entries, output, &lost))?;
        Ok(Self { queue, dropped })
    }

    /// Whether the snapshot that decided a request wants it logged. The caller asks once for each request, since
    /// samples are drawn by chance.
    pub fn picks(&self, outcome: &Outcome<'_>) -> bool {
        let share = match outcome.snapshot.logging.access {
            AccessPolicy::Off => return false,
            AccessPolicy::All => return true,
            AccessPolicy::Sampled(share) => share,
        };
        outcome.is_always_told() || chance() < u64::from(share.hundredths())
    }

    /// Logs a request that was picked. Never waits.
    pub fn offer(&self, outcome: &Outcome<'_>) {
        let entry = Message::LogLine(Box::new(LogLine::new(outcome)));
        if self.queue.try_send(entry).is_err() {
            self.dropped.inc();
        }
    }

    /// How many lines were lost.
    pub fn dropped(&self) -> &Counter {
        &self.dropped
    }

    /// Waits until everything offered so far is written, but no longer than `within`. Blocks.
    pub fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        // Traffic has ended when the gateway calls this, so that waiting for a place in the queue delays no request.
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// A fast, non-cryptographic random number below 10,000 (splitmix64).
fn chance() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(rand::random());
    }
    STATE.with(|state| {
        let next = state.get();
        state.set(next.wrapping_add(0x9e37_79b9_7f4a_7c15));
        mix(next) % 10_000
    })
}

/// Writes in as large pieces as there is to write, and waits with nothing unwritten.
fn write_all(entries: &Receiver<Message>, mut output: impl Write, lost: &Counter) {
    let mut buffer = Vec::with_capacity(CHUNK);
    let mut lines: u64 = 0;
    while let Ok(message) = entries.recv() {
        let mut next = Some(message);
        let mut waiting = Vec::new();
        while let Some(message) = next.take() {
            match message {
                Message::LogLine(entry) => {
                    entry.write(&mut buffer);
                    lines += 1;
                }
                Message::Flush(done) => waiting.push(done),
            }
            if buffer.len() < CHUNK && waiting.is_empty() {
                next = entries.try_recv().ok();
            }
        }
        let written = output.write_all(&buffer).and_then(|()| output.flush());
        if written.is_err() {
            // The reader has gone; traffic goes on.
            lost.add(lines);
        }
        buffer.clear();
        lines = 0;
        for done in waiting {
            let _ = done.try_send(());
        }
    }
}

#[cfg(test)]
mod tests;
