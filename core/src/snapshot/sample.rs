//! A small snapshot for tests of what becomes of a request: a service with two canaries, and routes of every kind.
#![expect(
    clippy::expect_used,
    reason = "a fixture that cannot be made fails its test"
)]

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};

use super::Snapshot;
use super::fixture::{assembled, canary, config, everyone, flag, ring, service, url, when};
use crate::context::Field;
use crate::edit::Edit;
use crate::engine::Bucketing;
use crate::host::HostPattern;
use crate::identity::{Anonymous, Auth, Place, Rules, Source, Trust};
use crate::route::guard::Guard;
use crate::route::{
    Action, Forward, PathPattern, Redirect, Respond, Route, RouteMatch, RouteTimeout, ServiceIndex,
};

/// Service `search`: stable at port 9001; `search.a` at port 9002, on for user `ann`; `search.b` at port 9003, on for
/// half of those with an ID. Routes: `/search` (rewritten to `/`, exposed), `/plain`, `/old` (a redirect), `/ping`.
pub fn snapshot(anonymous: Anonymous) -> Snapshot {
    let mut search = service("search", &["search.*"]);
    search.stable = Some(url("http://127.0.0.1:9001"));
    let ann = when(Field::UserId, "userId", "in", &["ann"]);
    let mut flags = [
        flag("search.a", vec![ring("ann", ann, "100%")]),
        flag("search.b", vec![ring("half", everyone(), "50%")]),
    ];
    for (flag, url) in flags
        .iter_mut()
        .zip(["http://127.0.0.1:9002", "http://127.0.0.1:9003"])
    {
        flag.url = canary(url);
        for ring in &mut flag.rings {
            ring.rollout.bucketing = Bucketing::unleash(flag.name.clone());
        }
    }
    let mut config = config(vec![search], Vec::new());
    config.flags = flags.into_iter().map(Arc::new).collect();
    config.identity = Rules {
        user_id: vec![Source {
            place: Place::Header(HeaderName::from_static("x-user-id")),
            trust: Trust::Anyone,
        }],
        anonymous,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        ..Rules::default()
    };
    config.routes = vec![
        route("/search", Action::Forward(forward(Some(""), true))),
        route("/plain", Action::Forward(forward(None, false))),
        route("/old", redirect("/search")),
        route("/ping", respond("pong")),
    ];
    assembled(&config)
}

fn forward(rewrite: Option<&str>, expose: bool) -> Forward {
    let route = HeaderName::from_static("x-route");
    Forward {
        service: ServiceIndex::new(0),
        rewrite_prefix: rewrite.map(Into::into),
        request_edits: vec![Edit::Set(route, HeaderValue::from_static("yes"))],
        timeout: RouteTimeout::Unset,
        expose,
    }
}

fn redirect(to: &str) -> Action {
    Action::Redirect(Redirect {
        to: to.into(),
        status: StatusCode::PERMANENT_REDIRECT,
    })
}

fn respond(body: &str) -> Action {
    Action::Respond(Respond {
        status: StatusCode::OK,
        body: body.into(),
    })
}

fn route(path: &str, action: Action) -> Route {
    Route {
        name: path.into(),
        matches: RouteMatch {
            hosts: vec![HostPattern::Exact("api.example.com".into())],
            path: PathPattern::Prefix(path.into()),
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        },
        auth: Auth::Optional,
        action,
        guard: Guard::default(),
        response_edits: Vec::new(),
    }
}
