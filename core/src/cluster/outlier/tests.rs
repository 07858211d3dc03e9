//! Ejection, trial and return, told by the minute hand of a clock of the tests' own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::canary::Cause;
use crate::cluster::endpoint::{AttemptEnd, EjectionRule, EndpointUse, Finding, Standing};
use crate::cluster::policy::{HealthPolicy, Probe, UpstreamPolicy};
use crate::cluster::{Choice, Cluster, DeploymentName, HealthListener, NoEndpoint};
use crate::flag::Share;

const OK: AttemptEnd = AttemptEnd::Answered(200);
const ERROR: AttemptEnd = AttemptEnd::Answered(500);
const REFUSED: AttemptEnd = AttemptEnd::Failed(Cause::Connect);

#[derive(Default)]
struct Rings(AtomicU32);

impl HealthListener for Rings {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A cluster, a policy, a clock and a source of numbers.
struct Scene {
    cluster: Arc<Cluster>,
    policy: UpstreamPolicy,
    start: Instant,
    now: Instant,
    random: u64,
    rings: Arc<Rings>,
}

impl Scene {
    fn new(deployment: &str, endpoints: u16) -> Self {
        let rings = Arc::new(Rings::default());
        let url = "http://name.test".parse().expect("a URL");
        let name = DeploymentName {
            service: "search",
            deployment,
        };
        let cluster = Cluster::new(1, name, url, rings.clone());
        let addresses: Vec<SocketAddr> = (1..=endpoints).map(address).collect();
        cluster.replace_endpoints(&addresses);
        let now = Instant::now();
        Self {
            cluster,
            policy: UpstreamPolicy::default(),
            start: now,
            now,
            random: 7,
            rings,
        }
    }

    fn seconds(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn pick(&mut self) -> Result<EndpointUse, NoEndpoint> {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005) + 1;
        self.cluster.pick(&Choice {
            policy: &self.policy,
            tried: &[],
            random: self.random,
            user_hash: None,
            now: self.now,
        })
    }

    /// Sends requests until one is with the endpoint of this port.
    fn pick_port(&mut self, port: u16) -> EndpointUse {
        for _ in 0..1000 {
            if let Ok(picked) = self.pick()
                && picked.address().port() == port
            {
                return picked;
            }
        }
        panic!("{port} is never chosen");
    }

    fn end(&self, picked: &EndpointUse, end: AttemptEnd) {
        picked.report(end, None, &self.policy, self.now);
    }

    fn answer(&mut self, port: u16, ends: &[AttemptEnd]) {
        for end in ends {
            let picked = self.pick_port(port);
            self.end(&picked, *end);
        }
    }

    /// Users' requests to the one endpoint, and how they end. Where it is on trial, the next one comes much later.
    fn users(&mut self, ends: &[(u64, AttemptEnd)]) {
        for (user, end) in ends {
            if self.standing(1) == Standing::Trial {
                self.seconds(3.0);
            }
            let picked = self.pick_for(*user).expect("an endpoint");
            picked.report(*end, Some(*user), &self.policy, self.now);
        }
    }

    fn pick_for(&self, user: u64) -> Result<EndpointUse, NoEndpoint> {
        self.cluster.pick(&Choice {
            policy: &self.policy,
            tried: &[],
            random: self.random,
            user_hash: Some(user),
            now: self.now,
        })
    }

    fn standing(&self, port: u16) -> Standing {
        let endpoints = self.cluster.endpoints();
        let endpoint = endpoints.iter().find(|e| e.address.port() == port);
        endpoint.expect("an endpoint").standing(self.now)
    }

    /// How many of a thousand requests each endpoint gets.
    fn shares(&mut self, endpoints: u16) -> Vec<u32> {
        let mut counts = vec![0; usize::from(endpoints)];
        for _ in 0..1000 {
            if let Ok(picked) = self.pick() {
                counts[usize::from(picked.address().port()) - 1] += 1;
            }
        }
        counts
    }

    /// What is left of an ejection, in seconds, and how many there were.
    fn ejection(&self, port: u16) -> Option<(f64, u8, EjectionRule, Cause)> {
        let endpoints = self.cluster.endpoints();
        let endpoint = endpoints.iter().find(|e| e.address.port() == port)?;
        let (ejection, left) = endpoint.ejection(self.now)?;
        Some((
            left.as_secs_f64(),
            ejection.times,
            ejection.rule,
            ejection.failure,
        ))
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn five_failures_in_a_row_eject_and_a_good_answer_between_them_does_not() {
    let mut scene = Scene::new("search.a", 1);
    let four = [ERROR, REFUSED, ERROR, AttemptEnd::Failed(Cause::Timeout)];
    scene.answer(1, &four);
    scene.answer(1, &[OK]);
    scene.answer(1, &four);
    assert_eq!(scene.standing(1), Standing::Healthy);
    scene.answer(1, &[AttemptEnd::Failed(Cause::Reset)]);
    assert_eq!(scene.standing(1), Standing::Ejected);
    let expected = (30.0, 1, EjectionRule::ConsecutiveFailures, Cause::Reset);
    assert_eq!(scene.ejection(1), Some(expected));
    assert_eq!(scene.pick().err(), Some(NoEndpoint::Unhealthy));
    assert_eq!(scene.rings.0.load(Ordering::Relaxed), 1);
    assert_eq!(scene.cluster.usable(scene.now), 0);
}

const RESET: AttemptEnd = AttemptEnd::Failed(Cause::Reset);
const LATE: AttemptEnd = AttemptEnd::Failed(Cause::Timeout);

#[test]
fn one_users_failures_eject_nobody() {
    for end in [ERROR, RESET, LATE] {
        let mut scene = Scene::new("search.a", 1);
        scene.users(&[(7, end); 200]);
        assert_eq!(scene.standing(1), Standing::Healthy, "{end:?}");
        // Nor do they with others' good answers between them, of which they are the larger part.
        scene.users(&[(7, end), (7, end), (8, OK)].repeat(100));
        assert_eq!(scene.standing(1), Standing::Healthy, "{end:?}");
        // Another's chance failure does not make them count.
        scene.users(&[(9, end)]);
        scene.users(&[(7, end); 200]);
        assert_eq!(scene.standing(1), Standing::Healthy, "{end:?}");
        // Whatever is configured.
        scene.policy.outlier.consecutive_failures = 1;
        scene.policy.outlier.min_requests = 1;
        let mut scene = Scene {
            policy: scene.policy,
            ..Scene::new("search.a", 1)
        };
        scene.users(&[(7, end); 200]);
        assert_eq!(scene.standing(1), Standing::Healthy, "{end:?}");
    }
}

#[test]
fn two_users_failures_eject() {
    for end in [ERROR, RESET, LATE] {
        let mut scene = Scene::new("search.a", 1);
        scene.users(&[(7, end), (8, end)].repeat(2));
        assert_eq!(scene.standing(1), Standing::Healthy, "{end:?}");
        scene.users(&[(7, end)]);
        assert_eq!(scene.standing(1), Standing::Ejected, "{end:?}");
        let mut scene = Scene::new("search.a", 1);
        scene.users(&[(7, end), (7, OK), (8, end), (8, OK)].repeat(5)[..19]);
        assert_eq!(scene.standing(1), Standing::Healthy, "{end:?}");
        scene.users(&[(9, end)]);
        assert_eq!(scene.standing(1), Standing::Ejected, "{end:?}");
    }
}

#[test]
fn no_connection_speaks_against_an_endpoint_whoever_asks() {
    let mut scene = Scene::new("search.a", 1);
    scene.users(&[(7, REFUSED); 5]);
    assert_eq!(scene.standing(1), Standing::Ejected);
    scene.seconds(30.0);
    scene.users(&[(7, REFUSED)]);
    let (_, times, rule, _) = scene.ejection(1).expect("an ejection");
    assert_eq!((times, rule), (2, EjectionRule::Relapse));
}

#[test]
fn one_user_neither_prolongs_a_trial_nor_takes_it_from_others() {
    let mut scene = Scene::new("search.a", 1);
    scene.users(&[(7, REFUSED); 5]);
    scene.seconds(30.0);
    scene.users(&[
        (7, ERROR),
        (8, OK),
        (7, ERROR),
        (7, RESET),
        (8, OK),
        (7, LATE),
    ]);
    assert_eq!(scene.standing(1), Standing::Trial);
    // However often they ask: the next turn is another's.
    scene.seconds(0.2);
    for _ in 0..100 {
        assert_eq!(scene.pick_for(7).err(), Some(NoEndpoint::Unhealthy));
    }
    let picked = scene.pick_for(8).expect("a turn");
    picked.report(OK, Some(8), &scene.policy, scene.now);
    assert_eq!(scene.standing(1), Standing::Warming(100));

    let mut scene = Scene::new("search.a", 1);
    scene.users(&[(7, REFUSED); 5]);
    scene.seconds(30.0);
    scene.users(&[(7, ERROR)]);
    assert_eq!(scene.standing(1), Standing::Trial);
    scene.users(&[(8, ERROR)]);
    let (_, times, rule, _) = scene.ejection(1).expect("an ejection");
    assert_eq!((times, rule), (2, EjectionRule::Relapse));
}

#[test]
fn statuses_below_500_are_good_answers() {
    let mut scene = Scene::new("search.a", 1);
    for status in [200, 301, 404, 429, 499] {
        scene.answer(1, &[AttemptEnd::Answered(status); 30]);
    }
    assert_eq!(scene.standing(1), Standing::Healthy);
}

#[test]
fn half_of_twenty_requests_within_the_window_eject() {
    let mut scene = Scene::new("search.a", 1);
    // Nine failures of eighteen long ago count no more.
    scene.answer(1, &[OK, ERROR].repeat(9));
    scene.seconds(10.5);
    scene.answer(1, &[OK, ERROR].repeat(9));
    assert_eq!(scene.standing(1), Standing::Healthy);
    scene.seconds(3.0);
    scene.answer(1, &[OK]);
    assert_eq!(scene.standing(1), Standing::Healthy);
    scene.answer(1, &[ERROR]);
    assert_eq!(scene.standing(1), Standing::Ejected);
    let (_, _, rule, _) = scene.ejection(1).expect("an ejection");
    assert_eq!(rule, EjectionRule::ErrorRatio);
}

#[test]
fn a_rule_of_zero_is_none() {
    let mut scene = Scene::new("search.a", 1);
    scene.policy.outlier.consecutive_failures = 0;
    scene.policy.outlier.error_ratio = Share::NONE;
    scene.answer(1, &[ERROR; 200]);
    assert_eq!(scene.standing(1), Standing::Healthy);
}

#[test]
fn a_trial_is_a_few_requests_and_three_good_answers_end_it() {
    let mut scene = Scene::new("search.a", 1);
    scene.answer(1, &[REFUSED; 5]);
    scene.seconds(29.9);
    assert_eq!(scene.pick().err(), Some(NoEndpoint::Unhealthy));
    scene.seconds(0.2);
    assert_eq!(scene.standing(1), Standing::Trial);
    for _ in 0..3 {
        assert_eq!(scene.standing(1), Standing::Trial);
        let picked = scene.pick().expect("a trial");
        for _ in 0..100 {
            assert_eq!(scene.pick().err(), Some(NoEndpoint::Unhealthy), "no flood");
        }
        scene.end(&picked, OK);
        scene.seconds(0.2);
    }
    assert_eq!(scene.standing(1), Standing::Warming(100));
    assert!(scene.pick().is_ok() && scene.pick().is_ok(), "it is back");
}

#[test]
fn a_relapse_ejects_for_longer_up_to_ten_times() {
    let mut scene = Scene::new("search.a", 1);
    scene.answer(1, &[REFUSED; 5]);
    for times in [2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
        let (left, ..) = scene.ejection(1).expect("an ejection");
        scene.seconds(left);
        scene.answer(1, &[ERROR]);
        let expected = f64::from(times) * 30.0;
        let relapse = (expected, times, EjectionRule::Relapse, Cause::Status);
        assert_eq!(scene.ejection(1), Some(relapse));
    }
}

#[test]
fn what_went_well_is_forgiven_one_for_each_ejection_time() {
    for (well, times) in [(29.0, 2), (31.0, 1), (300.0, 1)] {
        let mut scene = Scene::new("search.a", 1);
        scene.answer(1, &[REFUSED; 5]);
        scene.seconds(30.0);
        for _ in 0..3 {
            scene.answer(1, &[OK]);
            scene.seconds(0.2);
        }
        scene.seconds(well);
        scene.answer(1, &[REFUSED; 5]);
        let (left, found, ..) = scene.ejection(1).expect("an ejection");
        assert_eq!((left, found), (f64::from(times) * 30.0, times), "{well} s");
    }
}

#[test]
fn what_began_before_an_ejection_says_nothing_after_it() {
    let mut scene = Scene::new("search.a", 1);
    let late: Vec<EndpointUse> = (0..3).map(|_| scene.pick_port(1)).collect();
    scene.answer(1, &[REFUSED; 5]);
    scene.seconds(30.0);
    for picked in &late {
        scene.end(picked, OK);
    }
    assert_eq!(scene.standing(1), Standing::Trial);
    scene.end(&late[0], REFUSED);
    let (_, times, ..) = scene.ejection(1).expect("an ejection");
    assert_eq!(times, 1);
}

#[test]
fn who_is_back_gets_its_share_little_by_little() {
    let mut scene = Scene::new("stable", 2);
    scene.answer(2, &[REFUSED; 5]);
    assert_eq!(scene.shares(2), [1000, 0]);
    scene.seconds(30.0);
    for _ in 0..3 {
        scene.answer(2, &[OK]);
        scene.seconds(0.2);
    }
    let mut last = 0;
    for (seconds, share) in [(0.0, 91), (2.0, 180), (3.0, 345), (4.4, 487), (5.0, 500)] {
        scene.seconds(seconds);
        let own = scene.shares(2)[1];
        assert!(own.abs_diff(share) < 45, "{own} instead of {share}");
        assert!(own + 45 > last);
        last = own;
    }
    assert_eq!(scene.standing(2), Standing::Healthy);
}

#[test]
fn stable_loses_half_its_endpoints_at_most_and_panics_below() {
    let mut scene = Scene::new("stable", 4);
    scene.answer(1, &[REFUSED; 5]);
    scene.answer(2, &[REFUSED; 5]);
    scene.answer(3, &[REFUSED; 40]);
    assert_eq!(scene.standing(3), Standing::Healthy, "half are ejected");
    let shares = scene.shares(4);
    assert!(shares[0] + shares[1] == 0 && shares[2] > 400, "{shares:?}");
    // A check that fails knows no bound, and with it fewer than half are healthy.
    let health = health(1, 1);
    scene.cluster.endpoints()[2].take_check(finding(false), &health, scene.now);
    assert_eq!(scene.standing(3), Standing::Unhealthy);
    let shares = scene.shares(4);
    assert!(shares.iter().all(|&share| share > 180), "{shares:?}");
    // What ejected ones answer meanwhile changes nothing.
    scene.answer(1, &[OK; 10]);
    assert_eq!(scene.standing(1), Standing::Ejected);
}

#[test]
fn max_ejected_is_a_bound_but_one_may_always_go() {
    for (endpoints, share, most) in [(1, "50%", 1), (2, "1%", 1), (10, "30%", 3), (3, "0%", 0)] {
        let mut scene = Scene::new("stable", endpoints);
        scene.policy.outlier.max_ejected = share.parse().expect("a share");
        for port in 1..=endpoints {
            for _ in 0..40 {
                if scene.standing(port) != Standing::Ejected {
                    scene.answer(port, &[REFUSED]);
                }
            }
        }
        let ejected = (1..=endpoints).filter(|&port| scene.standing(port) == Standing::Ejected);
        assert_eq!(ejected.count(), most, "{share} of {endpoints}");
        assert!(scene.pick().is_ok(), "stable is always asked");
    }
}

#[test]
fn stable_on_trial_is_asked_when_nobody_else_is_left() {
    let mut scene = Scene::new("stable", 2);
    scene.answer(1, &[REFUSED; 5]);
    scene.seconds(30.0);
    let health = health(1, 1);
    scene.cluster.endpoints()[1].take_check(finding(false), &health, scene.now);
    let shares = scene.shares(2);
    assert_eq!(shares, [1000, 0], "it carries all, since half are usable");
}

#[test]
fn a_canary_may_lose_every_endpoint() {
    let mut scene = Scene::new("search.a", 3);
    for port in [1, 2, 3] {
        scene.answer(port, &[REFUSED; 5]);
    }
    assert_eq!(scene.pick().err(), Some(NoEndpoint::Unhealthy));
    assert!(!scene.cluster.has_other(&[], scene.now));
}

#[test]
fn threads_never_eject_more_than_may_be() {
    let scene = Scene::new("stable", 8);
    let (cluster, policy, now) = (&scene.cluster, &scene.policy, scene.start);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            scope.spawn(move || {
                for round in 0..2_000_u64 {
                    let random = (thread << 32 | round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let choice = Choice {
                        policy,
                        tried: &[],
                        random,
                        user_hash: None,
                        now,
                    };
                    let picked = cluster.pick(&choice).expect("stable is always asked");
                    picked.report(REFUSED, None, policy, now);
                    let ejected = cluster.endpoints().len() - cluster.usable(now);
                    assert!(ejected <= 4, "{ejected}");
                }
            });
        }
    });
    assert_eq!(scene.cluster.usable(now), 4);
    let endpoints = scene.cluster.endpoints();
    assert!(endpoints.iter().all(|endpoint| endpoint.in_flight() == 0));
    assert_eq!(scene.rings.0.load(Ordering::Relaxed), 4);
}

fn health(unhealthy_after: u32, healthy_after: u32) -> HealthPolicy {
    HealthPolicy {
        probe: Probe::Tcp,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        unhealthy_after,
        healthy_after,
        tls: None,
    }
}

fn finding(passed: bool) -> Finding {
    Finding {
        passed,
        said: "so".into(),
        took: Duration::from_millis(1),
    }
}

#[test]
fn checks_count_in_a_row_and_recovery_is_slow() {
    let mut scene = Scene::new("search.a", 1);
    let health = health(3, 2);
    let endpoint = scene.cluster.endpoints()[0].clone();
    let mut seen = Vec::new();
    for passed in [
        false, false, true, false, false, false, true, false, true, true,
    ] {
        endpoint.take_check(finding(passed), &health, scene.now);
        seen.push(endpoint.standing(scene.now).is_usable());
    }
    let bad = [5, 6, 7, 8];
    let expected: Vec<bool> = (0..10).map(|index| !bad.contains(&index)).collect();
    assert_eq!(seen, expected);
    assert_eq!(endpoint.standing(scene.now), Standing::Warming(100));
    assert_eq!(endpoint.last_check().map(|check| check.streak), Some(2));
    assert_eq!(scene.rings.0.load(Ordering::Relaxed), 2);
    scene.seconds(10.0);
    assert_eq!(endpoint.standing(scene.now), Standing::Healthy);
    for _ in 0..3 {
        endpoint.take_check(finding(false), &health, scene.now);
    }
    assert_eq!(scene.pick().err(), Some(NoEndpoint::Unhealthy));
    endpoint.forget_checks();
    assert!(scene.pick().is_ok(), "without checks nobody fails them");
}

#[test]
fn a_good_check_does_not_end_an_ejection() {
    let mut scene = Scene::new("search.a", 1);
    let health = health(1, 1);
    let endpoint = scene.cluster.endpoints()[0].clone();
    scene.answer(1, &[ERROR; 5]);
    endpoint.take_check(finding(false), &health, scene.now);
    assert_eq!(scene.standing(1), Standing::Unhealthy);
    endpoint.take_check(finding(true), &health, scene.now);
    assert_eq!(scene.standing(1), Standing::Ejected);
}

#[test]
fn an_address_that_stays_keeps_its_ejection() {
    let mut scene = Scene::new("search.a", 1);
    scene.answer(1, &[REFUSED; 5]);
    scene.cluster.replace_endpoints(&[address(1), address(2)]);
    assert_eq!(scene.standing(1), Standing::Ejected);
    assert_eq!(scene.shares(2), [0, 1000]);
    scene.cluster.replace_endpoints(&[address(2)]);
    scene.cluster.replace_endpoints(&[address(1)]);
    assert_eq!(scene.standing(1), Standing::Healthy, "a stranger by now");
}
