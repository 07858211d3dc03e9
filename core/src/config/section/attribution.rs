//! `attribution`.

use crate::config::attribution::AttributionConfig;
use crate::config::keys::ATTRIBUTION;
use crate::config::keys::attribution as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;

/// Compiles `attribution`.
pub fn compile(reader: &mut Reader, root: &Node) -> AttributionConfig {
    let attribution = ATTRIBUTION.node(root);
    AttributionConfig {
        lanes: keys::LANES.read(reader, attribution),
    }
}
