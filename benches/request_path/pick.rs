//! Choosing an endpoint, and telling it how the attempt ended.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use criterion::Criterion;
use serin::canary::Cause;
use serin::cluster::endpoint::AttemptEnd;
use serin::cluster::policy::UpstreamPolicy;
use serin::cluster::{Balance, Choice, Cluster, DeploymentName, NoopListener};

/// Three and a hundred endpoints: all well, by a user's hash, and with one of them ejected.
pub(crate) fn group() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("pick");
    for count in [3, 100] {
        for (name, balance, ejected) in [
            ("least_requests", Balance::LeastRequests, false),
            ("hash_user", Balance::HashUser, false),
            ("one ejected", Balance::LeastRequests, true),
        ] {
            let mut scene = Scene::new(count, balance);
            if ejected {
                scene.eject_one();
            }
            group.bench_function(format!("{name}, of {count}"), |bencher| {
                bencher.iter(|| scene.attempt(AttemptEnd::Answered(200)));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

struct Scene {
    cluster: Arc<Cluster>,
    policy: UpstreamPolicy,
    now: Instant,
    random: u64,
}

impl Scene {
    fn new(count: u16, balance: Balance) -> Self {
        let url = "http://name.test".parse().expect("a URL");
        let name = DeploymentName {
            service: "search",
            deployment: "stable",
        };
        let cluster = Cluster::new(1, name, url, Arc::new(NoopListener));
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        cluster.replace_endpoints(&(1..=count).map(address).collect::<Vec<_>>());
        let policy = UpstreamPolicy {
            balance,
            ..UpstreamPolicy::default()
        };
        Self {
            cluster,
            policy,
            now: Instant::now(),
            random: 1,
        }
    }

    fn eject_one(&mut self) {
        while self.cluster.usable(self.now) == self.cluster.endpoints().len() {
            self.attempt(AttemptEnd::Failed(Cause::Connect));
        }
    }

    fn attempt(&mut self, end: AttemptEnd) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let choice = Choice {
            policy: &self.policy,
            tried: &[],
            random: self.random,
            user_hash: Some(self.random),
            now: self.now,
        };
        if let Ok(picked) = black_box(&self.cluster).pick(&choice) {
            picked.report(end, None, &self.policy, self.now);
        }
    }
}
