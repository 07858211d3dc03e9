//! What is counted of the client API.

use std::sync::atomic::{AtomicU64, Ordering};

use super::endpoint::Endpoint;
use crate::meter::Counter;

/// The statuses that are ever answered; the last place is for any other.
const STATUSES: [u16; 15] = [
    200, 202, 204, 304, 400, 401, 403, 404, 405, 408, 413, 429, 500, 503, 0,
];

/// What is counted of the client API.
#[derive(Debug, Default)]
pub struct Figures {
    answers: [[AtomicU64; STATUSES.len()]; Endpoint::ALL.len()],
    /// Requests whose client named another user than they themselves did.
    pub disagreements: Counter,
}

impl Figures {
    /// Counts an answer.
    pub fn count(&self, endpoint: Endpoint, status: u16) {
        let known = STATUSES.iter().position(|known| *known == status);
        let place = known.unwrap_or(STATUSES.len() - 1);
        if let Some(count) = self
            .answers
            .get(endpoint.index())
            .and_then(|answers| answers.get(place))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every count that is not 0, by endpoint and status.
    pub fn counts(&self) -> impl Iterator<Item = (Endpoint, u16, u64)> {
        let endpoints = Endpoint::ALL.into_iter().zip(&self.answers);
        endpoints.flat_map(|(endpoint, answers)| {
            let counts = STATUSES.into_iter().zip(answers);
            counts
                .map(move |(status, count)| (endpoint, status, count.load(Ordering::Relaxed)))
                .filter(|(_, _, count)| *count > 0)
        })
    }
}
