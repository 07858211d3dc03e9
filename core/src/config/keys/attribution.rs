//! The keys of `attribution`.

use super::key::{Setting, later, setting};
use super::kinds::words::Words;
use super::shape::{Shape, map};
use crate::config::attribution::Lanes;

pub(super) static ATTRIBUTION: Shape = map(&[
    &LANES,
    &later("receipts"),
    &later("exposures"),
    &later("sinks"),
    &later("spool"),
    &later("relay"),
]);

pub(crate) static LANES: Setting<&Words<Lanes>> = setting(
    "lanes",
    "Whether a request follows the deployment that a trusted proxy's baggage names: follow (default) or ignore.",
    &LANES_WORDS,
    Lanes::Follow,
);

static LANES_WORDS: Words<Lanes> = Words(&[("follow", Lanes::Follow), ("ignore", Lanes::Ignore)]);
