use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};

use super::{AccessControl, without_tokens};
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
fn who_guesses_is_refused_for_a_minute_and_right_tokens_never_are() {
    let access = AccessControl::default();
    let begin = Instant::now();
    let ask = |address: &str, sent: &str, after: Duration| {
        let headers = authorization(&[sent]);
        let asked = access.identify(&caller(address), &headers, &tokens(), begin + after);
        asked.map_or_else(|problem| status(&problem), |_| 200)
    };
    let right = format!("Bearer {SECRET}");
    for guess in 0..10 {
        let guess = format!("Bearer guess-{guess}");
        assert_eq!(ask("10.0.0.7", &guess, Duration::ZERO), 401);
    }
    let minute = Duration::from_secs(60);
    for after in [Duration::ZERO, minute - Duration::from_secs(1)] {
        for wrong in ["Bearer guess", "Bearer", "Basic x", ""] {
            assert_eq!(ask("10.0.0.7", wrong, after), 429, "{wrong:?}");
        }
        assert_eq!(ask("10.0.0.7", &right, after), 200);
    }
    assert_eq!(ask("10.0.0.8", "Bearer guess", Duration::ZERO), 401);
    assert_eq!(ask("10.0.0.7", "Bearer guess", minute), 401);
}

#[test]
fn who_would_be_another_today_is_let_in_no_more() {
    let now = tokens();
    let actor = Actor::bearing(&now[1], [10, 0, 0, 7].into());
    assert!(actor.is_still_let_in(&now));
    let with = |change: &dyn Fn(&mut AdminToken)| {
        let mut later = tokens();
        change(&mut later[1]);
        actor.is_still_let_in(&later)
    };
    assert!(!with(&|token| token.token = Token::of("another-token")));
    assert!(!with(&|token| token.role = Role::Viewer));
    assert!(!with(&|token| token.services = Some([].into())));
    assert!(!with(&|token| token.name = "cd".into()));
    assert!(!actor.is_still_let_in(&now[..1]));
    assert!(!actor.is_still_let_in(&[]));
    let here = without_tokens(&caller("127.0.0.1")).unwrap();
    assert!(here.is_still_let_in(&[]));
    assert!(!here.is_still_let_in(&now));
}

#[test]
fn a_role_may_do_what_those_before_it_may() {
    let may = |role: Role, needed: Role| {
        let actor = Actor {
            name: Some("ci".into()),
            role,
            services: None,
            address: [10, 0, 0, 7].into(),
            token: None,
        };
        actor.has_role(needed).is_ok()
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
