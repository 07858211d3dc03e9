//! `registry`.

use super::unstated;
use crate::config::keys::REGISTRY;
use crate::config::keys::registry as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::{LeaseTimes, RegistryConfig};

/// Compiles `registry`.
pub fn compile(reader: &mut Reader, root: &Node) -> RegistryConfig {
    let ttl = keys::TTL.node(REGISTRY.node(root));
    let times = LeaseTimes {
        default: keys::DEFAULT.read(reader, ttl),
        max: keys::MAX.read(reader, ttl),
    };
    if times.default > times.max
        && let Some(ttl) = ttl
    {
        reader
            .problems
            .error(ttl.span, "`default` is longer than `max`")
            .hint("a registration that says no TTL must be one that may be asked for");
    }
    RegistryConfig { ttl: times }
}

impl Default for LeaseTimes {
    fn default() -> Self {
        unstated(compile).ttl
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, LeaseTimes, OnUnset, compile};
    use crate::context::Moment;

    struct Empty;

    impl Environment for Empty {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }

        fn file(&self, _: &str) -> Result<String, String> {
            Err("no files".to_owned())
        }
    }

    fn compiled(registry: &str) -> Result<Config, String> {
        let text = format!(
            "services: {{ s: 'http://s:1' }}\nroutes: [{{ path: /, service: s }}]\n{registry}"
        );
        let now = Moment { unix_ms: 0 };
        compile(&text, &Empty, OnUnset::StandIn, now).map_err(|found| format!("{found:?}"))
    }

    #[test]
    fn a_lease_lasts_fifteen_minutes_and_at_most_seven_days_unless_the_file_says_otherwise() {
        let times = |registry| compiled(registry).map(|config| config.registry.ttl);
        assert_eq!(times(""), Ok(LeaseTimes::default()));
        let own = times("registry: { ttl: { default: 1m, max: 1h } }").unwrap();
        assert_eq!((own.default.as_secs(), own.max.as_secs()), (60, 3600));
        let error = times("registry: { ttl: { max: 1m } }").unwrap_err();
        assert!(error.contains("`default` is longer than `max`"), "{error}");
    }
}
