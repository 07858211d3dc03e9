use serde_json::Value;

use super::write;
use crate::engine::{Flag, Origin};
use crate::snapshot::fixture::{everyone, flag, ring, service, snapshot};

/// A flag for half of all users.
fn half(name: &str, origin: Origin) -> Flag {
    Flag {
        origin,
        ..flag(name, vec![ring("half", everyone(), "50%")])
    }
}

#[test]
fn only_what_unleashs_sdks_bucket_alike_is_handed_to_them() {
    let snapshot = snapshot(
        vec![service("search", &["search.*"])],
        vec![
            half("search.local", Origin::Local),
            half("search.rules", Origin::LaunchDarkly("launchdarkly".into())),
        ],
    );
    for inline in [false, true] {
        let document: Value =
            serde_json::from_slice(&write(&snapshot, inline).body).expect("a document");
        let features = document["features"].as_array().expect("features");
        let names: Vec<_> = features.iter().map(|feature| &feature["name"]).collect();
        assert_eq!(names, ["search.local"]);
        assert_eq!(
            document["meta"]["leftOut"],
            serde_json::json!(["search.rules"])
        );
    }
}
