//! What of `attribution` takes a restart, for people. Of keys and secrets nothing is shown.

use super::or_none;
use crate::config::attribution::sinks::{SinkConfig, SpoolConfig};
use crate::config::attribution::{AttributionConfig, Control, ExposuresConfig, UserForm};

/// Each key, with what runs and what the file asks for.
pub(super) fn told(
    running: &AttributionConfig,
    wanted: &AttributionConfig,
) -> [(&'static str, String, String); 4] {
    let exposures = |config: &AttributionConfig| config.exposures.as_ref().map(recorded);
    let shown = |config| or_none(exposures(config).unwrap_or_default());
    let key = |config: &AttributionConfig| config.exposures.as_ref().map(|it| it.key.clone());
    let same = "the one it was started with".to_owned();
    let other = match key(running) == key(wanted) {
        true => same.clone(),
        false => "another one".to_owned(),
    };
    let changed = |sink: &&SinkConfig| !running.sinks.contains(sink);
    let sinks = |config: &AttributionConfig| {
        let names = config.sinks.iter().map(|sink| match changed(&sink) {
            true => format!("{} (changed)", sink.name),
            false => sink.name.to_string(),
        });
        or_none(names.collect::<Vec<_>>().join(", "))
    };
    [
        ("attribution.exposures", shown(running), shown(wanted)),
        ("attribution.exposures.key", same, other),
        ("attribution.sinks", sinks(running), sinks(wanted)),
        (
            "attribution.spool",
            spool(running.spool),
            spool(wanted.spool),
        ),
    ]
}

fn spool(config: SpoolConfig) -> String {
    let SpoolConfig { max_bytes, max_age } = config;
    format!("max_bytes {max_bytes}, max_age {max_age:?}")
}

/// What is recorded; of the key nothing is shown.
fn recorded(exposures: &ExposuresConfig) -> String {
    let users = match exposures.users {
        UserForm::Hash => "hash",
        UserForm::Plain => "plain",
    };
    let control = match exposures.control {
        Control::Matched => "matched",
        Control::All => "all",
        Control::None => "none",
    };
    let anonymous = exposures.anonymous;
    let properties = or_none(exposures.properties.join(", "));
    format!("users {users}, anonymous {anonymous}, control {control}, properties {properties}")
}
