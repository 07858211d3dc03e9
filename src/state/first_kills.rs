//! An entry of the list that the first form of `kills.json` has.

use serde_json::{Map, Value};

/// The record that an entry is in the present form, and its key; an error has the service, if that much can be read.
pub(super) fn record(entry: Value) -> Result<(String, Value), Option<String>> {
    let text = |members: &Map<String, Value>, name: &str| {
        let text = members.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let Value::Object(members) = entry else {
        return Err(None);
    };
    let service = text(&members, "service");
    match (service, text(&members, "flag")) {
        (Some(service), Some(flag)) => Ok((format!("{service}/{flag}"), Value::Object(members))),
        (service, _) => Err(service),
    }
}
