//! The keys of `tracing`.

use super::key::{Group, Setting, Stated, group, required, setting};
use super::kinds::texts::Parsed;
use super::kinds::{Percentage, percent};
use super::shape::{Shape, TEXT, map, names};
use crate::config::flag_server::ServerUrl;
use crate::config::traces::collector_url;
use crate::flag::Share;

pub(super) static TRACING: Shape = map(&[&OTLP, &SAMPLE, &HEADERS]);

pub(crate) static OTLP: Stated<Parsed<ServerUrl>> = required(
    "otlp",
    "The collector, which takes OTLP over HTTP; /v1/traces is appended, as in http://otel:4318.",
    Parsed {
        what: "the URL of a collector",
        stand_in: "http://placeholder.invalid",
        parse: collector_url,
    },
);

pub(crate) static SAMPLE: Setting<Percentage> = setting(
    "sample",
    "How many requests are told that no trusted proxy has chosen; default {default}. 5xx and rescues always are.",
    Percentage,
    SAMPLE_DEFAULT,
);

const SAMPLE_DEFAULT: Share = percent(1);

// Read by its section: nothing of a value is shown, which may be a secret.
pub(crate) static HEADERS: Group = group(
    "headers",
    "What each request to the collector has, by names of header fields; secrets: write ${OTEL_TOKEN}; default none.",
    &names(&TEXT),
);
