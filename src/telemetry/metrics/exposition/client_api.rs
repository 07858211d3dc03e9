//! The figures of the client API.

use std::fmt::Error;

use prometheus_client::encoding::NoLabelSet;

use super::{Page, write_count};
use crate::client_api::ClientApi;

impl Page<'_> {
    pub(super) fn client_api(&mut self, api: &ClientApi) -> Result<(), Error> {
        let mut family = self.counter(
            "serin_client_api_requests",
            "Requests of the client API, by endpoint and status",
        )?;
        for (endpoint, code, count) in api.figures.counts() {
            let labels = [("endpoint", endpoint.as_str()), ("code", &code.to_string())];
            write_count(&mut family, &labels, count)?;
        }
        let mut metric = self.counter(
            "serin_client_api_disagreements",
            "Requests of the client API whose client named another user than they did themselves",
        )?;
        let disagreements = api.figures.disagreements.get();
        metric.encode_counter::<NoLabelSet, u64, u64>(&disagreements, None)?;
        let streams = i64::try_from(api.open_streams()).unwrap_or(i64::MAX);
        self.gauge(
            "serin_client_api_streams",
            "Clients that are told of changes as they happen",
            &streams,
        )
    }
}
