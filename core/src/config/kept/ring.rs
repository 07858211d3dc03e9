//! One ring of a kept flag, opened or closed: the rest of the document stays as it was put.

use serde_json::{Value as Json, json};

use crate::config::document::Document;
use crate::flag::Share;

/// What is to be otherwise about a ring; what is not said stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingChange {
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// The percentage.
    pub rollout: Option<Share>,
}

impl Document {
    /// The names of a flag's rings, in their order.
    pub fn ring_names(&self) -> Vec<String> {
        let rings = self.json().get("rings").and_then(Json::as_array);
        let rings = rings.map_or(&[][..], Vec::as_slice);
        rings
            .iter()
            .zip(1..)
            .map(|(ring, number)| name_of(ring, number))
            .collect()
    }

    /// The same flag with one ring changed; `None`: it has no ring of that name.
    pub fn with_ring(&self, name: &str, change: RingChange) -> Option<Self> {
        let place = self.ring_names().iter().position(|known| known == name)?;
        let mut json = self.json().clone();
        let ring = json.get_mut("rings")?.get_mut(place)?.as_object_mut()?;
        if let Some(enabled) = change.enabled {
            ring.insert("enabled".to_owned(), json!(enabled));
        }
        if let Some(rollout) = change.rollout {
            ring.insert("rollout".to_owned(), json!(rollout.to_string()));
        }
        Some(Self::new(json))
    }
}

/// A ring without a name is called by its position, as the reader does.
fn name_of(ring: &Json, number: usize) -> String {
    match ring.get("name") {
        Some(Json::String(name)) => name.clone(),
        None | Some(Json::Null) => format!("ring {number}"),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::RingChange;
    use crate::config::document::Document;

    #[test]
    fn one_ring_is_changed_and_the_rest_is_as_it_was() {
        let document = Document::new(json!({
            "url": "http://x", "rings": [{ "name": "team", "segment": "Team" }, { "rollout": "5%" }, { "name": 7 }],
        }));
        assert_eq!(document.ring_names(), ["team", "ring 2", "7"]);
        let off = RingChange {
            enabled: Some(false),
            rollout: None,
        };
        let wide = RingChange {
            enabled: None,
            rollout: "12.5%".parse().ok(),
        };
        let closed = document.with_ring("team", off).expect("a ring");
        let mut expected = document.json().clone();
        expected["rings"][0]["enabled"] = json!(false);
        assert_eq!(*closed.json(), expected);
        let opened = document.with_ring("ring 2", wide).expect("a ring");
        assert_eq!(opened.json()["rings"][1], json!({ "rollout": "12.5%" }));
        assert!(document.with_ring("ring 1", off).is_none());
        assert!(
            Document::new(json!({ "rings": "x" }))
                .with_ring("x", off)
                .is_none()
        );
    }
}
