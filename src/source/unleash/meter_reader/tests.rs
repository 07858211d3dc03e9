use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{MOST, MeterReader, MetricsBucket, Uses};
use crate::canary::ReasonKind;
use crate::context::Moment;
use crate::engine::{Flag, Origin, VariantIndex, VariantRef};
use crate::meter::Meters;
use crate::snapshot::Snapshot;
use crate::snapshot::assemble::assemble;
use crate::snapshot::fixture::{config, flag, service, variants};
use crate::snapshot::offline::Offline;
use crate::telemetry::metrics::MeterRegistry;

const SOURCE: &str = "unleash";

fn of_server(mut flag: Flag, source: &str) -> Flag {
    flag.origin = Origin::Unleash(source.into());
    flag
}

/// A service with three canary flags: one of the server's with variants, a local one, and another of the server's.
fn snapshot(meters: &mut impl Meters) -> Snapshot {
    let mut first = of_server(flag("search.1", Vec::new()), SOURCE);
    first.url = None;
    first.variants = variants(&[
        ("canary", 500, Some("http://127.0.0.1:9001")),
        ("control", 500, None),
    ]);
    let local = flag("search.2", Vec::new());
    let last = of_server(flag("search.3", Vec::new()), SOURCE);
    let config = config(
        vec![service("search", &["search.*"])],
        vec![first, local, last],
    );
    assemble(&config, 1, &mut Offline::default(), meters)
}

fn uses(yes: u64, no: u64, variants: &[(&str, u64)], has_variants: bool) -> Uses {
    Uses {
        yes,
        no,
        variants: variants
            .iter()
            .map(|(name, count)| (Arc::from(*name), *count))
            .collect(),
        has_variants,
        plain: 0,
    }
}

fn bucket() -> MetricsBucket {
    MetricsBucket::new(Moment { unix_ms: 5 })
}

/// Counts decisions as the request path does.
fn count(
    snapshot: &Snapshot,
    candidate: Option<usize>,
    variant: Option<usize>,
    reason: ReasonKind,
    times: usize,
) {
    let service = &snapshot.services[0];
    let meter = match (candidate, variant) {
        (None, _) => &service.meter.decisions,
        (Some(candidate), None) => &*service.candidates[candidate].default_arm.meter,
        (Some(candidate), Some(variant)) => {
            &*service.candidates[candidate]
                .variants
                .get(VariantRef::Flag(VariantIndex::new(variant)))
                .expect("a variant")
                .meter
        }
    };
    for _ in 0..times {
        meter[reason.index()].inc();
    }
}

#[test]
fn a_flag_said_no_to_whomever_was_decided_behind_it() {
    let snapshot = snapshot(&mut MeterRegistry::default());
    let mut reader = MeterReader::new(SOURCE.into(), &snapshot);
    count(&snapshot, Some(0), Some(0), ReasonKind::Strategy, 3);
    count(&snapshot, Some(0), Some(1), ReasonKind::Killed, 2);
    count(&snapshot, Some(0), None, ReasonKind::NoIdentity, 1);
    count(&snapshot, Some(1), None, ReasonKind::Ring, 10);
    count(&snapshot, Some(2), None, ReasonKind::Strategy, 20);
    count(&snapshot, None, None, ReasonKind::Default, 100);
    // A forced decision asks nobody.
    count(&snapshot, Some(2), None, ReasonKind::Override, 1000);
    let mut told = bucket();
    reader.read(&snapshot, &mut told);
    let expected = BTreeMap::from([
        (
            Arc::from("search.1"),
            uses(6, 130, &[("canary", 3), ("control", 2)], true),
        ),
        (Arc::from("search.3"), uses(20, 100, &[], false)),
    ]);
    assert_eq!(told.flags, expected);

    // Nothing is told twice.
    count(&snapshot, None, None, ReasonKind::Default, 1);
    let mut more = bucket();
    reader.read(&snapshot, &mut more);
    assert_eq!(
        more.flags[&Arc::<str>::from("search.3")],
        uses(0, 1, &[], false)
    );
    let mut nothing = bucket();
    reader.read(&snapshot, &mut nothing);
    assert_eq!(nothing, bucket());
}

#[test]
fn what_was_counted_before_and_other_servers_flags_are_not_told() {
    let snapshot = snapshot(&mut MeterRegistry::default());
    count(&snapshot, Some(2), None, ReasonKind::Strategy, 7);
    let mut reader = MeterReader::new(SOURCE.into(), &snapshot);
    let mut other = MeterReader::new("other".into(), &snapshot);
    let mut told = bucket();
    reader.read(&snapshot, &mut told);
    assert_eq!(told, bucket());
    count(&snapshot, Some(2), None, ReasonKind::Strategy, 7);
    other.read(&snapshot, &mut told);
    assert_eq!(told, bucket());
}

#[test]
fn a_meter_that_outlives_its_snapshot_goes_on_being_told() {
    let mut meters = MeterRegistry::default();
    let first = snapshot(&mut meters);
    let mut reader = MeterReader::new(SOURCE.into(), &first);
    count(&first, Some(2), None, ReasonKind::Strategy, 7);
    let mut told = bucket();
    reader.read(&first, &mut told);
    let second = snapshot(&mut meters);
    drop(first);
    count(&second, Some(2), None, ReasonKind::Strategy, 1);
    reader.read(&second, &mut told);
    assert_eq!(told.flags[&Arc::<str>::from("search.3")].yes, 8);
}

#[test]
fn requests_are_told_by_deployment() {
    let snapshot = snapshot(&mut MeterRegistry::default());
    let mut reader = MeterReader::new(SOURCE.into(), &snapshot);
    let canary = snapshot.services[0].deployments.iter();
    let mut canary = canary.filter(|deployment| &*deployment.name == "search.3");
    let meter = &canary.next().expect("a deployment").meter;
    for status in [200, 200, 503, 499] {
        meter.served.inc(status);
        meter.durations.total.observe(Duration::from_millis(2));
    }
    meter.served_by_stable.inc(200);
    meter.rescues[0].inc();
    meter.unserved.inc(502);
    let mut told = bucket();
    reader.read(&snapshot, &mut told);
    let [(key, impact)] = told.deployments.iter().collect::<Vec<_>>()[..] else {
        panic!("{told:?}");
    };
    assert_eq!((&*key.0, &*key.1), ("search", "search.3"));
    assert_eq!((impact.requests, impact.errors, impact.rescues), (6, 2, 1));
    assert_eq!((impact.durations[1], impact.durations.iter().sum()), (4, 4));
    assert!((impact.seconds - 0.008).abs() < 1e-9);
}

#[test]
fn what_could_not_be_told_is_added_up_within_bounds() {
    let mut earlier = MetricsBucket::new(Moment { unix_ms: 1 });
    for number in 0..MOST {
        let name: Arc<str> = format!("flag-{number:05}").into();
        earlier.flags.insert(name, uses(1, 2, &[("a", 1)], true));
    }
    let mut now = bucket();
    let known: Arc<str> = "flag-00000".into();
    now.flags
        .insert(known.clone(), uses(10, 20, &[("a", 4), ("b", 6)], true));
    now.flags.insert("zzz".into(), uses(1, 1, &[], false));
    now.put_back(earlier);
    assert_eq!((now.start.unix_ms, now.flags.len()), (1, MOST));
    assert_eq!(now.flags[&known], uses(11, 22, &[("a", 5), ("b", 6)], true));
}
