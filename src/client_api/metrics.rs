//! The figures of the client API.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ClientApi;
use super::endpoint::Endpoint;
use crate::meter::Counter;
use crate::telemetry::metrics::{Collector, Page};

/// Every status that the client API answers with. The last place counts any other.
const STATUSES: [u16; 15] = [
    200, 202, 204, 304, 400, 401, 403, 404, 405, 408, 413, 429, 500, 503, 0,
];

/// What the client API counts.
#[derive(Debug, Default)]
pub struct ApiMetrics {
    replies: [[AtomicU64; STATUSES.len()]; Endpoint::ALL.len()],
    /// Requests whose client named another user than the request's own identity.
    pub disagreements: Counter,
}

impl ApiMetrics {
    /// Counts a reply.
    pub fn count(&self, endpoint: Endpoint, status: u16) {
        let known = STATUSES.iter().position(|known| *known == status);
        let place = known.unwrap_or(STATUSES.len() - 1);
        if let Some(count) = self
            .replies
            .get(endpoint.index())
            .and_then(|replies| replies.get(place))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every count that is not 0, by endpoint and status.
    fn counts(&self) -> impl Iterator<Item = (Endpoint, u16, u64)> {
        let endpoints = Endpoint::ALL.into_iter().zip(&self.replies);
        endpoints.flat_map(|(endpoint, replies)| {
            let counts = STATUSES.into_iter().zip(replies);
            counts
                .map(move |(status, count)| (endpoint, status, count.load(Ordering::Relaxed)))
                .filter(|(_, _, count)| *count > 0)
        })
    }
}

impl Collector for ClientApi {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.counters(
            "serin_client_api_requests",
            "Requests of the client API, by endpoint and status",
        )?;
        for (endpoint, code, count) in self.metrics.counts() {
            let labels = [("endpoint", endpoint.as_str()), ("code", &code.to_string())];
            family.write(labels, count)?;
        }
        page.counter(
            "serin_client_api_disagreements",
            "Requests of the client API whose client named another user than they did themselves",
            &self.metrics.disagreements.get(),
        )?;
        page.gauge(
            "serin_client_api_streams",
            "Clients that are told of changes as they happen",
            &i64::try_from(self.open_streams()).unwrap_or(i64::MAX),
        )
    }
}
