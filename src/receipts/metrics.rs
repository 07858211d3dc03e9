//! The figures of receipts.

use std::fmt;
use std::sync::Arc;

use super::Receipts;
use crate::meter::Counter;
use crate::telemetry::metrics::{Collector, Page};

/// What became of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptResult {
    /// It was sent to a client.
    Sent,
    /// A client showed it, and it is valid.
    Valid,
    /// A client showed it, and nobody with the key has made it.
    Forged,
    /// A client showed it after its time.
    Expired,
    /// A client showed it, and it is of another key or another user.
    Foreign,
}

impl ReceiptResult {
    const ALL: [Self; 5] = [
        Self::Sent,
        Self::Valid,
        Self::Forged,
        Self::Expired,
        Self::Foreign,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Valid => "valid",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
        }
    }
}

/// Receipts by what became of them.
#[derive(Debug, Default)]
pub struct ReceiptCounters([Counter; ReceiptResult::ALL.len()]);

impl ReceiptCounters {
    /// Counts one.
    pub fn count(&self, result: ReceiptResult) {
        if let Some(counter) = self.0.get(result as usize) {
            counter.inc();
        }
    }
}

/// The collector of a gateway's receipts; `None`: there are none.
#[derive(Debug)]
pub struct ReceiptMetrics(pub Option<Arc<Receipts>>);

impl Collector for ReceiptMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.counters(
            "serin_receipts",
            "Receipts that were sent, and what became of those that clients showed",
        )?;
        let counters = self.0.iter().flat_map(|receipts| &receipts.counters.0);
        for (result, count) in ReceiptResult::ALL.into_iter().zip(counters) {
            family.write([("result", result.as_str())], count.get())?;
        }
        Ok(())
    }
}
