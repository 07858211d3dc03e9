//! A small snapshot for unit tests: service `search` with a control arm, a canary with a ring of one user, a
//! canary with a percentage, and routes to them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::Snapshot;
use super::assemble::assemble;
use super::offline::{Offline, Unread};
use crate::cluster::policy::{UpstreamPolicy, UrlPolicy};
use crate::config::{
    AccessPolicy, Config, Level, LogFormat, Logging, Process, ServiceConfig, UserIdPolicy,
};
use crate::context::Field;
use crate::digest::Digest;
use crate::edit::Edit;
use crate::engine::condition::{Condition, Constraint, Operator};
use crate::engine::{About, Flag, Ring, Rollout, Stickiness};
use crate::flag::{Glob, Share};
use crate::identity::{Anonymous, Place, Rules, Source, Trust};
use crate::route::{
    Action, Forward, HostPattern, PathPattern, Redirect, Respond, Route, RouteMatch,
};

/// `127.0.0.1:9001` is stable, `search.a` at port 9002 is on for user `ann`, `search.b` at port 9003 for everybody
/// with an ID whose position is below 50 %. Routes: `/search` (rewritten to `/`, exposed), `/plain`, `/old`
/// (redirect), `/ping` (answer).
pub(crate) fn snapshot(anonymous: Anonymous) -> Snapshot {
    assemble(&config(anonymous), 1, &mut Offline::default(), &mut Unread)
}

pub(crate) fn config(anonymous: Anonymous) -> Config {
    let ann = Constraint::new(
        Field::UserId,
        "userId".into(),
        Operator::In,
        &["ann"],
        false,
    )
    .expect("a constraint");
    Config {
        services: vec![ServiceConfig {
            name: "search".into(),
            stable: "http://127.0.0.1:9001".parse().expect("a URL"),
            canaries: vec![Glob::new("search.*")],
            upstream: UpstreamPolicy {
                balance: Default::default(),
                connect_timeout: Duration::from_secs(1),
                response_timeout: Duration::from_secs(15),
                idle_timeout: Duration::from_secs(60),
                retries: 1,
                rescue_on_connect: true,
                preserve_host: true,
            },
        }],
        flags: vec![
            flag("search.a", 9002, Condition::Test(ann), Share::ALL),
            flag(
                "search.b",
                9003,
                Condition::All(Vec::new()),
                Share::new(5_000).expect("a share"),
            ),
        ],
        segments: Vec::new(),
        routes: vec![
            route("/search", Action::Forward(forward(Some(""), true))),
            route("/plain", Action::Forward(forward(None, false))),
            route(
                "/old",
                Action::Redirect(Redirect {
                    to: "/search".into(),
                    status: StatusCode::PERMANENT_REDIRECT,
                }),
            ),
            route(
                "/ping",
                Action::Respond(Respond {
                    status: StatusCode::OK,
                    body: "pong".into(),
                }),
            ),
        ],
        identity: Rules {
            user_id: vec![Source {
                place: Place::Header(HeaderName::from_static("x-user-id")),
                trust: Trust::Anyone,
            }],
            anonymous,
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
            ..Rules::default()
        },
        canary_urls: UrlPolicy {
            networks: Vec::new(),
            names: Vec::new(),
        },
        logging: Logging {
            level: Level::Info,
            format: LogFormat::Text,
            access: AccessPolicy::All,
            user_id: UserIdPolicy::Plain,
        },
        process: Process {
            listeners: Vec::new(),
            admin: ([127, 0, 0, 1], 0).into(),
            threads: 1,
            state_dir: "state".into(),
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::ZERO,
        },
        digest: Digest([7; 32]),
        warnings: Vec::new(),
    }
}

fn flag(name: &str, port: u16, condition: Condition, share: Share) -> Arc<Flag> {
    Arc::new(Flag {
        name: name.into(),
        enabled: true,
        rings: vec![Ring {
            name: "only".into(),
            condition,
            rollout: Rollout {
                share,
                group: name.into(),
                stickiness: Stickiness::Default,
                needs_id: false,
            },
            variants: None,
        }],
        variants: None,
        url: Some(format!("http://127.0.0.1:{port}").parse().expect("a URL")),
        about: About::default(),
    })
}

fn forward(rewrite: Option<&str>, expose: bool) -> Forward {
    Forward {
        service: 0,
        rewrite_prefix: rewrite.map(Into::into),
        request_edits: vec![Edit::Set(
            HeaderName::from_static("x-route"),
            HeaderValue::from_static("yes"),
        )],
        timeout: None,
        expose,
    }
}

fn route(path: &str, action: Action) -> Route {
    Route {
        name: path.into(),
        matches: RouteMatch {
            hosts: vec![HostPattern::Exact("api.example.com".into())],
            path: PathPattern::Prefix(path.into()),
            methods: vec![Method::GET, Method::POST],
            headers: Vec::new(),
            query: Vec::new(),
        },
        action,
        response_edits: Vec::new(),
    }
}
