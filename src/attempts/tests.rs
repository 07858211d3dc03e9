use std::net::SocketAddr;
use std::time::Instant;

use super::Attempts;
use crate::canary::{Cause, ReasonKind};
use crate::decide::{Decision, Reason};
use crate::identity::Anonymous;
use crate::snapshot::{Service, Snapshot, sample};

/// The position of `search.a`.
const CANARY: usize = 1;

fn decision(assigned: usize) -> Decision {
    Decision {
        assigned,
        candidate: None,
        variant: None,
        reason: Reason::Plain(ReasonKind::Default),
        randomised: false,
    }
}

fn addresses(snapshot: &Snapshot, deployment: usize, ports: &[u16]) {
    let addresses: Vec<SocketAddr> = ports
        .iter()
        .map(|&port| ([127, 0, 0, 1], port).into())
        .collect();
    snapshot.services[0].deployments[deployment]
        .cluster
        .replace_endpoints(&addresses);
}

fn next(attempts: &mut Attempts, service: &Service) -> Option<u16> {
    attempts
        .next(service, 0, Instant::now())
        .map(|address| address.port())
}

#[test]
fn a_canary_that_cannot_be_reached_is_tried_elsewhere_then_rescued() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    addresses(&snapshot, CANARY, &[9002, 9012]);
    let service = &snapshot.services[0];
    let mut attempts = Attempts::new(service, &decision(CANARY), None);
    let first = next(&mut attempts, service).expect("an endpoint");
    assert!(attempts.connect_failed(service, Instant::now()));
    let second = next(&mut attempts, service).expect("the other endpoint");
    assert_eq!(
        (first + second, attempts.deployment()),
        (9002 + 9012, CANARY)
    );
    assert_eq!(attempts.cause(), None, "still where it is meant to be");
    assert!(attempts.connect_failed(service, Instant::now()));
    assert_eq!(next(&mut attempts, service), Some(9001));
    assert_eq!(
        (attempts.deployment(), attempts.cause()),
        (0, Some(Cause::Connect))
    );
    assert_eq!(attempts.retries(), [Cause::Connect]);
    assert!(
        attempts.connect_failed(service, Instant::now()),
        "stable has a retry of its own"
    );
    assert_eq!(next(&mut attempts, service), Some(9001));
    assert!(!attempts.connect_failed(service, Instant::now()));
}

#[test]
fn a_canary_with_one_address_is_not_asked_twice() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let service = &snapshot.services[0];
    let mut attempts = Attempts::new(service, &decision(CANARY), None);
    assert_eq!(next(&mut attempts, service), Some(9002));
    assert!(attempts.connect_failed(service, Instant::now()));
    assert_eq!(next(&mut attempts, service), Some(9001));
    assert!(attempts.retries().is_empty());
}

#[test]
fn a_canary_without_an_address_is_passed_over() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    addresses(&snapshot, CANARY, &[]);
    let service = &snapshot.services[0];
    let mut attempts = Attempts::new(service, &decision(CANARY), None);
    assert_eq!(next(&mut attempts, service), Some(9001));
    assert_eq!(attempts.cause(), Some(Cause::Unhealthy));
}

#[test]
fn stable_is_never_replaced_by_a_canary() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    addresses(&snapshot, 0, &[]);
    let service = &snapshot.services[0];
    assert_eq!(
        next(&mut Attempts::new(service, &decision(0), None), service),
        None
    );
}

#[test]
fn without_rescue_the_canary_keeps_its_user() {
    let mut snapshot = sample::snapshot(Anonymous::Stable);
    snapshot.services[0].upstream.rescue_on_connect = false;
    let service = &snapshot.services[0];
    let mut attempts = Attempts::new(service, &decision(CANARY), None);
    assert!(next(&mut attempts, service).is_some());
    assert!(!attempts.connect_failed(service, Instant::now()));
    assert_eq!(
        (attempts.deployment(), attempts.cause()),
        (CANARY, Some(Cause::Connect))
    );
}

#[test]
fn an_endpoint_is_in_flight_only_while_it_is_asked() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let service = &snapshot.services[0];
    let in_flight =
        |deployment: usize| service.deployments[deployment].cluster.endpoints()[0].in_flight();
    let mut attempts = Attempts::new(service, &decision(CANARY), None);
    next(&mut attempts, service);
    assert_eq!((in_flight(CANARY), in_flight(0)), (1, 0));
    attempts.connect_failed(service, Instant::now());
    next(&mut attempts, service);
    assert_eq!((in_flight(CANARY), in_flight(0)), (0, 1));
    drop(attempts);
    assert_eq!((in_flight(CANARY), in_flight(0)), (0, 0));
}
