use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};

use super::{AccessLog, QUEUE};
use crate::canary::{Cause, ReasonKind};
use crate::config::{AccessPolicy, UserIdPolicy};
use crate::context::Moment;
use crate::decide::{Decision, Reason, VariantRef};
use crate::engine::{AudienceKind, RingIndex, VariantIndex};
use crate::flag::Share;
use crate::publisher::tests::fixture;
use crate::record::Outcome;
use crate::route::{RouteIndex, ServiceIndex};
use crate::snapshot::assemble::assemble;
use crate::snapshot::offline::{NoopMeters, Offline};
use crate::snapshot::{CandidateIndex, DeploymentIndex, STABLE, Snapshot};

/// An output that the test can look at.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn snapshot(access: AccessPolicy, user_id: UserIdPolicy) -> Arc<Snapshot> {
    let mut config = fixture::config("http://127.0.0.1:81", 1);
    config.logging.access = access;
    config.logging.user_id = user_id;
    Arc::new(assemble(
        &config,
        7,
        &mut Offline::default(),
        &mut NoopMeters,
    ))
}

fn outcome(snapshot: &Arc<Snapshot>) -> Outcome<'_> {
    Outcome {
        snapshot,
        route: Some(RouteIndex::new(0)),
        service: Some(ServiceIndex::new(0)),
        decision: Some(Decision {
            assigned: DeploymentIndex::new(1),
            candidate: Some(CandidateIndex::new(0)),
            variant: Some(VariantRef::Flag(VariantIndex::new(1))),
            reason: Reason::Audience(AudienceKind::Ring, RingIndex::new(0)),
            randomised: true,
        }),
        served: Some(DeploymentIndex::new(1)),
        cause: None,
        retries: &[],
        status: 200,
        request_bytes: 1,
        response_bytes: 2,
        upstream_time: Some(Duration::from_micros(1_500)),
        total_time: Duration::from_micros(2_000_001),
        moment: Moment {
            unix_ms: 1_700_000_000_120,
        },
        method: "GET",
        host: "api.example.com",
        path: "/search/a",
        user: None,
        user_id: Some("u1"),
        client: IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        request_id: "r1",
        upstream: Some(([10, 0, 0, 9], 80).into()),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
    }
}

fn log() -> (AccessLog, Page) {
    let page = Page::default();
    (AccessLog::start(page.clone()).unwrap(), page)
}

/// As the proxy does it.
fn tell(log: &AccessLog, outcome: &Outcome<'_>) {
    if log.picks(outcome) {
        log.offer(outcome);
    }
}

#[test]
fn a_line_says_what_became_of_a_request() {
    let snapshot = snapshot(AccessPolicy::All, UserIdPolicy::Plain);
    let (log, page) = log();
    tell(&log, &outcome(&snapshot));
    log.flush(Duration::from_secs(10));
    let expected = json!({
        "time": "2023-11-14T22:13:20.120Z", "request_id": "r1", "client": "127.0.0.1",
        "method": "GET", "host": "api.example.com", "path": "/search/a",
        "route": "/search", "service": "search", "flag": "search.ab", "variant": "b",
        "assigned": "search.ab", "reason": "ring", "randomised": true, "served": "search.ab",
        "upstream": "10.0.0.9:80", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "digest": snapshot.digest.to_string(),
        "retries": 0, "generation": 7, "status": 200, "request_bytes": 1, "response_bytes": 2,
        "upstream_seconds": 0.0015, "total_seconds": 2.000_001, "user_id": "u1", "cause": null,
    });
    assert_eq!(page.lines(), [expected]);
}

#[test]
fn a_request_that_no_route_takes_has_a_line_too() {
    let snapshot = snapshot(AccessPolicy::All, UserIdPolicy::Plain);
    let (log, page) = log();
    tell(
        &log,
        &Outcome {
            route: None,
            service: None,
            decision: None,
            served: None,
            upstream_time: None,
            user_id: None,
            status: 404,
            ..outcome(&snapshot)
        },
    );
    log.flush(Duration::from_secs(10));
    let line = &page.lines()[0];
    assert_eq!(line["status"], 404);
    for absent in [
        "route",
        "service",
        "flag",
        "assigned",
        "served",
        "user_id",
        "upstream_seconds",
    ] {
        assert_eq!(line.get(absent), Some(&Value::Null), "{absent}");
    }
}

#[test]
fn no_text_of_a_clients_breaks_a_line_or_grows_without_bound() {
    let snapshot = snapshot(AccessPolicy::All, UserIdPolicy::Plain);
    let (log, page) = log();
    let path = format!(
        "/\n{{\"status\":200}}\r\u{0}\u{2028}\"{}",
        "ä".repeat(50_000)
    );
    tell(
        &log,
        &Outcome {
            path: &path,
            user: None,
            user_id: Some("a\nb"),
            ..outcome(&snapshot)
        },
    );
    log.flush(Duration::from_secs(10));
    let lines = page.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["user_id"], "a\nb");
    let logged = lines[0]["path"].as_str().unwrap();
    assert!(logged.len() < 2_100 && path.starts_with(logged.trim_end_matches('…')));
}

#[test]
fn users_are_shown_as_asked() {
    let user = |policy| {
        let snapshot = snapshot(AccessPolicy::All, policy);
        let (log, page) = log();
        tell(&log, &outcome(&snapshot));
        log.flush(Duration::from_secs(10));
        page.lines()[0]["user_id"].clone()
    };
    assert_eq!(user(UserIdPolicy::Omit), Value::Null);
    // printf u1 | openssl dgst -sha256 -hmac key
    let hash = user(UserIdPolicy::Hash((*b"key").into()));
    assert_eq!(hash, json!(HMAC_OF_U1));
}

const HMAC_OF_U1: &str = "dc0708706ec6b9b1224ee4d159bdf54509c6a7abf5640861e142aa0942f4a6bb";

#[test]
fn sampling_keeps_its_share_and_everything_that_went_wrong() {
    let share = Share::new(1_000).unwrap();
    let sampled = snapshot(AccessPolicy::Sampled(share), UserIdPolicy::Omit);
    let log = AccessLog::start(std::io::sink()).unwrap();
    let wanted = |outcome: &Outcome<'_>| log.picks(outcome);
    let kept = (0..20_000).filter(|_| wanted(&outcome(&sampled))).count();
    // Ten standard deviations of a tenth.
    assert!((1_575..2_425).contains(&kept), "{kept} of 20,000");

    let nothing = snapshot(AccessPolicy::Sampled(Share::NONE), UserIdPolicy::Omit);
    assert!(!wanted(&outcome(&nothing)));
    let failed = Outcome {
        status: 503,
        ..outcome(&nothing)
    };
    let rescued = Outcome {
        served: Some(STABLE),
        cause: Some(Cause::Connect),
        ..outcome(&nothing)
    };
    assert!(wanted(&failed) && wanted(&rescued));

    let off = snapshot(AccessPolicy::Off, UserIdPolicy::Omit);
    let failed = Outcome {
        status: 503,
        ..outcome(&off)
    };
    assert!(!wanted(&failed));
    assert_eq!(
        Reason::Audience(AudienceKind::Ring, RingIndex::new(0)).kind(),
        ReasonKind::Ring
    );
}

#[test]
fn a_reader_who_stops_holds_nobody_up() {
    /// Writes nothing until told to go on.
    struct Stuck(mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (go_on, stuck) = mpsc::channel();
    let log = AccessLog::start(Stuck(stuck)).unwrap();
    let snapshot = snapshot(AccessPolicy::All, UserIdPolicy::Omit);
    for _ in 0..3 * QUEUE {
        tell(&log, &outcome(&snapshot));
    }
    // What is neither queued nor with the writer, who may have taken a chunk, is lost and counted.
    let dropped = log.dropped().get();
    assert!(
        dropped > QUEUE as u64 && dropped < 2 * QUEUE as u64 + 1,
        "{dropped}"
    );
    drop(go_on);
    log.flush(Duration::from_secs(10));
    tell(&log, &outcome(&snapshot));
    assert_eq!(log.dropped().get(), dropped);
}
