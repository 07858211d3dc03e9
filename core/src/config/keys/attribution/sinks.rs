//! The keys of `attribution.sinks` and `attribution.spool`.

use std::path::PathBuf;
use std::sync::Arc;

use super::USER_FORMS;
use crate::config::attribution::UserForm;
use crate::config::attribution::sinks::{FileFormat, MixpanelRegion, WebhookFormat};
use crate::config::flag_server::ServerUrl;
use crate::config::keys::key::{Group, Setting, Stated, group, needed, required, setting, stated};
use crate::config::keys::kinds::Integer;
use crate::config::keys::kinds::integer;
use crate::config::keys::kinds::quantities::{Size, Time, days, minutes, size};
use crate::config::keys::kinds::texts::{Name, Parsed, Text, name};
use crate::config::keys::kinds::words::Words;
use crate::config::keys::shape::{Scope, Shape, list, map};
use crate::config::value;

pub(crate) static SINKS: Group = group(
    "sinks",
    "Where exposures go: each sink has its own pace, and none holds back another; default nowhere.",
    &list(&SINK),
)
.within(Scope::Process);

static SINK: Shape = map(&[&NAME, &FILE, &MIXPANEL, &WEBHOOK, &USERS]);

pub(crate) static NAME: Stated<Parsed<Arc<str>>> = required(
    "name",
    "What it is called in metrics, status and the spool; another name begins with all that is spooled.",
    Parsed {
        what: "a name for a sink",
        stand_in: "sink",
        parse: value::app_name,
    },
);

pub(crate) static USERS: Stated<&Words<UserForm>> = stated(
    "users",
    "How users appear there: hash or plain; default as exposures say.",
    &USER_FORMS,
);

pub(crate) static FILE: Group = group(
    "file",
    "Files of JSON, an exposure a line.",
    &map(&[&PATH, &ROTATE, &KEEP, &FILE_FORMAT]),
);

pub(crate) static PATH: Stated<Name<PathBuf>> = required(
    "path",
    "The folder, which is this sink's alone: exposures.ndjson is written to, files with a time in their names are closed.",
    name(),
);

pub(crate) static ROTATE: Setting<Size<usize>> = setting(
    "rotate",
    "After how much a file is closed; default {default}.",
    size(64 << 10, 64 << 30),
    128 << 20,
);

pub(crate) static KEEP: Setting<Time> = setting(
    "keep",
    "How long closed files are kept; default {default}.",
    Time::Interval(minutes(1)),
    days(30),
);

pub(crate) static FILE_FORMAT: Setting<&Words<FileFormat>> = setting(
    "format",
    "exposures (default); assignments adds subject_key, timestamp, experiment_id and variant_id.",
    &FILE_FORMATS,
    FileFormat::Exposures,
);

static FILE_FORMATS: Words<FileFormat> = Words(&[
    ("exposures", FileFormat::Exposures),
    ("assignments", FileFormat::Assignments),
]);

pub(crate) static MIXPANEL: Group = group(
    "mixpanel",
    "A project of Mixpanel, by its import API.",
    &map(&[&PROJECT_ID, &SERVICE_ACCOUNT, &REGION, &API_URL]),
);

pub(crate) static PROJECT_ID: Stated<Integer<u32>> =
    required("project_id", "The project's number.", integer(1, u32::MAX));

pub(crate) static SERVICE_ACCOUNT: Group = needed(group(
    "service_account",
    "Who may import there.",
    &map(&[&ACCOUNT_USER, &ACCOUNT_SECRET]),
));

pub(crate) static ACCOUNT_USER: Stated<Text> =
    required("user", "The service account's user name.", Text);

// Read by its section: nothing of a secret is shown, not even of one that is none.
pub(crate) static ACCOUNT_SECRET: Stated<Text> = required(
    "secret",
    "The service account's secret: write ${MIXPANEL_SECRET}.",
    Text,
);

pub(crate) static REGION: Setting<&Words<MixpanelRegion>> = setting(
    "region",
    "Where the project has its data: us (default), eu or in.",
    &REGIONS,
    MixpanelRegion::Us,
);

static REGIONS: Words<MixpanelRegion> = Words(&[
    ("us", MixpanelRegion::Us),
    ("eu", MixpanelRegion::Eu),
    ("in", MixpanelRegion::In),
]);

pub(crate) static API_URL: Stated<Parsed<ServerUrl>> = stated(
    "url",
    "Where the API is, in place of region.",
    Parsed {
        what: "the URL of an API",
        stand_in: "http://placeholder.invalid",
        parse: sink_url,
    },
);

pub(crate) static WEBHOOK: Group = group(
    "webhook",
    "Whatever takes a POST.",
    &map(&[&HOOK_URL, &HOOK_SECRET, &HOOK_FORMAT]),
);

pub(crate) static HOOK_URL: Stated<Parsed<ServerUrl>> = required(
    "url",
    "What is posted to.",
    Parsed {
        what: "the URL of a webhook",
        stand_in: "http://placeholder.invalid",
        parse: sink_url,
    },
);

// Read by its section, too.
pub(crate) static HOOK_SECRET: Stated<Text> = stated(
    "secret",
    "Signs requests as Standard Webhooks say; with `format: segment` the write key: write ${HOOK_SECRET}; default none.",
    Text,
);

pub(crate) static HOOK_FORMAT: Setting<&Words<WebhookFormat>> = setting(
    "format",
    "cloudevents (default): a batch of CloudEvents; segment: a batch as Segment takes it.",
    &HOOK_FORMATS,
    WebhookFormat::CloudEvents,
);

static HOOK_FORMATS: Words<WebhookFormat> = Words(&[
    ("cloudevents", WebhookFormat::CloudEvents),
    ("segment", WebhookFormat::Segment),
]);

pub(crate) static SPOOL: Group = group(
    "spool",
    "What waits for sinks, in server.state_dir.",
    &map(&[&MAX_BYTES, &MAX_AGE]),
)
.within(Scope::Process);

pub(crate) static MAX_BYTES: Setting<Size<usize>> = setting(
    "max_bytes",
    "How much may wait, the oldest is dropped beyond it; default {default}.",
    size(1 << 20, 1 << 40),
    1 << 30,
);

pub(crate) static MAX_AGE: Setting<Time> = setting(
    "max_age",
    "How long a sink may take; default {default}.",
    Time::Interval(minutes(1)),
    days(7),
);

/// Reads a sink's URL.
fn sink_url(text: &str) -> Result<ServerUrl, String> {
    let form = "http:// or https://, a host, and perhaps a port and a path, as in https://hooks.example.com/serin";
    // A path's last slash would be lost.
    let path = text
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'));
    if path.is_some_and(|(_, path)| path.ends_with('/')) {
        return Err("without the slash at its end".to_owned());
    }
    ServerUrl::parse(text).map_err(|_| format!("{form}; no user and no query"))
}
