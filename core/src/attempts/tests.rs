use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;

use super::{AttemptContext, Attempts, Failure, Replay};
use crate::canary::{Cause, ReasonKind, Withdrawal};
use crate::cluster::endpoint::AttemptEnd;
use crate::cluster::recovery::{Statuses, Triggers};
use crate::decide::{Decision, Reason};
use crate::flag::Share;
use crate::identity::{Anonymous, IdKind, UserKey};
use crate::quarantine::Quarantine;
use crate::snapshot::{DeploymentIndex, STABLE, Snapshot, sample};

/// The position of `search.a`.
const CANARY: DeploymentIndex = DeploymentIndex::new(1);

fn user(hash: u64) -> Option<UserKey> {
    let kind = IdKind::User;
    Some(UserKey { kind, hash })
}

/// A service, and what its requests meet.
struct Scene {
    snapshot: Snapshot,
    quarantine: Quarantine,
    now: Instant,
}

impl Scene {
    /// Stable at port 9001, the canary at port 9002.
    fn new() -> Self {
        let now = Instant::now();
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        // Nobody is ejected, however often they fail.
        let outlier = &mut snapshot.services[0].upstream.outlier;
        outlier.consecutive_failures = 0;
        outlier.error_ratio = Share::NONE;
        Self {
            snapshot,
            quarantine: Quarantine::new(now),
            now,
        }
    }

    fn site(&self) -> AttemptContext<'_> {
        AttemptContext {
            service: &self.snapshot.services[0],
            quarantine: &self.quarantine,
            now: self.now,
        }
    }

    fn endpoints(&self, deployment: DeploymentIndex, ports: &[u16]) {
        let addresses: Vec<SocketAddr> = ports
            .iter()
            .map(|&port| ([127, 0, 0, 1], port).into())
            .collect();
        let service = &self.snapshot.services[0];
        service
            .deployments
            .get(deployment)
            .cluster
            .replace_endpoints(&addresses);
    }

    /// A request that is meant for a deployment, of a user.
    fn request(&self, assigned: DeploymentIndex, number: u64) -> Attempts {
        Attempts::new(
            &self.snapshot.services[0],
            &decision(assigned, ReasonKind::Default),
            user(number),
        )
    }

    fn next(&self, attempts: &mut Attempts) -> Result<u16, Cause> {
        let address = attempts.next(&self.site(), 0);
        address.map(|address| address.port())
    }

    fn failed(&self, attempts: &mut Attempts, failure: Failure) -> bool {
        attempts.failed(failure, replay(&Method::GET), &self.site())
    }
}

fn decision(assigned: DeploymentIndex, reason: ReasonKind) -> Decision {
    Decision {
        assigned,
        candidate: None,
        variant: None,
        reason: Reason::Plain(reason),
        randomised: false,
    }
}

fn replay(method: &Method) -> Replay<'_> {
    Replay {
        method,
        whole: true,
    }
}

/// What becomes of a request whose first attempt fails: `retry`, `rescue` or `end`.
fn after(
    scene: &Scene,
    deployment: DeploymentIndex,
    failure: Failure,
    replay: Replay<'_>,
) -> &'static str {
    let mut attempts = scene.request(deployment, 7);
    scene.next(&mut attempts).expect("an endpoint");
    let again = attempts.failed(failure, replay, &scene.site());
    match (again, attempts.deployment() == deployment) {
        (true, true) => "retry",
        (true, false) => "rescue",
        (false, _) => "end",
    }
}

#[test]
fn how_far_a_request_came_decides_what_becomes_of_it() {
    let scene = Scene::new();
    let (get, post) = (Method::GET, Method::POST);
    // A canary's GET, its POST, its GET whose body is gone; and stable's GET and POST.
    for (failure, expected) in [
        (
            Failure::Connect,
            ["rescue", "rescue", "end", "retry", "retry"],
        ),
        (
            Failure::Refused,
            ["rescue", "rescue", "end", "retry", "retry"],
        ),
        (
            Failure::Unavailable,
            ["rescue", "rescue", "end", "end", "end"],
        ),
        (Failure::Stale, ["retry", "end", "end", "retry", "end"]),
        (Failure::Reset, ["rescue", "end", "end", "end", "end"]),
        (Failure::StreamReset, ["rescue", "end", "end", "end", "end"]),
        (Failure::Timeout, ["rescue", "end", "end", "end", "end"]),
        (Failure::Status(500), ["rescue", "end", "end", "end", "end"]),
        (Failure::Status(503), ["rescue", "end", "end", "end", "end"]),
        (Failure::Status(429), ["end", "end", "end", "end", "end"]),
    ] {
        let gone = Replay {
            method: &get,
            whole: false,
        };
        let found = [
            after(&scene, CANARY, failure, replay(&get)),
            after(&scene, CANARY, failure, replay(&post)),
            after(&scene, CANARY, failure, gone),
            after(&scene, STABLE, failure, replay(&get)),
            after(&scene, STABLE, failure, replay(&post)),
        ];
        assert_eq!(found, expected, "{failure:?}");
    }
}

#[test]
fn a_dead_pooled_connection_takes_no_retry_from_what_fails_in_earnest() {
    let scene = Scene::new();
    scene.endpoints(STABLE, &[9001, 9011]);
    let mut attempts = scene.request(STABLE, 1);
    let first = scene.next(&mut attempts);
    assert!(scene.failed(&mut attempts, Failure::Stale));
    assert_eq!(
        scene.next(&mut attempts),
        first,
        "nothing speaks against it"
    );
    assert!(scene.failed(&mut attempts, Failure::Connect));
    assert_ne!(scene.next(&mut attempts), first);
    assert!(!scene.failed(&mut attempts, Failure::Connect));
    assert_eq!(attempts.retries(), [Cause::Reset, Cause::Connect]);

    // A second one is a retry like any other, and goes elsewhere.
    let mut attempts = scene.request(STABLE, 1);
    for _ in 0..2 {
        assert_eq!(scene.next(&mut attempts), first);
        assert!(scene.failed(&mut attempts, Failure::Stale));
    }
    assert_ne!(scene.next(&mut attempts), first);
    assert!(!scene.failed(&mut attempts, Failure::Stale));
}

#[test]
fn a_refusal_takes_no_retry_and_speaks_against_nobody() {
    let mut scene = Scene::new();
    scene.snapshot.services[0].upstream.retries.budget = Share::NONE;
    let post = Method::POST;
    let refused = |attempts: &mut Attempts| {
        scene.next(attempts).expect("an endpoint");
        attempts.failed(Failure::Refused, replay(&post), &scene.site())
    };
    // However many are refused at once: those are no load that an upstream carries.
    let mut all: Vec<Attempts> = (0..20).map(|user| scene.request(STABLE, user)).collect();
    for _ in 0..3 {
        assert!(all.iter_mut().all(refused));
    }
    let mut last = all.swap_remove(0);
    drop(all);
    assert!(refused(&mut last), "its one retry");
    assert!(!refused(&mut last));
    // A canary that refuses a request need not be asked again: there is stable.
    let mut attempts = scene.request(CANARY, 7);
    assert!(refused(&mut attempts));
    assert_eq!(attempts.deployment(), STABLE);
}

#[test]
fn what_ends_one_request_ejects_nobody_and_what_ends_a_connection_may() {
    for (failure, ejects) in [
        (Failure::Connect, true),
        (Failure::Refused, false),
        (Failure::Stale, false),
        (Failure::StreamReset, false),
        (Failure::Reset, true),
        (Failure::Timeout, true),
        (Failure::Status(500), true),
        (Failure::Status(429), false),
        (Failure::Unavailable, true),
    ] {
        let mut scene = Scene::new();
        scene.snapshot.services[0]
            .upstream
            .outlier
            .consecutive_failures = 5;
        for turn in 0..10 {
            let mut attempts = scene.request(CANARY, turn);
            if scene.next(&mut attempts) == Ok(9002) {
                attempts.failed(failure, replay(&Method::GET), &scene.site());
            }
        }
        let next = scene.next(&mut scene.request(CANARY, 77));
        assert_eq!(next == Ok(9001), ejects, "{failure:?}");
    }
}

#[test]
fn what_is_rescued_is_the_services_to_say() {
    let mut scene = Scene::new();
    let rescue = &mut scene.snapshot.services[0].upstream.rescue;
    rescue.methods = vec![Method::PUT];
    rescue.on = Triggers {
        timeout: true,
        ..Triggers::default()
    };
    rescue.on.statuses.insert(429);
    let (get, put) = (Method::GET, Method::PUT);
    for (failure, expected) in [
        (Failure::Connect, ["end", "end"]),
        (Failure::Reset, ["end", "end"]),
        (Failure::Timeout, ["rescue", "end"]),
        (Failure::Status(429), ["rescue", "end"]),
        (Failure::Status(503), ["end", "end"]),
        (Failure::Unavailable, ["end", "end"]),
    ] {
        // On connect there is a retry, which one endpoint of a canary has not.
        let found = [&put, &get].map(|method| after(&scene, CANARY, failure, replay(method)));
        assert_eq!(found, expected, "{failure:?}");
    }
    assert!(scene.request(CANARY, 7).could_be_rescued(
        Failure::Timeout,
        replay(&put),
        scene.site().service
    ));
}

#[test]
fn safe_requests_are_retried_for_what_the_service_says() {
    let mut scene = Scene::new();
    let retries = &mut scene.snapshot.services[0].upstream.retries;
    retries.on = Triggers {
        reset: true,
        timeout: true,
        statuses: Statuses::server_errors(),
        connect: false,
    };
    let (get, post) = (Method::GET, Method::POST);
    for failure in [Failure::Reset, Failure::Timeout, Failure::Status(502)] {
        assert_eq!(after(&scene, STABLE, failure, replay(&get)), "retry");
        assert_eq!(after(&scene, STABLE, failure, replay(&post)), "end");
        // It has one endpoint: the user need not wait for it again.
        assert_eq!(after(&scene, CANARY, failure, replay(&get)), "rescue");
    }
    assert_eq!(after(&scene, STABLE, Failure::Connect, replay(&get)), "end");
    scene.endpoints(CANARY, &[9002, 9012]);
    let mut elsewhere = scene.request(CANARY, 8);
    scene.next(&mut elsewhere).expect("an endpoint");
    assert!(scene.failed(&mut elsewhere, Failure::Reset));
    assert_eq!(elsewhere.deployment(), CANARY);
}

#[test]
fn a_canary_that_cannot_be_reached_is_tried_elsewhere_then_rescued() {
    let scene = Scene::new();
    scene.endpoints(CANARY, &[9002, 9012]);
    let mut attempts = scene.request(CANARY, 7);
    let first = scene.next(&mut attempts).expect("an endpoint");
    assert!(scene.failed(&mut attempts, Failure::Connect));
    let second = scene.next(&mut attempts).expect("the other endpoint");
    assert_eq!(
        (first + second, attempts.deployment()),
        (9002 + 9012, CANARY)
    );
    assert_eq!(attempts.cause(), None, "still where it is meant to be");
    assert!(scene.failed(&mut attempts, Failure::Connect));
    assert_eq!(scene.next(&mut attempts), Ok(9001));
    assert_eq!(
        (attempts.deployment(), attempts.cause()),
        (STABLE, Some(Cause::Connect))
    );
    assert_eq!(attempts.retries(), [Cause::Connect]);
    assert!(
        scene.failed(&mut attempts, Failure::Connect),
        "stable has a retry of its own"
    );
    assert_eq!(scene.next(&mut attempts), Ok(9001));
    assert!(!scene.failed(&mut attempts, Failure::Connect));
}

#[test]
fn a_status_that_nothing_is_done_about_is_an_answer() {
    let scene = Scene::new();
    let mut attempts = scene.request(STABLE, 7);
    scene.next(&mut attempts).expect("an endpoint");
    assert!(!scene.failed(&mut attempts, Failure::Status(500)));
    assert_eq!(attempts.cause(), None);
    let cluster = &scene.site().service.deployments.get(STABLE).cluster;
    assert_eq!(cluster.in_flight(), 1, "the attempt goes on");
    attempts.ended(AttemptEnd::Answered(500), &scene.site());
    assert_eq!(cluster.in_flight(), 0);
}

#[test]
fn the_first_cause_stays_when_stable_fails_too() {
    let scene = Scene::new();
    let mut attempts = scene.request(CANARY, 7);
    scene.next(&mut attempts).expect("an endpoint");
    assert!(scene.failed(&mut attempts, Failure::Status(500)));
    scene.next(&mut attempts).expect("stable");
    assert!(!scene.failed(&mut attempts, Failure::Reset));
    assert_eq!(attempts.cause(), Some(Cause::Status));
}

#[test]
fn a_canary_without_an_address_is_passed_over() {
    let scene = Scene::new();
    scene.endpoints(CANARY, &[]);
    let mut attempts = scene.request(CANARY, 7);
    assert_eq!(scene.next(&mut attempts), Ok(9001));
    assert_eq!(attempts.cause(), Some(Cause::Unhealthy));
}

#[test]
fn stable_is_never_replaced_by_a_canary() {
    let scene = Scene::new();
    scene.endpoints(STABLE, &[]);
    let mut attempts = scene.request(STABLE, 7);
    assert_eq!(scene.next(&mut attempts), Err(Cause::Unhealthy));
}

#[test]
fn a_withdrawn_canary_gets_no_further_attempt() {
    for (withdrawal, cause) in [
        (Withdrawal::Killed, Cause::Killed),
        (Withdrawal::LeaseOver, Cause::LeaseOver),
        (Withdrawal::Unknown, Cause::Killed),
    ] {
        let scene = Scene::new();
        scene.endpoints(CANARY, &[9002, 9012]);
        let mut attempts = scene.request(CANARY, 7);
        scene.next(&mut attempts).expect("an endpoint");
        // The snapshot is pinned; the mark is not.
        let service = scene.site().service;
        let mark = service.deployments.get(CANARY).mark.as_ref();
        mark.expect("a canary's mark").set(Some(withdrawal));
        assert!(scene.failed(&mut attempts, Failure::Connect));
        assert_eq!(scene.next(&mut attempts), Ok(9001));
        assert_eq!(attempts.cause(), Some(cause));
    }
}

#[test]
fn a_canary_has_no_more_requests_than_it_may() {
    let mut scene = Scene::new();
    scene.snapshot.services[0].upstream.max_in_flight = Some(2);
    let mut running: Vec<Attempts> = (0..4).map(|user| scene.request(CANARY, user)).collect();
    let ports: Vec<_> = running
        .iter_mut()
        .map(|attempts| scene.next(attempts))
        .collect();
    assert_eq!(ports, [Ok(9002), Ok(9002), Ok(9001), Ok(9001)]);
    assert_eq!(running[2].cause(), Some(Cause::Overload));
    running[0].ended(AttemptEnd::Answered(200), &scene.site());
    assert_eq!(scene.next(&mut scene.request(CANARY, 9)), Ok(9002));
    // Stable has no such bound.
    let mut stable: Vec<Attempts> = (0..4).map(|user| scene.request(STABLE, user)).collect();
    assert!(stable.iter_mut().all(|each| scene.next(each) == Ok(9001)));
}

#[test]
fn an_override_gets_the_canary_whatever_it_does() {
    let scene = Scene::new();
    let overridden = || {
        let decision = decision(CANARY, ReasonKind::Override);
        Attempts::new(scene.site().service, &decision, user(7))
    };
    for failure in [Failure::Reset, Failure::Timeout, Failure::Status(500)] {
        let mut attempts = overridden();
        scene.next(&mut attempts).expect("an endpoint");
        assert!(!scene.failed(&mut attempts, failure), "{failure:?}");
        assert_eq!(attempts.deployment(), CANARY);
    }
    scene.endpoints(CANARY, &[]);
    assert_eq!(scene.next(&mut overridden()), Err(Cause::Unhealthy));
}

#[test]
fn retries_stay_within_their_budget() {
    let mut scene = Scene::new();
    let share: Share = "10%".parse().expect("a share");
    scene.snapshot.services[0].upstream.retries.budget = share;
    let retry = |scene: &Scene| {
        let mut attempts = scene.request(STABLE, 7);
        scene.next(&mut attempts).expect("an endpoint");
        let again = scene.failed(&mut attempts, Failure::Connect);
        (again, attempts)
    };
    let held: Vec<_> = (0..5).map(|_| retry(&scene)).collect();
    let allowed = held.iter().filter(|(again, _)| *again).count();
    assert_eq!(allowed, 3, "three always may");
    let refused = &scene.snapshot.services[0].meter.retries_refused;
    assert_eq!(refused.get(), 2);
    drop(held);
    // With many requests a tenth of them may.
    let mut running: Vec<Attempts> = (0..50).map(|user| scene.request(STABLE, user)).collect();
    for attempts in &mut running {
        scene.next(attempts).expect("an endpoint");
    }
    let held: Vec<_> = (0..9).map(|_| retry(&scene)).collect();
    let allowed = held.iter().filter(|(again, _)| *again).count();
    assert_eq!(allowed, 5);
    // A rescue needs none.
    assert_eq!(
        after(&scene, CANARY, Failure::Reset, replay(&Method::GET)),
        "rescue"
    );
}

/// A rescue of a user after a failure. Where the user's next request goes, and why.
fn rescued(scene: &Scene, user: u64, failure: Failure) -> (Result<u16, Cause>, Option<Cause>) {
    let mut attempts = scene.request(CANARY, user);
    if scene.next(&mut attempts) == Ok(9002) {
        assert!(scene.failed(&mut attempts, failure));
    }
    let mut attempts = scene.request(CANARY, user);
    (scene.next(&mut attempts), attempts.cause())
}

#[test]
fn a_user_who_alone_fares_badly_is_spared_the_canary() {
    let mut scene = Scene::new();
    let on_canary = (Ok(9002), None);
    let held = (Ok(9001), Some(Cause::Quarantined));
    for _ in 0..2 {
        assert_eq!(rescued(&scene, 1, Failure::Status(500)), on_canary);
        // Others do well.
        let mut other = scene.request(CANARY, 2);
        scene.next(&mut other).expect("an endpoint");
        other.ended(AttemptEnd::Answered(200), &scene.site());
    }
    assert_eq!(rescued(&scene, 1, Failure::Timeout), held);
    assert_eq!(rescued(&scene, 2, Failure::Status(500)), on_canary);
    scene.now += Duration::from_secs(600);
    assert_eq!(
        rescued(&scene, 1, Failure::Status(500)),
        on_canary,
        "it is over"
    );
}

#[test]
fn an_ill_canary_sends_nobody_into_quarantine() {
    let scene = Scene::new();
    // Nobody gets through: it is not the users.
    for _ in 0..2 {
        for user in 1..4 {
            let (next, _) = rescued(&scene, user, Failure::Status(500));
            assert_eq!(next, Ok(9002));
        }
    }
    for user in 1..4 {
        assert_eq!(
            rescued(&scene, user, Failure::Status(500)),
            (Ok(9002), None)
        );
    }
    // Where nothing was done with a request, it cannot have been the request.
    let scene = Scene::new();
    for _ in 0..4 {
        for failure in [Failure::Connect, Failure::Refused] {
            assert_eq!(rescued(&scene, 1, failure), (Ok(9002), None));
        }
    }
}

#[test]
fn an_endpoint_is_in_flight_only_while_it_is_asked() {
    let scene = Scene::new();
    let in_flight = |deployment: DeploymentIndex| {
        let service = scene.site().service;
        service.deployments.get(deployment).cluster.in_flight()
    };
    let mut attempts = scene.request(CANARY, 7);
    scene.next(&mut attempts).expect("an endpoint");
    assert_eq!((in_flight(CANARY), in_flight(STABLE)), (1, 0));
    scene.failed(&mut attempts, Failure::Connect);
    scene.next(&mut attempts).expect("an endpoint");
    assert_eq!((in_flight(CANARY), in_flight(STABLE)), (0, 1));
    drop(attempts);
    assert_eq!((in_flight(CANARY), in_flight(STABLE)), (0, 0));
}
