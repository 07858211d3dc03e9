use std::net::IpAddr;

use super::{Dispatch, dispatch};
use crate::canary::ReasonKind;
use crate::context::Moment;
use crate::identity::Anonymous;
use crate::request::{HeaderList, RequestHead};
use crate::snapshot::{Snapshot, sample};

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
        peer_trusted: false,
    };
    dispatch(snapshot, &head, true, Moment { unix_ms: 0 }, &mut || {
        FRESH.to_owned()
    })
}

fn refused(dispatch: &Dispatch) -> Option<u16> {
    match dispatch {
        Dispatch::Refuse(refusal) => Some(refusal.status.as_u16()),
        Dispatch::Answer(_) | Dispatch::Client(_) | Dispatch::Forward(_) | Dispatch::ShutOff(_) => {
            None
        }
    }
}

/// Where the request is sent upstream, the assigned deployment, and a new session's ID.
fn planned(
    snapshot: &Snapshot,
    dispatch: Dispatch,
) -> (Option<String>, String, ReasonKind, Option<String>) {
    let Dispatch::Forward(plan) = dispatch else {
        panic!("not forwarded: {dispatch:?}");
    };
    let assigned = &snapshot.services[plan.service].deployments[plan.decision.assigned].name;
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
    let Dispatch::Answer(redirect) = ask(&snapshot, "/old/a?q=1", &[]) else {
        panic!("not answered");
    };
    assert_eq!(redirect.location.as_deref(), Some("/search/a?q=1"));
    let Dispatch::Answer(pong) = ask(&snapshot, "/ping", &[]) else {
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
