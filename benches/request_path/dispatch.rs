//! From a request's head to the plan: hygiene, route, identity, decision. The number of routes must not matter.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::Criterion;
use serin::dispatch::{Dispatch, Terms, dispatch};
use serin::request::{HeaderList, RequestHead};
use serin::snapshot::Snapshot;
use serin::snapshot::assemble::assemble;
use serin::snapshot::offline::{NoopMeters, Offline};

use crate::yaml::{NOW, config};

/// With 10 and with 10,000 routes.
pub(crate) fn group() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let headers: HeaderList = [
        ("host", "api.example.com"),
        ("user-agent", "bench/1.0"),
        ("accept", "*/*"),
        ("x-user-id", "user-4711"),
    ]
    .into_iter()
    .collect();
    let mut group = criterion.benchmark_group("dispatch");
    for routes in [10, 10_000] {
        let snapshot = assemble(
            &config(routes, 10),
            1,
            &mut Offline::default(),
            &mut NoopMeters,
        );
        let path = format!("/team{}/api{}/items/42", (routes - 1) % 100, routes - 1);
        let head = head(&path, &headers);
        assert!(is_forwarded(&snapshot, &head), "{path}");
        group.bench_function(format!("{routes} routes"), |bencher| {
            bencher.iter(|| is_forwarded(black_box(&snapshot), black_box(&head)));
        });
    }
    group.finish();
    criterion.final_summary();
}

fn head<'a>(path: &'a str, headers: &'a HeaderList) -> RequestHead<'a> {
    RequestHead {
        method: "GET",
        authority: "api.example.com",
        path,
        query: None,
        headers,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer_trusted: false,
    }
}

fn is_forwarded(snapshot: &Snapshot, head: &RequestHead<'_>) -> bool {
    let plan = dispatch(snapshot, head, Terms::default(), NOW, &mut String::new);
    matches!(plan, Dispatch::Forward(_))
}
