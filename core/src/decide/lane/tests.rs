use std::net::IpAddr;

use super::{Lane, NotFollowed, find};
use crate::canary::{ReasonKind, Withdrawal};
use crate::config::attribution::Lanes;
use crate::context::Moment;
use crate::decide::Decision;
use crate::identity::Anonymous;
use crate::request::{HeaderList, RequestHead};
use crate::snapshot::withdrawn::Withdrawn;
use crate::snapshot::{STABLE, Service, Snapshot, sample};

const NOW: Moment = Moment { unix_ms: 0 };

/// Looks for a lane of `search` in lines of baggage.
fn with_lane<T>(
    snapshot: &Snapshot,
    (lanes, peer_trusted): (Lanes, bool),
    baggage: &[&str],
    then: impl FnOnce(Option<Lane<'_>>) -> T,
) -> T {
    let headers: HeaderList = baggage.iter().map(|line| ("baggage", *line)).collect();
    let peer: IpAddr = [10, 0, 0, 1].into();
    let head = RequestHead {
        authority: "api.example.com",
        path: "/plain",
        peer,
        peer_trusted,
        ..headers.head()
    };
    then(find(lanes, &snapshot.services[0], &head, NOW))
}

fn followed(snapshot: &Snapshot, baggage: &[&str]) -> Option<Result<Decision, NotFollowed>> {
    with_lane(snapshot, (Lanes::Follow, true), baggage, |lane| {
        lane.map(|lane| lane.decision)
    })
}

/// The name of the deployment that a lane leads to, and of the flag that it stands under.
fn names(service: &Service, decision: Decision) -> (String, Option<String>) {
    let candidate = decision.candidate.and_then(|at| service.candidates.get(at));
    let name = &service.deployments.get(decision.assigned).name;
    let flag = candidate.map(|candidate| candidate.flag.name.to_string());
    (name.to_string(), flag)
}

#[test]
fn a_lane_leads_to_the_deployment_that_it_names_under_its_flag() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    for (baggage, deployment) in [
        (&["serin.search=search.b"] as &[_], "search.b"),
        (&["a=b, serin.search = search.a;q=1 ,c=d"], "search.a"),
        (&["serin.search=search%2Ea"], "search.a"),
        (
            &["serin.search=search.a", "serin.search=search.b"],
            "search.b",
        ),
        (&["x=1", "serin.search=stable"], "stable"),
    ] {
        let decision = followed(&snapshot, baggage);
        let Some(Ok(decision)) = decision else {
            panic!("{baggage:?}: {decision:?}");
        };
        let flag = (deployment != "stable").then(|| deployment.to_owned());
        let found = names(&snapshot.services[0], decision);
        assert_eq!(found, (deployment.to_owned(), flag), "{baggage:?}");
        assert_eq!(decision.reason.kind(), ReasonKind::Lane);
        assert!(!decision.randomised);
        assert_eq!(decision.assigned == STABLE, deployment == "stable");
    }
}

#[test]
fn baggage_that_says_nothing_of_the_service_is_no_lane() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    for baggage in [
        &[] as &[_],
        &[""],
        &["serin.other=search.a"],
        &["serin.search"],
        &["serin.searches=search.a"],
        &["Serin.search=search.a"],
        &["x=serin.search=search.a"],
        &["x=1;serin.search=search.a"],
    ] {
        assert_eq!(followed(&snapshot, baggage), None, "{baggage:?}");
    }
}

#[test]
fn a_lane_that_leads_nowhere_is_not_followed() {
    let mut snapshot = sample::snapshot(Anonymous::Stable);
    for unknown in [
        "search.c",
        "",
        "SEARCH.A",
        "%ff",
        "search.a%00",
        "search.a=",
    ] {
        let baggage = format!("serin.search={unknown}");
        let lane = followed(&snapshot, &[&baggage]);
        assert_eq!(lane, Some(Err(NotFollowed::Unknown)), "{unknown}");
    }
    let mut withdrawn = Withdrawn::default();
    withdrawn.insert("search", "search.a", Some(Withdrawal::Killed));
    snapshot.withdraw(&withdrawn);
    let lane = followed(&snapshot, &["serin.search=search.a"]);
    assert_eq!(lane, Some(Err(NotFollowed::Withdrawn)));
    assert!(followed(&snapshot, &["serin.search=search.b"]).is_some_and(|lane| lane.is_ok()));
}

#[test]
fn only_a_trusted_proxys_lane_is_followed_and_only_where_lanes_are() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    for how in [
        (Lanes::Follow, false),
        (Lanes::Ignore, true),
        (Lanes::Ignore, false),
    ] {
        with_lane(&snapshot, how, &["serin.search=search.b"], |lane| {
            let lane = lane.expect("it is told");
            assert_eq!(lane.deployment, "search.b");
            assert_eq!(lane.decision, Err(NotFollowed::Ignored), "{how:?}");
        });
    }
}
