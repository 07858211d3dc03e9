//! A small configuration for the tests of this floor and the one above.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Balance;
use crate::cluster::policy::{UpstreamPolicy, UrlPolicy};
use crate::config::{
    AccessPolicy, Config, Level, LogFormat, Logging, Process, ServiceConfig, Traffic, UserIdPolicy,
};
use crate::context::Moment;
use crate::digest::Digest;
use crate::engine::{About, CanaryUrl, Flag, Stickiness, Variant, Variants};
use crate::flag::Glob;
use crate::identity;
use crate::route::{Action, Forward, PathPattern, Route, RouteMatch};

/// A service "search" with stable at `stable`, and the flag "search.ab", whose variant "b" is a canary at
/// 127.0.0.1:9. `content` stands for everything else that a digest is made of.
pub(crate) fn config(stable: &str, content: u8) -> Config {
    let variant = |name: &str, url: Option<&str>| Variant {
        name: name.into(),
        weight: 500,
        url: url.map(|url| CanaryUrl::Allowed(url.parse().unwrap())),
    };
    let variants = vec![variant("a", None), variant("b", Some("http://127.0.0.1:9"))];
    let flag = Flag {
        name: "search.ab".into(),
        enabled: true,
        rings: Vec::new(),
        variants: Variants::new(variants, "search.ab".into(), Stickiness::Default),
        url: None,
        about: About {
            expires: Some(Moment { unix_ms: 1 }),
            ..About::default()
        },
    };
    Config {
        services: vec![ServiceConfig {
            name: "search".into(),
            stable: stable.parse().unwrap(),
            canaries: vec![Glob::new("search.*")],
            upstream: upstream(),
        }],
        flags: vec![Arc::new(flag)],
        segments: Vec::new(),
        routes: vec![route()],
        identity: identity::Rules::default(),
        canary_urls: UrlPolicy {
            networks: Vec::new(),
            names: Vec::new(),
        },
        logging: Logging {
            level: Level::Info,
            format: LogFormat::Json,
            access: AccessPolicy::All,
            user_id: UserIdPolicy::Plain,
        },
        traffic: Traffic::default(),
        process: Process {
            listeners: vec!["127.0.0.1:8080".parse().unwrap()],
            admin: "127.0.0.1:9900".parse().unwrap(),
            threads: 0,
            state_dir: "state".into(),
            shutdown_delay: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(30),
        },
        digest: Digest([content; 32]),
        warnings: Vec::new(),
    }
}

fn upstream() -> UpstreamPolicy {
    UpstreamPolicy {
        balance: Balance::LeastRequests,
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(60),
        retries: 1,
        rescue_on_connect: true,
        preserve_host: true,
    }
}

fn route() -> Route {
    Route {
        name: "/search".into(),
        matches: RouteMatch {
            hosts: Vec::new(),
            path: PathPattern::Prefix("/search".into()),
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        },
        action: Action::Forward(Forward {
            service: 0,
            rewrite_prefix: None,
            request_edits: Vec::new(),
            timeout: None,
            expose: false,
        }),
        response_edits: Vec::new(),
    }
}
