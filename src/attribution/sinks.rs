//! Where exposures go. The next product is one file here: a [`Sink`] and its line in [`open`].

mod file;
mod http;
mod mixpanel;
mod webhook;

use std::io;
use std::time::Duration;

use async_trait::async_trait;

use super::document::ExposureDocument;
use crate::config::attribution::sinks::{SinkConfig, SinkProduct};

/// How large a batch may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// How many exposures.
    pub(super) records: usize,
    /// How many bytes of exposures as they are spooled; what a sink makes of them may be about twice as long.
    pub(super) bytes: usize,
}

/// What became of a batch. Each asks for another reaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The sink has it, but for these: their places in the batch, and why.
    Taken(Vec<(usize, String)>),
    /// The sink will not have the batch as a whole, and does not say which of it: smaller ones are tried, down to one alone.
    Refused(String),
    /// The batch is too large: smaller ones are tried.
    TooLarge(String),
    /// Not now, perhaps later: after this time at the earliest, if the sink says one.
    Later {
        /// What happened.
        why: String,
        /// When the sink wants to be asked again.
        after: Option<Duration>,
    },
    /// Not before a person has changed something: credentials, or the address.
    Misconfigured(String),
}

/// Takes exposures, batch by batch. It is asked for one thing at a time.
#[async_trait]
pub(super) trait Sink: Send {
    /// What it is, in a word.
    fn product(&self) -> &'static str;

    /// How large a batch may be.
    fn limits(&self) -> BatchLimits;

    /// How long to wait for more after a batch that was not full.
    fn pause(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Takes a batch, in which users are as the sink is to have them. What it has taken is there for good.
    async fn deliver(&mut self, batch: &[ExposureDocument]) -> Answer;

    /// Removes a user from what is this gateway's own of it, in whichever of these forms; returns how many exposures.
    fn forget(&mut self, forms: &[Box<str>]) -> io::Result<u64> {
        let _ = forms;
        Ok(0)
    }
}

/// The sink that the configuration names.
///
/// # Errors
/// When it cannot be set up: the system has no certificates to know servers by.
pub(super) fn open(config: &SinkConfig) -> Result<Box<dyn Sink>, String> {
    let told = |error: io::Error| format!("sink `{}`: {error}", config.name);
    Ok(match &config.product {
        SinkProduct::File(file) => Box::new(file::FileSink::new(file)),
        SinkProduct::Mixpanel(mixpanel) => {
            Box::new(mixpanel::Mixpanel::new(mixpanel).map_err(told)?)
        }
        SinkProduct::Webhook(webhook) => Box::new(webhook::Webhook::new(webhook).map_err(told)?),
    })
}
