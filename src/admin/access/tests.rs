use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};

use super::AccessControl;
use crate::admin::actor::Actor;
use crate::admin::connections::Caller;
use crate::admin::problem::Problem;
use crate::config::admin::{AdminToken, Role};
use crate::config::token::Token;

const SECRET: &str = "a-token-of-the-pipeline";

fn caller(address: &str) -> Caller {
    let ip: IpAddr = address.parse().unwrap();
    Caller {
        address: ip,
        reached: ip,
        listener_is_open: true,
    }
}

fn tokens() -> [AdminToken; 2] {
    [
        ("oncall", Role::Operator, "a-token-of-operators"),
        ("ci", Role::Registrar, SECRET),
    ]
    .map(|(name, role, secret)| AdminToken {
        name: name.into(),
        role,
        services: None,
        token: Token::of(secret),
    })
}

fn authorization(values: &[&str]) -> HeaderMap {
    let fields = values.iter().map(|value| {
        let value = HeaderValue::from_str(value).unwrap();
        (header::AUTHORIZATION, value)
    });
    fields.collect()
}

fn status(problem: &Problem) -> u64 {
    serde_json::to_value(problem).unwrap()["status"]
        .as_u64()
        .unwrap()
}

fn identified(values: &[&str]) -> Result<Actor, u64> {
    let access = AccessControl::default();
    let (caller, headers) = (caller("10.0.0.7"), authorization(values));
    let actor = access.identify(&caller, &headers, &tokens(), Instant::now());
    actor.map_err(|problem| status(&problem))
}

#[test]
fn a_token_says_who_asks() {
    for values in [
        &["Bearer a-token-of-the-pipeline"][..],
        &["bearer  a-token-of-the-pipeline "],
    ] {
        let actor = identified(values).unwrap();
        assert_eq!(
            (actor.name.as_deref(), actor.role),
            (Some("ci"), Role::Registrar)
        );
        assert_eq!(actor.by(), "ci at 10.0.0.7");
    }
    for values in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Bearer a-token-of-the-pipelin"],
        &["Bearer a-token-of-the-pipeline2"],
        &["Basic a-token-of-the-pipeline"],
        &[SECRET],
        &[
            "Bearer a-token-of-the-pipeline",
            "Bearer a-token-of-operators",
        ],
    ] {
        assert_eq!(identified(values), Err(401), "{values:?}");
    }
}

#[test]
fn without_tokens_callers_on_this_machine_may_do_everything() {
    let access = AccessControl::default();
    let identify =
        |address: &str| access.identify(&caller(address), &HeaderMap::new(), &[], Instant::now());
    let actor = identify("::1").unwrap();
    assert_eq!((actor.role, actor.by()), (Role::Admin, "::1".to_owned()));
    assert_eq!(status(&identify("10.0.0.7").unwrap_err()), 403);
}

#[test]
fn with_tokens_this_machine_needs_one_too() {
    let access = AccessControl::default();
    let refused = access.identify(
        &caller("127.0.0.1"),
        &HeaderMap::new(),
        &tokens(),
        Instant::now(),
    );
    assert_eq!(status(&refused.unwrap_err()), 401);
}

#[test]
fn who_guesses_is_refused_for_a_minute_whatever_they_send() {
    let access = AccessControl::default();
    let begin = Instant::now();
    let ask = |address: &str, token: &str, after: Duration| {
        let headers = authorization(&[&format!("Bearer {token}")]);
        let asked = access.identify(&caller(address), &headers, &tokens(), begin + after);
        asked.map_or_else(|problem| status(&problem), |_| 200)
    };
    for guess in 0..10 {
        assert_eq!(
            ask("10.0.0.7", &format!("guess-{guess}"), Duration::ZERO),
            401
        );
    }
    let minute = Duration::from_secs(60);
    assert_eq!(ask("10.0.0.7", SECRET, Duration::ZERO), 429);
    assert_eq!(
        ask("10.0.0.7", SECRET, minute - Duration::from_secs(1)),
        429
    );
    assert_eq!(ask("10.0.0.8", SECRET, Duration::ZERO), 200);
    assert_eq!(ask("10.0.0.7", SECRET, minute), 200);
}

#[test]
fn a_role_may_do_what_those_before_it_may() {
    let may = |role: Role, needed: Role| {
        let actor = Actor {
            name: Some("ci".into()),
            role,
            services: None,
            address: [10, 0, 0, 7].into(),
        };
        actor.may(needed, None).is_ok()
    };
    for (rank, role) in Role::ALL.into_iter().enumerate() {
        for (needed_rank, needed) in Role::ALL.into_iter().enumerate() {
            assert_eq!(
                may(role, needed),
                rank >= needed_rank,
                "{role:?} {needed:?}"
            );
        }
    }
}

#[test]
fn a_token_for_some_services_changes_nothing_else() {
    let actor = Actor {
        name: Some("ci".into()),
        role: Role::Admin,
        services: Some(["search".into(), "shop".into()].into()),
        address: [10, 0, 0, 7].into(),
    };
    let refused = |needed, service| {
        actor
            .may(needed, service)
            .map_err(|problem| status(&problem))
    };
    assert_eq!(refused(Role::Registrar, Some("search")), Ok(()));
    assert_eq!(refused(Role::Viewer, Some("pay")), Err(403));
    assert_eq!(refused(Role::Registrar, Some("pay")), Err(403));
    assert_eq!(
        refused(Role::Viewer, None),
        Ok(()),
        "what is of all services is read"
    );
    assert_eq!(refused(Role::Admin, None), Err(403));
}
