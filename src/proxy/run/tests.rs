//! Requests driven through their steps over raw bytes: a loop without sockets, and nothing of pingora.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{
    Arrival, DebugHeader, HeadStep, NoAttempt, RequestEnd, RequestRun, ResponseStep, StepContext,
};
use crate::attempts::{Failure, Replay};
use crate::canary::Cause;
use crate::context::Moment;
use crate::dispatch::Terms;
use crate::flag::Share;
use crate::identity::Anonymous;
use crate::meter::Gauge;
use crate::proxy::throttle::Throttle;
use crate::quarantine::Quarantine;
use crate::record::raw_fields::RawFields;
use crate::request::{HeaderLookup as _, RequestHead};
use crate::snapshot::{DeploymentIndex, STABLE, Snapshot, sample};
use crate::telemetry::log::DEBUG_REQUEST;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SECOND: Duration = Duration::from_secs(1);
/// The position of `search.a`, which user `ann` gets.
const CANARY: DeploymentIndex = DeploymentIndex::new(1);
const REQUEST: &str = "GET /search/a HTTP/1.1\r\nHost: api.example.com\r\nX-User-ID: ann\r\n\r\n";

/// What an attempt meets.
#[derive(Clone, Copy)]
enum Upstream {
    /// No connection can be made.
    Closed,
    /// The connection breaks before an answer.
    Breaks,
    /// This answer, of which the whole comes.
    Answers(&'static str),
    /// This answer, of which the head comes.
    Begins(&'static str),
    /// The client goes before an answer comes.
    ClientGoes,
    /// No answer comes for so long.
    Silent(Duration),
}

/// What a loop of our own keeps between requests.
struct Loop {
    snapshot: Arc<Snapshot>,
    quarantine: Quarantine,
    active: Arc<Gauge>,
    now: Instant,
    peer: IpAddr,
    throttle: Throttle,
    debug: Option<DebugHeader>,
}

/// What a client and the upstreams saw of a request, in order.
#[derive(Debug)]
struct Seen {
    steps: Vec<String>,
    cause: Option<Cause>,
    deployment: Option<DeploymentIndex>,
}

impl Loop {
    fn new() -> Self {
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        let policy = &mut snapshot.services[0].upstream;
        policy.response_timeout = 10 * SECOND;
        policy.rescue.after = Some(2 * SECOND);
        policy.outlier.consecutive_failures = 0;
        policy.outlier.error_ratio = Share::NONE;
        let now = Instant::now();
        Self {
            snapshot: Arc::new(snapshot),
            quarantine: Quarantine::new(now),
            active: Arc::default(),
            now,
            peer: CLIENT,
            throttle: Throttle::new(now),
            debug: None,
        }
    }

    fn begin(&self) -> RequestRun {
        let moment = Moment { unix_ms: 0 };
        RequestRun::begin(self.snapshot.clone(), self.now, moment, &self.active)
    }

    /// Takes a request to its end; each attempt meets the next of `upstreams`.
    fn drive(&self, bytes: &str, upstreams: &[Upstream]) -> Seen {
        let mut slots = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut slots);
        let status = parsed.parse(bytes.as_bytes()).expect("a request");
        assert!(status.is_complete());
        let fields = RawFields::of(parsed.headers.iter().map(|field| (field.name, field.value)));
        let head = RequestHead {
            method: parsed.method.expect("a method"),
            authority: fields.text("host").unwrap_or_default(),
            path: parsed.path.expect("a target"),
            query: None,
            headers: &fields,
            peer: self.peer,
            peer_trusted: self.snapshot.identity.trusts(self.peer),
        };
        let arrival = Arrival {
            origin_form: None,
            terms: Terms {
                host_required: true,
                keep_user_id: false,
            },
            throttle: &self.throttle,
            debug: self.debug.as_ref(),
        };
        let mut run = self.begin();
        assert_eq!(self.active.get(), 1);
        let mut steps = Vec::new();
        let mut end = RequestEnd::default();
        let fresh = || HeaderValue::from_static("fresh");
        match run.on_head(&head, arrival, fresh) {
            HeadStep::Forward => {
                let method: Method = head.method.parse().expect("a method");
                end.status = self.forward(&mut run, &method, upstreams, &mut steps);
            }
            HeadStep::Refuse(refusal) => end.status = Some(refusal.status.as_u16()),
            HeadStep::Respond(response) => end.status = Some(response.status.as_u16()),
            other => panic!("{other:?}"),
        }
        steps.push(format!("client gets {}", end.status.unwrap_or(0)));
        let replay = Replay {
            method: &Method::GET,
            whole: true,
        };
        let step = self.step(replay, self.now);
        run.on_end(end, &step);
        let seen = Seen {
            steps,
            cause: run.upstream.as_ref().and_then(|own| own.attempts.cause()),
            deployment: run.upstream.as_ref().map(|own| own.attempts.deployment()),
        };
        drop(run);
        assert_eq!(self.active.get(), 0);
        let service = &self.snapshot.services[0];
        let in_flight = |index: DeploymentIndex| service.deployments.get(index).cluster.in_flight();
        assert_eq!((in_flight(STABLE), in_flight(CANARY)), (0, 0));
        seen
    }

    fn step<'a>(&'a self, replay: Replay<'a>, now: Instant) -> StepContext<'a> {
        StepContext {
            quarantine: &self.quarantine,
            replay,
            now,
        }
    }

    /// Attempts until there is an answer or nothing more to try. The status that the client gets.
    fn forward(
        &self,
        run: &mut RequestRun,
        method: &Method,
        upstreams: &[Upstream],
        steps: &mut Vec<String>,
    ) -> Option<u16> {
        let replay = Replay {
            method,
            whole: true,
        };
        let mut now = self.now;
        let mut upstreams = upstreams.iter();
        loop {
            let next = match run.on_attempt(&self.step(replay, now), 0) {
                Ok(next) => next,
                Err(NoAttempt::TimeIsOver) => return Some(504),
                Err(NoAttempt::NobodyToAsk) => return Some(503),
            };
            steps.push(format!("asks {}", next.address.port()));
            let upstream = *upstreams.next().expect("an attempt too many");
            let fails = |run: &mut RequestRun, failure, answered, now| {
                run.on_failure(failure, answered, &self.step(replay, now))
            };
            let again = match upstream {
                Upstream::Closed => fails(run, Failure::Connect, false, now),
                Upstream::Breaks => {
                    run.on_connected(replay, || false);
                    fails(run, Failure::Reset, false, now)
                }
                Upstream::Silent(time) => {
                    let deadline = run.on_connected(replay, || false);
                    let deadline = deadline.expect("a deadline");
                    assert_eq!(deadline, now + time);
                    now = deadline;
                    fails(run, Failure::Timeout, false, now)
                }
                Upstream::ClientGoes => {
                    run.on_connected(replay, || false);
                    return None;
                }
                Upstream::Answers(bytes) | Upstream::Begins(bytes) => {
                    run.on_connected(replay, || false);
                    let (status, headers) = response(bytes);
                    let failure = Failure::of_answer(status, &headers);
                    let step = self.step(replay, now);
                    match run.on_response_head(status.as_u16(), failure, &step) {
                        ResponseStep::SetAside => true,
                        ResponseStep::PassOn => {
                            if matches!(upstream, Upstream::Begins(_)) {
                                assert!(!fails(run, Failure::Reset, true, now));
                            }
                            return Some(status.as_u16());
                        }
                    }
                }
            };
            if !again {
                return Some(502);
            }
        }
    }
}

fn response(bytes: &str) -> (StatusCode, HeaderMap) {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut slots);
    parsed.parse(bytes.as_bytes()).expect("a response");
    let fields = parsed.headers.iter().map(|field| {
        let name: HeaderName = field.name.parse().expect("a name");
        (name, HeaderValue::from_bytes(field.value).expect("a value"))
    });
    let status = StatusCode::from_u16(parsed.code.expect("a code")).expect("a status");
    (status, fields.collect())
}

const OK: Upstream = Upstream::Answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const BROKEN: Upstream = Upstream::Answers("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");

#[test]
fn a_first_attempt_that_is_answered_is_the_last() {
    let seen = Loop::new().drive(REQUEST, &[OK]);
    assert_eq!(seen.steps, ["asks 9002", "client gets 200"]);
    assert_eq!((seen.deployment, seen.cause), (Some(CANARY), None));
}

#[test]
fn what_fails_before_it_was_sent_is_retried() {
    let stable = REQUEST.replace("ann", "bob");
    let seen = Loop::new().drive(
        &stable.replace("/search/a", "/plain"),
        &[Upstream::Closed, OK],
    );
    assert_eq!(
        seen.steps.last().map(String::as_str),
        Some("client gets 200")
    );
    assert_eq!(seen.steps.len(), 3);
}

#[test]
fn a_canary_that_breaks_answers_with_an_error_or_is_late_is_rescued() {
    for (upstream, cause) in [
        (Upstream::Breaks, Cause::Reset),
        (BROKEN, Cause::Status),
        (Upstream::Silent(2 * SECOND), Cause::Timeout),
    ] {
        let seen = Loop::new().drive(REQUEST, &[upstream, OK]);
        assert_eq!(seen.steps, ["asks 9002", "asks 9001", "client gets 200"]);
        assert_eq!((seen.deployment, seen.cause), (Some(STABLE), Some(cause)));
    }
}

#[test]
fn what_may_have_had_effects_is_not_sent_again() {
    let post = REQUEST.replace("GET", "POST");
    let seen = Loop::new().drive(&post, &[Upstream::Breaks]);
    assert_eq!(seen.steps, ["asks 9002", "client gets 502"]);
    assert_eq!(seen.cause, Some(Cause::Reset));
    // Nor is an answer that nothing is done about anything but an answer.
    let seen = Loop::new().drive(&post, &[BROKEN]);
    assert_eq!(seen.steps, ["asks 9002", "client gets 500"]);
    assert_eq!(seen.cause, None);
}

#[test]
fn stable_has_the_services_time_and_is_not_rescued() {
    let loops = Loop::new();
    let late = [Upstream::Silent(2 * SECOND), Upstream::Silent(10 * SECOND)];
    let seen = loops.drive(REQUEST, &late);
    assert_eq!(seen.steps, ["asks 9002", "asks 9001", "client gets 502"]);
    assert_eq!(seen.cause, Some(Cause::Timeout));
}

#[test]
fn an_answer_that_breaks_off_is_counted_and_final() {
    let loops = Loop::new();
    let seen = loops.drive(REQUEST, &[Upstream::Begins("HTTP/1.1 200 OK\r\n\r\n")]);
    assert_eq!(seen.steps, ["asks 9002", "client gets 200"]);
    assert_eq!(seen.cause, Some(Cause::Reset));
    let canary = loops.snapshot.services[0].deployments.get(CANARY);
    assert_eq!(canary.meter.broken.get(), 1);
}

#[test]
fn a_refused_request_asks_nobody() {
    let seen = Loop::new().drive(
        "GET /nowhere HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        &[],
    );
    assert_eq!(seen.steps, ["client gets 404"]);
    assert_eq!(seen.deployment, None);
}

#[test]
fn a_client_that_goes_leaves_an_attempt_that_is_nobodys_failure() {
    let seen = Loop::new().drive(REQUEST, &[Upstream::ClientGoes]);
    assert_eq!(seen.steps, ["asks 9002", "client gets 0"]);
    assert_eq!(seen.cause, None);
}

#[test]
fn no_endpoint_is_the_end_and_so_is_a_time_that_is_over() {
    let loops = Loop::new();
    for deployment in &loops.snapshot.services[0].deployments {
        deployment.cluster.replace_endpoints(&[]);
    }
    let seen = loops.drive(REQUEST, &[]);
    assert_eq!(seen.steps, ["client gets 503"]);
    assert_eq!(seen.cause, Some(Cause::Unhealthy));
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the log has of `then`, at level `info`, and of requests that are debugged.
fn logged(then: impl FnOnce()) -> String {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::registry()
        .with(
            Targets::new()
                .with_target("serin", LevelFilter::INFO)
                .with_target(DEBUG_REQUEST, LevelFilter::DEBUG),
        )
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(move || writer.clone()),
        );
    tracing::subscriber::with_default(subscriber, then);
    let bytes = written.0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8(bytes.clone()).expect("text")
}

#[test]
fn the_steps_of_a_picked_request_are_logged_and_of_no_other() {
    let mut loops = Loop::new();
    loops.debug = Some("X-Debug: 0123456789abcdef".parse().expect("a header"));
    let with = |field: &str| REQUEST.replace("X-User-ID", &format!("{field}\r\nX-User-ID"));
    let log = logged(|| {
        loops.drive(REQUEST, &[OK]);
        loops.drive(&with("X-Debug: 0123456789abcdeF"), &[OK]);
        loops.drive(&with("X-Debug: 0123456789abcdef0"), &[OK]);
    });
    assert_eq!(log, "");
    let log = logged(|| {
        loops.drive(&with("X-Debug: 0123456789abcdef"), &[BROKEN, OK]);
    });
    for step in [
        "head read",
        "dispatched",
        "assigned=\"search.a\"",
        "attempt begins",
        "endpoint=127.0.0.1:9002",
        "failure=Status(500) follows=\"rescue\"",
        "endpoint=127.0.0.1:9001",
        "response head",
        "request ends",
    ] {
        assert!(log.contains(step), "{step} is not in:\n{log}");
    }
    for line in log.lines() {
        assert!(line.contains("request_id=\"fresh\""), "{line}");
        assert!(!line.contains("0123456789"), "a secret in {line}");
    }
}

#[test]
fn without_a_secret_only_a_trusted_proxy_picks() {
    let mut loops = Loop::new();
    loops.debug = Some("x-debug".parse().expect("a header"));
    let picked = REQUEST.replace("X-User-ID", "X-Debug: any\r\nX-User-ID");
    let log = logged(|| {
        loops.drive(&picked, &[OK]);
    });
    assert_eq!(log, "");
    loops.peer = PROXY;
    let log = logged(|| {
        loops.drive(REQUEST, &[OK]);
    });
    assert_eq!(log, "");
    let log = logged(|| {
        loops.drive(&picked, &[OK]);
    });
    assert!(log.contains("request ends"), "{log}");
}

#[test]
fn a_header_to_debug_by_is_a_name_and_a_long_value_if_any() {
    for good in [
        "x-debug",
        "X-Debug: 0123456789abcdef",
        "x:0123456789abcdef ",
    ] {
        assert!(good.parse::<DebugHeader>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "x debug",
        ": 0123456789abcdef",
        "x-debug:",
        "x: short",
        "x: 0123456789 abcdef",
    ] {
        assert!(bad.parse::<DebugHeader>().is_err(), "{bad}");
    }
}
