//! Snapshots for tests, and short ways to say a flag.
#![expect(
    clippy::expect_used,
    reason = "a fixture that cannot be made fails its test"
)]

use std::sync::Arc;
use std::time::Duration;

use super::Snapshot;
use super::assemble::assemble;
use super::offline::{NoopMeters, Offline};
use crate::cluster::UpstreamUrl;
use crate::cluster::policy::{UpstreamPolicy, UrlPolicy};
use crate::config::admin::AdminConfig;
use crate::config::attribution::{AttributionConfig, Lanes};
use crate::config::flag_server::StalenessPolicy;
use crate::config::{
    AccessPolicy, Config, Level, LogFormat, Logging, Process, RegistryConfig, ServiceConfig,
    Traffic, UserIdPolicy,
};
use crate::context::Field;
use crate::digest::Digest;
use crate::engine::condition::{Condition, Constraint, Operator};
use crate::engine::{Bucketing, CanaryUrl, Flag, Ring, Rollout, Stickiness, Variant, Variants};
use crate::flag::{Glob, Share};
use crate::identity;

/// An upstream URL.
pub fn url(text: &str) -> UpstreamUrl {
    text.parse().expect("an upstream URL")
}

/// The URL of a flag or a variant, allowed.
pub fn canary(text: &str) -> Option<CanaryUrl> {
    Some(CanaryUrl::Allowed(url(text)))
}

/// A service whose stable deployment is called after it.
pub fn service(name: &str, canaries: &[&str]) -> ServiceConfig {
    ServiceConfig {
        name: name.into(),
        stable: Some(url("http://127.0.0.1:8000")),
        canaries: canaries.iter().map(|glob| Glob::new(glob)).collect(),
        upstream: UpstreamPolicy::default(),
        tls_files: Vec::new(),
        shutoff: None,
        mirror: None,
    }
}

/// A flag with a URL and these rings.
pub fn flag(name: &str, rings: Vec<Ring>) -> Flag {
    Flag {
        rings,
        url: canary("http://127.0.0.1:9001"),
        ..Flag::new(name)
    }
}

/// Variants by name, weight and URL.
pub fn variants(list: &[(&str, u32, Option<&str>)]) -> Option<Variants> {
    let variant = |&(name, weight, to): &(&str, u32, Option<&str>)| Variant {
        name: name.into(),
        weight,
        url: to.and_then(canary),
        service: None,
        payload: None,
        nearly: None,
    };
    Variants::new(
        list.iter().map(variant).collect(),
        Bucketing::unleash("group"),
        Stickiness::Default,
    )
}

/// A ring; its percentage is hashed with the group `group`.
pub fn ring(name: &str, condition: Condition, share: &str) -> Ring {
    Ring {
        name: name.into(),
        enabled: true,
        condition,
        rollout: Rollout {
            share: share.parse::<Share>().expect("a share"),
            bucketing: Bucketing::unleash("group"),
            stickiness: Stickiness::Default,
            needs_id: false,
        },
        variants: None,
    }
}

/// A condition of one test.
pub fn when(field: Field, name: &str, operator: &str, values: &[&str]) -> Condition {
    let operator = Operator::from_name(operator).expect("an operator");
    let constraint = Constraint::new(field, name.into(), operator, values, false);
    Condition::Test(constraint.expect("a constraint"))
}

/// The condition that holds for everyone.
pub fn everyone() -> Condition {
    Condition::All(Vec::new())
}

/// A configuration of these services and flags, and nothing else.
pub fn config(services: Vec<ServiceConfig>, flags: Vec<Flag>) -> Config {
    Config {
        key_sets: Vec::new(),
        services,
        flags: flags.into_iter().map(Arc::new).collect(),
        segments: Vec::new(),
        routes: Vec::new(),
        identity: identity::Rules::default(),
        canary_urls: UrlPolicy::nothing(),
        unleash: Vec::new(),
        outages: StalenessPolicy::default(),
        registry: RegistryConfig::default(),
        client_api: None,
        lanes: Lanes::default(),
        logging: Logging {
            level: Level::Info,
            format: LogFormat::Json,
            access: AccessPolicy::Off,
            user_id: UserIdPolicy::Omit,
            expose_request_id: true,
        },
        traffic: Traffic::default(),
        tracing: None,
        process: Process {
            listeners: Vec::new(),
            admin: AdminConfig::at(([127, 0, 0, 1], 9900).into()),
            threads: 0,
            state_dir: "state".into(),
            redis: None,
            attribution: AttributionConfig::default(),
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::ZERO,
        },
        digest: Digest([7; 32]),
        warnings: crate::config::diagnostic::Findings::default(),
    }
}

/// The snapshot of these services and flags.
pub fn snapshot(services: Vec<ServiceConfig>, flags: Vec<Flag>) -> Snapshot {
    assembled(&config(services, flags))
}

/// The snapshot of a configuration.
pub fn assembled(config: &Config) -> Snapshot {
    assemble(config, 1, &mut Offline::default(), &mut NoopMeters)
}
