use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::mix;
use crate::cluster::endpoint::{EndpointUse, Finding};
use crate::cluster::policy::{HealthPolicy, Probe, UpstreamPolicy};
use crate::cluster::{Balance, Choice, Cluster, DeploymentName, NoopListener, Placement};

const USERS: u64 = 10_000;

fn cluster(placements: &[Placement]) -> Arc<Cluster> {
    let url = "http://name.test".parse().expect("a URL");
    let name = DeploymentName {
        service: "search",
        deployment: "stable",
    };
    let cluster = Cluster::new(1, name, url, Arc::new(NoopListener));
    cluster.place_endpoints(placements);
    cluster
}

fn equals(count: u16) -> Vec<Placement> {
    let address = |n| Placement::from(SocketAddr::from(([10, 0, 0, 1], n)));
    (1..=count).map(address).collect()
}

fn placed(list: &[(u16, u16, u16)]) -> Vec<Placement> {
    let place = |&(port, priority, weight): &(u16, u16, u16)| Placement {
        address: SocketAddr::from(([10, 0, 0, 1], port)),
        priority,
        weight,
    };
    list.iter().map(place).collect()
}

struct Sender {
    policy: UpstreamPolicy,
    now: Instant,
    random: u64,
}

impl Sender {
    fn new(balance: Balance) -> Self {
        Self {
            policy: UpstreamPolicy {
                balance,
                ..UpstreamPolicy::default()
            },
            now: Instant::now(),
            random: 0,
        }
    }

    fn pick(&mut self, cluster: &Cluster, tried: &[SocketAddr], user: Option<u64>) -> EndpointUse {
        self.random += 1;
        let choice = Choice {
            policy: &self.policy,
            tried,
            random: mix(self.random),
            user_hash: user.map(mix),
            now: self.now,
        };
        cluster.pick(&choice).expect("an endpoint")
    }

    /// How many of so many requests each port gets, all of them at rest.
    fn counts(&mut self, cluster: &Cluster, requests: usize) -> HashMap<u16, usize> {
        let mut counts = HashMap::new();
        for _ in 0..requests {
            let port = self.pick(cluster, &[], None).address().port();
            *counts.entry(port).or_default() += 1;
        }
        counts
    }

    /// Where every user is at home.
    fn homes(&mut self, cluster: &Cluster) -> Vec<SocketAddr> {
        (0..USERS)
            .map(|user| self.pick(cluster, &[], Some(user)).address())
            .collect()
    }
}

fn moved(before: &[SocketAddr], after: &[SocketAddr]) -> f64 {
    let moved = before.iter().zip(after).filter(|(a, b)| a != b).count();
    moved as f64 / USERS as f64
}

fn fail(cluster: &Cluster, index: usize, now: Instant) {
    let policy = HealthPolicy {
        probe: Probe::Tcp,
        interval: std::time::Duration::from_secs(5),
        timeout: std::time::Duration::from_secs(2),
        unhealthy_after: 1,
        healthy_after: 1,
        tls: None,
    };
    let finding = Finding {
        passed: false,
        said: "refused".into(),
        took: std::time::Duration::ZERO,
    };
    cluster.endpoints()[index].take_check(finding, &policy, now);
}

#[test]
fn one_more_of_n_moves_one_of_n_users_and_a_little() {
    let mut sender = Sender::new(Balance::HashUser);
    for count in [1, 2, 3, 5, 10, 20, 50] {
        let before = sender.homes(&cluster(&equals(count)));
        let after = sender.homes(&cluster(&equals(count + 1)));
        let (moved, bound) = (moved(&before, &after), 1.0 / f64::from(count) + 0.05);
        assert!(moved <= bound, "{count}: {moved}");
        let fair = 1.0 / f64::from(count + 1);
        assert!((moved - fair).abs() < 0.02, "{count}: {moved}");
        let newcomer = SocketAddr::from(([10, 0, 0, 1], count + 1));
        let elsewhere = before
            .iter()
            .zip(&after)
            .find(|(a, b)| a != b && **b != newcomer);
        assert_eq!(elsewhere, None, "whoever moves, moves to the new one");
    }
}

#[test]
fn users_are_spread_evenly_and_every_gateway_spreads_them_alike() {
    let mut sender = Sender::new(Balance::HashUser);
    let mut backwards = equals(5);
    backwards.reverse();
    let homes = sender.homes(&cluster(&equals(5)));
    assert_eq!(homes, sender.homes(&cluster(&backwards)));
    let mut counts: HashMap<SocketAddr, u64> = HashMap::new();
    for home in homes {
        *counts.entry(home).or_default() += 1;
    }
    for (address, count) in counts {
        assert!(count.abs_diff(USERS / 5) < 150, "{address}: {count}");
    }
}

#[test]
fn an_unhealthy_endpoint_moves_its_own_users_only_and_they_come_back() {
    let mut sender = Sender::new(Balance::HashUser);
    let cluster = cluster(&equals(4));
    let before = sender.homes(&cluster);
    fail(&cluster, 2, sender.now);
    let gone = cluster.endpoints()[2].address;
    let after = sender.homes(&cluster);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before != after, *before == gone);
    }
    cluster.endpoints()[2].forget_checks();
    assert_eq!(before, sender.homes(&cluster));
}

#[test]
fn a_user_whose_endpoint_was_tried_goes_to_the_next_best() {
    let mut sender = Sender::new(Balance::HashUser);
    let cluster = cluster(&equals(3));
    for user in 0..50 {
        let first = sender.pick(&cluster, &[], Some(user)).address();
        let second = sender.pick(&cluster, &[first], Some(user)).address();
        assert_ne!(first, second);
        assert_eq!(
            sender.pick(&cluster, &[first], Some(user)).address(),
            second
        );
    }
}

#[test]
fn without_a_user_the_requests_are_spread() {
    let mut sender = Sender::new(Balance::HashUser);
    let counts = sender.counts(&cluster(&equals(4)), 4_000);
    assert!(
        counts.values().all(|count| count.abs_diff(1_000) < 150),
        "{counts:?}"
    );
}

#[test]
fn weights_are_kept_whatever_the_balance() {
    let cluster = cluster(&placed(&[(1, 0, 10), (2, 0, 30), (3, 0, 60)]));
    for balance in [Balance::RoundRobin, Balance::HashUser] {
        let mut sender = Sender::new(balance);
        let mut counts: HashMap<u16, u64> = HashMap::new();
        for user in 0..USERS {
            let port = sender.pick(&cluster, &[], Some(user)).address().port();
            *counts.entry(port).or_default() += 1;
        }
        for (port, percent) in [(1, 10), (2, 30), (3, 60)] {
            let expected = USERS * percent / 100;
            assert!(
                counts[&port].abs_diff(expected) < 250,
                "{balance:?} {counts:?}"
            );
        }
    }
}

#[test]
fn least_requests_fill_up_by_weight() {
    let cluster = cluster(&placed(&[(1, 0, 10), (2, 0, 30), (3, 0, 60)]));
    let mut sender = Sender::new(Balance::LeastRequests);
    let busy: Vec<EndpointUse> = (0..1_000)
        .map(|_| sender.pick(&cluster, &[], None))
        .collect();
    let endpoints = cluster.endpoints();
    let in_flight: Vec<u32> = endpoints.iter().map(|e| e.in_flight()).collect();
    for (in_flight, expected) in in_flight.iter().zip([100, 300, 600]) {
        assert!(
            in_flight.abs_diff(expected) < 40,
            "{in_flight} of {expected}"
        );
    }
    drop(busy);
    assert!(endpoints.iter().all(|e| e.in_flight() == 0));
}

#[test]
fn a_weight_of_nothing_gets_next_to_nothing_beside_others_and_all_alone() {
    let mut sender = Sender::new(Balance::RoundRobin);
    let counts = sender.counts(&cluster(&placed(&[(1, 0, 0), (2, 0, 10)])), 10_000);
    assert!(counts[&1] > 0 && counts[&1] < 150, "{counts:?}");
    let counts = sender.counts(&cluster(&placed(&[(1, 0, 0), (2, 0, 0)])), 1_000);
    assert_eq!((counts[&1], counts[&2]), (500, 500));
}

#[test]
fn the_first_priority_is_used_while_half_of_it_is_healthy() {
    let mut sender = Sender::new(Balance::LeastRequests);
    let cluster = cluster(&placed(&[(1, 1, 5), (2, 1, 5), (3, 2, 5)]));
    let ports = |sender: &mut Sender| {
        let mut ports: Vec<u16> = sender.counts(&cluster, 200).into_keys().collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(ports(&mut sender), [1, 2]);
    fail(&cluster, 0, sender.now);
    assert_eq!(ports(&mut sender), [2]);
    fail(&cluster, 1, sender.now);
    assert_eq!(ports(&mut sender), [3]);
    fail(&cluster, 2, sender.now);
    assert_eq!(ports(&mut sender), [1, 2, 3], "nothing is lost by trying");
}

#[test]
fn an_address_named_twice_is_one_endpoint_in_the_better_place() {
    let cluster = cluster(&placed(&[(1, 2, 50), (1, 1, 10), (1, 1, 20), (2, 1, 20)]));
    assert_eq!(cluster.endpoints().len(), 2);
    let counts = Sender::new(Balance::RoundRobin).counts(&cluster, 1_000);
    assert_eq!((counts[&1], counts[&2]), (500, 500));
}

#[test]
fn turns_stay_even_when_one_endpoint_is_left_out() {
    let mut sender = Sender::new(Balance::RoundRobin);
    let cluster = cluster(&equals(4));
    fail(&cluster, 0, sender.now);
    let counts = sender.counts(&cluster, 3_000);
    assert_eq!(counts.len(), 3);
    assert!(
        counts.values().all(|count| count.abs_diff(1_000) < 10),
        "{counts:?}"
    );
}
