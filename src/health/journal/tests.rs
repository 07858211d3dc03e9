use std::time::{Duration, Instant};

use super::{EventKind, Journal, Need, News};
use crate::canary::Cause;
use crate::cluster::endpoint::{AttemptEnd, Finding};
use crate::cluster::policy::{HealthPolicy, Probe, UpstreamPolicy};
use crate::cluster::{Choice, Cluster};
use crate::identity::Anonymous;
use crate::snapshot::{Snapshot, sample};

fn canary(snapshot: &Snapshot) -> &Cluster {
    &snapshot.services[0].deployments.canaries()[0].cluster
}

fn end(cluster: &Cluster, end: AttemptEnd, times: u32, now: Instant) {
    let policy = UpstreamPolicy::default();
    for turn in 0..times {
        let choice = Choice {
            policy: &policy,
            tried: &[],
            random: 0,
            user_hash: None,
            now,
        };
        let picked = cluster.pick(&choice);
        picked
            .unwrap_or_else(|e| panic!("turn {turn}: {e:?}"))
            .report(end, None, &policy, now);
    }
}

fn told(journal: &mut Journal, snapshot: &Snapshot, now: Instant) -> Vec<News> {
    let look = journal.look(snapshot, now);
    for event in &look.events {
        assert_eq!(
            (&*event.service, &*event.deployment),
            ("search", "search.a")
        );
    }
    look.events.into_iter().map(|event| event.what).collect()
}

#[test]
fn an_ejection_is_told_from_beginning_to_end() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let mut journal = Journal::default();
    let start = Instant::now();
    assert_eq!(told(&mut journal, &snapshot, start), []);
    let cluster = canary(&snapshot);
    let endpoint = cluster.endpoints()[0].address;
    end(cluster, AttemptEnd::Failed(Cause::Timeout), 5, start);
    let look = journal.look(&snapshot, start);
    assert_eq!(look.again, Some(Duration::from_secs(30)));
    let [ejected, down] = &look.events[..] else {
        panic!("{look:?}");
    };
    assert!(
        matches!(&ejected.what, News::Ejected { ejection, .. } if ejection.failure == Cause::Timeout)
    );
    assert_eq!(down.what, News::InNeed(Need::Down));
    // Listeners hear of endpoints.
    assert!(matches!(
        ejected.told(),
        Some(EventKind::Endpoint { state: "ejected", why: Some(_), address, .. }) if address == endpoint
    ));
    assert_eq!(down.told(), None);
    assert_eq!(told(&mut journal, &snapshot, start), [], "once");

    let mut now = start + Duration::from_secs(30);
    assert_eq!(told(&mut journal, &snapshot, now), [News::Trial(endpoint)]);
    end(cluster, AttemptEnd::Answered(500), 1, now);
    assert!(matches!(
        &told(&mut journal, &snapshot, now)[..],
        [News::Ejected { ejection, .. }] if ejection.times == 2
    ));
    now += Duration::from_secs(60);
    for _ in 0..3 {
        end(cluster, AttemptEnd::Answered(200), 1, now);
        now += Duration::from_millis(200);
    }
    assert_eq!(
        told(&mut journal, &snapshot, now),
        [News::Back(endpoint), News::InNeedNoMore]
    );
}

#[test]
fn a_failing_check_is_told_with_what_it_found() {
    let snapshot = sample::snapshot(Anonymous::Stable);
    let mut journal = Journal::default();
    let now = Instant::now();
    let endpoint = canary(&snapshot).endpoints()[0].clone();
    let policy = HealthPolicy {
        probe: Probe::Tcp,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        unhealthy_after: 1,
        healthy_after: 1,
        tls: None,
    };
    let finding = Finding {
        passed: false,
        said: "status 503".into(),
        took: Duration::ZERO,
    };
    endpoint.take_check(finding, &policy, now);
    let unhealthy = News::Unhealthy {
        endpoint: endpoint.address,
        check: "status 503".into(),
    };
    assert_eq!(
        told(&mut journal, &snapshot, now),
        [unhealthy, News::InNeed(Need::Down)]
    );
    endpoint.forget_checks();
    assert_eq!(
        told(&mut journal, &snapshot, now),
        [News::Back(endpoint.address), News::InNeedNoMore]
    );
}
