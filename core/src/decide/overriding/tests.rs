use std::net::IpAddr;

use super::{Overriding, find};
use crate::canary::{ReasonKind, Withdrawal};
use crate::context::{Context, Moment};
use crate::identity::Anonymous;
use crate::overrides::sample::{rules, signed, to};
use crate::overrides::{Override, OverrideResult, key};
use crate::request::{HeaderList, RequestHead};
use crate::snapshot::withdrawn::Withdrawn;
use crate::snapshot::{STABLE, Snapshot, sample};

use OverrideResult::{
    Applied, Expired, Foreign, Forged, Killed, LeaseOver, Malformed, UnknownDeployment,
};

const NOW: Moment = Moment { unix_ms: 1_000_000 };

fn snapshot() -> Snapshot {
    let mut snapshot = sample::snapshot(Anonymous::Stable);
    snapshot.identity.overrides = Some(rules());
    snapshot
}

fn shown(snapshot: &Snapshot, fields: &[(&str, &str)], user: Option<&str>) -> Overriding {
    let headers: HeaderList = fields.iter().map(|(name, value)| (*name, *value)).collect();
    let peer: IpAddr = [192, 0, 2, 1].into();
    let head = RequestHead {
        authority: "api.example.com",
        path: "/plain",
        peer,
        peer_trusted: false,
        ..headers.head()
    };
    let context = Context {
        user_id: user.map(Into::into),
        session_id: Some("s1".into()),
        ..Context::default()
    };
    let service = &snapshot.services[0];
    find(&snapshot.identity, service, &head, &context, NOW)
}

/// Where tokens in the header lead a user, and what became of them.
fn by_header(snapshot: &Snapshot, tokens: &str) -> (Option<String>, Vec<OverrideResult>) {
    led(
        snapshot,
        &shown(snapshot, &[("x-serin-override", tokens)], Some("u1")),
    )
}

fn led(snapshot: &Snapshot, found: &Overriding) -> (Option<String>, Vec<OverrideResult>) {
    let deployments = &snapshot.services[0].deployments;
    let name = |assigned| deployments.get(assigned).name.to_string();
    let assigned = found.decision.map(|decision| name(decision.assigned));
    (assigned, found.results.iter().collect())
}

#[test]
fn a_token_leads_to_its_deployment_under_its_flag() {
    let snapshot = snapshot();
    for deployment in ["search.a", "search.b", "stable"] {
        let token = signed(&to(deployment));
        for field in [
            ("x-serin-override", token.clone()),
            ("cookie", format!("a=b; serin_override={token}")),
        ] {
            // With an ID, and without one.
            for user in [Some("u1"), None] {
                let found = shown(&snapshot, &[(field.0, &field.1)], user);
                let decision = found.decision.expect("a decision");
                assert_eq!(
                    led(&snapshot, &found),
                    (Some(deployment.to_owned()), vec![Applied])
                );
                assert_eq!(decision.reason.kind(), ReasonKind::Override);
                assert!(!decision.randomised);
                let flag = decision.candidate.and_then(|at| {
                    let candidate = snapshot.services[0].candidates.get(at)?;
                    Some(candidate.flag.name.to_string())
                });
                let own = (deployment != "stable").then(|| deployment.to_owned());
                assert_eq!(flag, own);
                assert_eq!(decision.assigned == STABLE, deployment == "stable");
                assert_eq!(found.read, Some((to(deployment), Applied)));
            }
        }
    }
}

#[test]
fn what_is_not_so_is_ignored_and_told() {
    let snapshot = snapshot();
    let good = signed(&to("search.a"));
    let own = |user: &str| Override {
        user: Some(user.into()),
        ..to("search.a")
    };
    let elsewhere = Override {
        service: "cart".into(),
        ..to("search.a")
    };
    let strange = key(b"another").expect("a key");
    let strange = to("search.a").sign(&strange).expect("a token");
    for (token, result) in [
        // It names this very second.
        (
            signed(&Override {
                expires: 1000,
                ..to("search.a")
            }),
            Expired,
        ),
        (signed(&own("u2")), Foreign),
        // The session's ID is no user's.
        (signed(&own("s1")), Foreign),
        (signed(&elsewhere), Foreign),
        (signed(&to("search.c")), UnknownDeployment),
        (signed(&to("SEARCH.A")), UnknownDeployment),
        (strange, Forged),
        ("nonsense".to_owned(), Malformed),
        ("A".repeat(2000), Malformed),
    ] {
        let alone = by_header(&snapshot, &token);
        assert_eq!(alone, (None, vec![result]), "{token}");
        // A good one beside it decides, wherever it stands; what is merely for another service is no news then.
        let (assigned, results) = by_header(&snapshot, &format!("{token},{good}"));
        assert_eq!(assigned.as_deref(), Some("search.a"));
        let both = match token == signed(&elsewhere) {
            true => vec![Applied],
            false => vec![Applied, result],
        };
        assert_eq!(results, both, "{token}");
        let (assigned, results) = by_header(&snapshot, &format!("{good},{token}"));
        assert_eq!(
            (assigned.as_deref(), &*results),
            (Some("search.a"), &[Applied][..])
        );
    }
    let own = by_header(&snapshot, &signed(&own("u1")));
    assert_eq!(own, (Some("search.a".to_owned()), vec![Applied]));
}

#[test]
fn the_header_comes_before_the_cookie_and_the_first_that_can_decides() {
    let snapshot = snapshot();
    let (a, b) = (signed(&to("search.a")), signed(&to("search.b")));
    let cookie = format!("serin_override={b}");
    let both = [("cookie", &*cookie), ("x-serin-override", &*a)];
    let found = shown(&snapshot, &both, None);
    assert_eq!(led(&snapshot, &found).0.as_deref(), Some("search.a"));
    let late = signed(&Override {
        expires: 0,
        ..to("search.a")
    });
    let both = [("x-serin-override", &*late), ("cookie", &*cookie)];
    let found = shown(&snapshot, &both, None);
    let expected = (Some("search.b".to_owned()), vec![Applied, Expired]);
    assert_eq!(led(&snapshot, &found), expected);
}

#[test]
fn what_stands_behind_too_many_tokens_does_not_count() {
    let snapshot = snapshot();
    let elsewhere = signed(&Override {
        service: "cart".into(),
        ..to("search.a")
    });
    let good = signed(&to("search.a"));
    let behind = |count: usize| format!("{},{good}", vec![&*elsewhere; count].join(","));
    let (assigned, results) = by_header(&snapshot, &behind(15));
    assert_eq!(
        (assigned.as_deref(), &*results),
        (Some("search.a"), &[Applied][..])
    );
    assert_eq!(by_header(&snapshot, &behind(16)), (None, vec![Malformed]));
}

#[test]
fn no_override_beats_a_kill_or_a_lease_that_is_over() {
    for (why, result) in [
        (Withdrawal::Killed, Some(Killed)),
        (Withdrawal::Unknown, Some(Killed)),
        (Withdrawal::LeaseOver, Some(LeaseOver)),
        // The canary's own answer says that it is not ready.
        (Withdrawal::NotReady, None),
    ] {
        let mut snapshot = snapshot();
        let mut withdrawn = Withdrawn::default();
        withdrawn.insert("search", "search.a", Some(why));
        snapshot.withdraw(&withdrawn);
        let expected = match result {
            Some(result) => (None, vec![result]),
            None => (Some("search.a".to_owned()), vec![Applied]),
        };
        let token = signed(&to("search.a"));
        assert_eq!(by_header(&snapshot, &token), expected, "{why:?}");
        // The next one counts, and stable is never withdrawn.
        let (b, stable) = (signed(&to("search.b")), signed(&to("stable")));
        let (assigned, _) = by_header(&snapshot, &format!("{token},{b}"));
        assert_eq!(
            assigned.as_deref(),
            Some(match result {
                Some(_) => "search.b",
                None => "search.a",
            })
        );
        assert_eq!(by_header(&snapshot, &stable).0.as_deref(), Some("stable"));
    }
    // A lease that ends by the clock, and ended.
    let mut snapshot = snapshot();
    let token = signed(&to("search.a"));
    let ends_at = |snapshot: &mut Snapshot, unix_ms| {
        for candidate in &mut snapshot.services[0].candidates {
            candidate.until = Some(Moment { unix_ms });
        }
    };
    ends_at(&mut snapshot, NOW.unix_ms + 1);
    assert_eq!(by_header(&snapshot, &token).1, [Applied]);
    ends_at(&mut snapshot, NOW.unix_ms);
    assert_eq!(by_header(&snapshot, &token).1, [LeaseOver]);
    // The mark is newer than the snapshot: a kill since then is one.
    let canaries = snapshot.services[0].deployments.canaries();
    let mark = canaries.first().and_then(|canary| canary.mark.as_ref());
    mark.expect("a mark").set(Some(Withdrawal::Killed));
    assert_eq!(by_header(&snapshot, &token).1, [Killed]);
}

#[test]
fn without_a_key_nothing_is_an_override() {
    let mut snapshot = snapshot();
    snapshot.identity.overrides = None;
    let token = signed(&to("search.a"));
    assert_eq!(by_header(&snapshot, &token), (None, Vec::new()));
}
