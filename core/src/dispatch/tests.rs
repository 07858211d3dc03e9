use std::net::IpAddr;
use std::sync::Arc;

use super::{Dispatch, Plan, Terms, dispatch, user_key};
use crate::canary::ReasonKind;
use crate::context::{Context, Moment};
use crate::identity::token::{
    KeySource, TokenPlace, TokenResult, TokenSource, VerifiedUser, Verifier, VerifyTokens,
};
use crate::identity::{Anonymous, Auth, IdKind, Place, Source, Trust};
use crate::overrides::{self, OverrideResult};
use crate::request::{HeaderList, RequestHead};
use crate::route::Route;
use crate::route::router::Router;
use crate::snapshot::{Deployment, Snapshot, sample};

const FRESH: &str = "00112233445566778899aabbccddeeff";

fn ask(snapshot: &Snapshot, url: &str, fields: &[(&str, &str)]) -> Dispatch {
    let (path, query) = url
        .split_once('?')
        .map_or((url, None), |(path, query)| (path, Some(query)));
    let headers: HeaderList = fields.iter().map(|(name, value)| (*name, *value)).collect();
    let peer: IpAddr = [192, 0, 2, 1].into();
    let head = RequestHead {
        method: "GET",
        authority: "api.example.com",
        path,
        query,
        headers: &headers,
        peer,
        peer_trusted: snapshot.identity.trusts(peer),
    };
    let terms = Terms {
        host_required: true,
        keep_user_id: true,
    };
    dispatch(snapshot, &head, terms, Moment { unix_ms: 0 }, &mut || {
        FRESH.to_owned()
    })
}

fn refused(dispatch: &Dispatch) -> Option<u16> {
    match dispatch {
        Dispatch::Refuse(refusal) => Some(refusal.status.as_u16()),
        Dispatch::Respond(_)
        | Dispatch::Preflight(_)
        | Dispatch::Client(_)
        | Dispatch::Forward(_) => None,
    }
}

fn assigned<'a>(snapshot: &'a Snapshot, plan: &Plan) -> &'a Deployment {
    let service = snapshot.services.get(plan.service);
    service.deployments.get(plan.decision.assigned)
}

/// Where the request is sent upstream, the assigned deployment, and a new session's ID.
fn planned(
    snapshot: &Snapshot,
    dispatch: Dispatch,
) -> (Option<String>, String, ReasonKind, Option<String>) {
    let Dispatch::Forward(plan) = dispatch else {
        panic!("not forwarded: {dispatch:?}");
    };
    let assigned = &assigned(snapshot, &plan).name;
    (
        plan.target,
        assigned.to_string(),
        plan.decision.reason.kind(),
        plan.new_session,
    )
}

#[test]
fn a_user_goes_where_the_flags_say() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let ann = planned(
        &snapshot,
        ask(&snapshot, "/plain/x?q=1", &[("x-user-id", "ann")]),
    );
    assert_eq!(ann, (None, "search.a".into(), ReasonKind::Ring, None));
    let nobody = planned(&snapshot, ask(&snapshot, "/plain", &[]));
    assert_eq!(
        nobody,
        (None, "stable".into(), ReasonKind::NoIdentity, None)
    );
}

#[test]
fn a_rewrite_replaces_the_matched_prefix_and_keeps_the_query() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    for (sent, expected) in [
        ("/search", "/"),
        ("/search?q=1", "/?q=1"),
        ("/search/", "/"),
        ("/search/a%20b/?x", "/a%20b/?x"),
        ("//search/./a", "/./a"),
        ("/x/../search/a", "/a"),
    ] {
        let (target, ..) = planned(&snapshot, ask(&snapshot, sent, &[]));
        assert_eq!(target.as_deref(), Some(expected), "{sent}");
    }
}

#[test]
fn redirects_and_answers_need_no_service() {
    let snapshot = sample::snapshot(Anonymous::Reject);
    let Dispatch::Respond(redirect) = ask(&snapshot, "/old/a?q=1", &[]) else {
        panic!("not answered");
    };
    assert_eq!(redirect.location.as_deref(), Some("/search/a?q=1"));
    let Dispatch::Respond(pong) = ask(&snapshot, "/ping", &[]) else {
        panic!("not answered");
    };
    assert_eq!((pong.status.as_u16(), &*pong.body), (200, "pong"));
}

#[test]
fn what_cannot_be_routed_is_refused() {
    let snapshot = sample::snapshot(Anonymous::Reject);
    assert_eq!(refused(&ask(&snapshot, "/nowhere", &[])), Some(404));
    assert_eq!(refused(&ask(&snapshot, "/plain%2fx", &[])), Some(400));
    assert_eq!(
        refused(&ask(&snapshot, "/plain", &[("connection", "x-user-id")])),
        Some(400)
    );
    assert_eq!(refused(&ask(&snapshot, "/plain", &[])), Some(401));
    assert_eq!(
        refused(&ask(&snapshot, "/plain", &[("x-user-id", "u")])),
        None
    );
}

#[test]
fn an_anonymous_user_gets_an_id_only_where_a_rollout_could_use_it() {
    let mut snapshot = sample::snapshot(Anonymous::Sticky);
    let (_, assigned, reason, session) = planned(&snapshot, ask(&snapshot, "/plain", &[]));
    assert_eq!(session.as_deref(), Some(FRESH));
    assert_ne!(reason, ReasonKind::NoIdentity);
    let cookie = format!("a=b; serin_id={FRESH}");
    let again = planned(&snapshot, ask(&snapshot, "/plain", &[("cookie", &cookie)]));
    assert_eq!(
        (again.1, again.3),
        (assigned, None),
        "the same user, the same deployment"
    );
    assert_eq!(
        planned(&snapshot, ask(&snapshot, "/plain", &[("x-user-id", "u")])).3,
        None
    );
    snapshot.services[0].uses_session = false;
    assert_eq!(planned(&snapshot, ask(&snapshot, "/plain", &[])).3, None);
}

/// The plan of a request to `/plain` with these fields.
fn plan_of(snapshot: &Snapshot, fields: &[(&str, &str)]) -> Plan {
    match ask(snapshot, "/plain", fields) {
        Dispatch::Forward(plan) => plan,
        other => panic!("not forwarded: {other:?}"),
    }
}

#[test]
fn every_decided_request_has_its_users_key() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let context = |id: &'static str| Context {
        user_id: Some(id.into()),
        ..Context::default()
    };
    let mut arms = std::collections::BTreeMap::new();
    // "ann" is on `search.a`; half of the others are on `search.b`, the other half on stable.
    for id in ["ann", "u1", "u2", "u3", "u4", "u5", "u6", "u7"] {
        let plan = plan_of(&snapshot, &[("x-user-id", id)]);
        assert_eq!(plan.user, user_key(&context(id)), "{id}");
        assert_eq!(plan.user.map(|user| user.kind), Some(IdKind::User));
        assert_eq!(plan.user_id.as_deref(), Some(id));
        let keys: &mut Vec<_> = arms
            .entry(assigned(&snapshot, &plan).name.clone())
            .or_default();
        keys.push(plan.user);
    }
    let found: Vec<&str> = arms.keys().map(|name| &**name).collect();
    assert_eq!(found, ["search.a", "search.b", "stable"]);
    let mut keys: Vec<_> = arms.into_values().flatten().flatten().collect();
    keys.sort_by_key(|key| key.hash);
    keys.dedup();
    assert_eq!(keys.len(), 8, "one for each user");
    let nobody = plan_of(&snapshot, &[]);
    assert_eq!((nobody.user, nobody.user_id), (None, None));
}

#[test]
fn the_key_of_a_session_is_no_users() {
    let snapshot = sample::snapshot(Anonymous::Sticky);
    let new = plan_of(&snapshot, &[]);
    assert_eq!(new.new_session.as_deref(), Some(FRESH));
    let cookie = format!("serin_id={FRESH}");
    let again = plan_of(&snapshot, &[("cookie", &cookie)]);
    assert_eq!(new.user, again.user);
    assert_eq!(new.user_id.as_deref(), Some(FRESH));
    assert_eq!(again.user_id.as_deref(), Some(FRESH));
    assert_eq!(new.user.map(|user| user.kind), Some(IdKind::Session));
    let namesake = plan_of(&snapshot, &[("x-user-id", FRESH)]);
    assert_ne!(namesake.user, again.user);
    let both = plan_of(&snapshot, &[("x-user-id", FRESH), ("cookie", &cookie)]);
    assert_eq!(both.user, namesake.user, "the user's own ID decides");
}

#[test]
fn an_override_decides_before_flags_lanes_and_sessions_and_lets_nobody_in() {
    let mut snapshot = sample::snapshot(Anonymous::Sticky);
    snapshot.identity.overrides = Some(overrides::sample::rules());
    snapshot.identity.trusted_proxies = vec!["192.0.2.0/24".parse().expect("a network")];
    let token = overrides::sample::signed(&overrides::sample::to("search.b"));
    let own = ("x-serin-override", &*token);
    let applied = [OverrideResult::Applied];
    // `ann` is on `search.a`; the gateway before this one says so as well.
    for fields in [
        &[own][..],
        &[own, ("x-user-id", "ann")],
        &[own, ("baggage", "serin.search=search.a")],
    ] {
        let plan = plan_of(&snapshot, fields);
        assert_eq!(&*assigned(&snapshot, &plan).name, "search.b", "{fields:?}");
        assert_eq!(plan.decision.reason.kind(), ReasonKind::Override);
        assert_eq!((plan.lane, plan.new_session), (None, None));
        assert!(plan.overrides.iter().eq(applied));
    }
    assert!(
        plan_of(&snapshot, &[("x-user-id", "ann")])
            .overrides
            .is_empty()
    );
    // Who may come in is another question.
    snapshot.identity.anonymous = Anonymous::Reject;
    assert_eq!(refused(&ask(&snapshot, "/plain", &[own])), Some(401));
}

/// Believes tokens that begin with `good-`, and takes the rest for the user's ID and plan.
#[derive(Debug)]
struct Believer;

impl VerifyTokens for Believer {
    fn verify(&self, _: usize, token: &[u8], _: Moment) -> Result<Arc<VerifiedUser>, TokenResult> {
        let token = std::str::from_utf8(token).expect("a text");
        let id = token.strip_prefix("good-").ok_or(TokenResult::Forged)?;
        Ok(Arc::new(VerifiedUser {
            id: id.into(),
            claims: [Some(format!("plan of {id}").into())].into(),
        }))
    }

    fn count(&self, _: usize, _: TokenResult) {}
}

/// The sample, with tokens before the other sources of user IDs, and a route that asks this of them.
fn with_tokens(auth: Auth) -> Snapshot {
    let mut snapshot = sample::snapshot(Anonymous::Stable);
    let rules = &mut snapshot.identity;
    let keys = KeySource::File("keys.json".into());
    rules.tokens.sources.push(TokenSource {
        keys,
        issuer: None,
        audiences: Vec::new(),
        claim: "sub".into(),
        algorithms: Vec::new(),
        place: TokenPlace::Header(http::header::AUTHORIZATION),
    });
    rules.tokens.verifier = Verifier(Some(Arc::new(Believer)));
    rules.user_id.push(Source {
        place: Place::Token(0),
        trust: Trust::Anyone,
    });
    let routes = snapshot.router.routes().to_vec();
    let routes = routes.into_iter().map(|route| Route { auth, ..route });
    snapshot.router = Arc::new(Router::new(routes.collect()));
    snapshot
}

#[test]
fn a_route_that_needs_a_token_takes_no_other_word_for_who_the_user_is() {
    let snapshot = with_tokens(Auth::Required);
    let user = |fields: &[(&str, &str)]| match ask(&snapshot, "/plain", fields) {
        Dispatch::Forward(plan) => Ok(plan.user_id.map(String::from)),
        Dispatch::Refuse(refusal) => Err((refusal.status.as_u16(), refusal.challenge)),
        other => panic!("{other:?}"),
    };
    let good = ("authorization", "bearer good-t1");
    let id = ("x-user-id", "u1");
    assert_eq!(user(&[good]), Ok(Some("t1".to_owned())));
    assert_eq!(user(&[id, good]), Ok(Some("t1".to_owned())));
    let invalid = Some("Bearer error=\"invalid_token\"");
    assert_eq!(user(&[id]), Err((401, Some("Bearer"))));
    for (value, expected) in [
        ("Bearer bad", invalid),
        ("Bearer ", Some("Bearer")),
        ("Basic good-t1", Some("Bearer")),
        ("good-t1", Some("Bearer")),
    ] {
        assert_eq!(
            user(&[id, ("authorization", value)]),
            Err((401, expected)),
            "{value}"
        );
    }
    // Two would be read in two ways.
    assert_eq!(user(&[good, good]), Err((400, None)));
}

#[test]
fn a_route_that_looks_at_no_token_takes_the_other_words() {
    for (auth, expected) in [(Auth::Optional, Some("t1")), (Auth::None, None)] {
        let snapshot = with_tokens(auth);
        let fields = [("authorization", "Bearer good-t1")];
        let plan = plan_of(&snapshot, &fields);
        assert_eq!(plan.user_id.as_deref(), expected);
        let bad = plan_of(&snapshot, &[("authorization", "Bearer bad")]);
        assert_eq!(bad.user_id, None);
    }
}
