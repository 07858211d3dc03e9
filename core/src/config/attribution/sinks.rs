//! Where exposures go, and how many wait for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::UserForm;
use crate::config::flag_server::{Secret, ServerUrl};

/// `attribution.spool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// How much it holds; the oldest is dropped beyond it.
    pub max_bytes: u64,
    /// How long it holds what a sink has not taken.
    pub max_age: Duration,
}

/// One entry of `attribution.sinks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// What it is called.
    pub name: Arc<str>,
    /// How users appear there; `None`: as `exposures` says.
    pub users: Option<UserForm>,
    /// What it is.
    pub product: SinkProduct,
}

/// What a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkProduct {
    /// Files of lines.
    File(FileSink),
    /// Mixpanel.
    Mixpanel(MixpanelSink),
    /// Whatever takes a POST.
    Webhook(WebhookSink),
}

/// `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    /// The folder.
    pub path: PathBuf,
    /// After how many bytes a file is closed.
    pub rotate: u64,
    /// How long closed files are kept.
    pub keep: Duration,
    /// What a line is.
    pub format: FileFormat,
}

/// What a line of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// An exposure.
    Exposures,
    /// An exposure with the columns that assignment tables have.
    Assignments,
}

/// `mixpanel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixpanelSink {
    /// Where its API is.
    pub url: ServerUrl,
    /// The project's number.
    pub project_id: u32,
    /// The service account's user name.
    pub user: Box<str>,
    /// The service account's secret.
    pub secret: Secret,
}

/// Where a project of Mixpanel has its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MixpanelRegion {
    /// The United States.
    Us,
    /// The European Union.
    Eu,
    /// India.
    In,
}

impl MixpanelRegion {
    /// Where its API is.
    pub fn api(self) -> &'static str {
        match self {
            Self::Us => "https://api.mixpanel.com",
            Self::Eu => "https://api-eu.mixpanel.com",
            Self::In => "https://api-in.mixpanel.com",
        }
    }
}

/// `webhook`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSink {
    /// What is posted to.
    pub url: ServerUrl,
    /// What requests are signed with, or Segment's write key.
    pub secret: Option<Secret>,
    /// What is posted.
    pub format: WebhookFormat,
}

/// What a webhook is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    /// A batch of CloudEvents.
    CloudEvents,
    /// A batch of Segment's events.
    Segment,
}
