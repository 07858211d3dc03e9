//! A small configuration for the tests of this floor and the one above.

use std::time::Duration;

use crate::config::flag_server::{Secret, ServerUrl, Streaming};
use crate::config::unleash::UnleashConfig;
use crate::config::{AccessPolicy, Config, UserIdPolicy};
use crate::context::Moment;
use crate::digest::Digest;
use crate::identity::Auth;
use crate::route::guard::Guard;
use crate::route::{Action, Forward, PathPattern, Route, RouteMatch, RouteTimeout, ServiceIndex};
use crate::snapshot::fixture::{self, flag, service, url, variants};

/// A service "search" with stable at `stable`, and the flag "search.ab", whose variant "b" is a canary at
/// 127.0.0.1:9. `content` stands for everything else that a digest is made of.
pub(crate) fn config(stable: &str, content: u8) -> Config {
    let mut search = service("search", &["search.*"]);
    search.stable = Some(url(stable));
    let mut ab = flag("search.ab", Vec::new());
    ab.url = None;
    ab.variants = variants(&[("a", 500, None), ("b", 500, Some("http://127.0.0.1:9"))]);
    ab.about.expires = Some(Moment { unix_ms: 1 });
    let mut config = fixture::config(vec![search], vec![ab]);
    config.routes = vec![route()];
    config.logging.access = AccessPolicy::All;
    config.logging.user_id = UserIdPolicy::Plain;
    config.digest = Digest([content; 32]);
    config
}

/// A flag server that nobody asks.
pub(crate) fn server(name: &str) -> UnleashConfig {
    UnleashConfig {
        name: name.into(),
        url: ServerUrl::parse("http://127.0.0.1:9/api").unwrap(),
        token: Secret::new("secret"),
        app_name: "serin".into(),
        poll: Duration::from_secs(15),
        admin: None,
        streaming: Streaming::Auto,
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
        auth: Auth::Optional,
        action: Action::Forward(Forward {
            service: ServiceIndex::new(0),
            rewrite_prefix: None,
            request_edits: Vec::new(),
            timeout: RouteTimeout::Unset,
            expose: false,
        }),
        guard: Guard::default(),
        response_edits: Vec::new(),
    }
}
