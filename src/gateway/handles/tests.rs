use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::Handles;
use crate::attribution::Attribution;
use crate::canary::{Cause, ReasonKind};
use crate::capacity::OpenFiles;
use crate::config::attribution::sinks::{FileFormat, FileSink, SinkConfig, SinkProduct};
use crate::config::attribution::{AttributionConfig, Control, ExposuresConfig, UserForm};
use crate::engine::{VariantIndex, VariantRef};
use crate::meter::AttemptOutcome;
use crate::publisher::tests::fixture::config;
use crate::publisher::{Publisher, PublisherHandle};
use crate::registry::kills::Kills;
use crate::resolver::ClusterManager;
use crate::resolver::dns::Dns;
use crate::state::StateStore;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{Format, MeterRegistry};

fn handles() -> (Handles, PublisherHandle) {
    let meters = MeterRegistry::default();
    let clusters = ClusterManager::new(
        Dns::new(Some("127.0.0.1:9")).unwrap(),
        Handle::current(),
        Box::default(),
    );
    let first = config("http://127.0.0.1:81", 1);
    let folder = tempfile::tempdir().unwrap();
    let state = StateStore::open(folder.path());
    let kills = Kills::open(state.clone());
    let publisher = Publisher::start(
        Arc::new(first),
        Vec::new(),
        clusters,
        meters.clone(),
        kills.clone(),
        &Handle::current(),
    );
    let access_log = AccessLog::start(std::io::sink()).unwrap();
    let mut handles = Handles::new(
        meters,
        &publisher,
        (&state, &kills),
        &access_log,
        OpenFiles::default(),
        &Handle::current(),
    );
    let mut process = config("http://127.0.0.1:81", 1).process;
    process.state_dir = folder.path().to_owned();
    process.attribution = attribution(folder.path());
    handles.attribution = Attribution::start(&process, &Handle::current());
    (handles, publisher)
}

/// Exposures, for one file.
fn attribution(folder: &Path) -> AttributionConfig {
    let file = FileSink {
        path: folder.join("lake"),
        rotate: 1 << 20,
        keep: Duration::from_secs(60),
        format: FileFormat::Exposures,
    };
    AttributionConfig {
        exposures: Some(ExposuresConfig {
            users: UserForm::Plain,
            key: None,
            anonymous: false,
            control: Control::Matched,
            properties: Vec::new(),
        }),
        sinks: vec![SinkConfig {
            name: "lake".into(),
            users: None,
            product: SinkProduct::File(file),
        }],
        ..AttributionConfig::default()
    }
}

/// A page, read strictly: every sample belongs to a family declared before, in one piece, and stands once.
fn read(page: &str, format: Format) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut declared = HashSet::new();
    let mut family: Option<(String, String)> = None;
    assert!(page.ends_with('\n'));
    let mut lines: Vec<&str> = page.lines().collect();
    if format == Format::OpenMetrics {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    for line in lines {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let name = rest.split(' ').next().unwrap();
            assert!(declared.insert(name.to_owned()), "{name} is declared twice");
            family = Some((name.to_owned(), String::new()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let (of, declared_kind) = family.as_mut().unwrap();
            assert_eq!(of, name);
            kind.clone_into(declared_kind);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let (of, kind) = family.as_ref().expect("a sample without a family");
            let suffix = name.strip_prefix(of.as_str()).expect(line);
            let suffixes: &[&str] = match (kind.as_str(), format) {
                ("counter", Format::OpenMetrics) => &["_total"],
                ("counter" | "gauge", _) => &[""],
                ("histogram", _) => &["_bucket", "_count", "_sum"],
                other => panic!("{other:?}"),
            };
            assert!(suffixes.contains(&suffix), "{line} as a {kind}");
            labels(series);
            let value: f64 = value.parse().unwrap();
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "{series} stands twice"
            );
        }
    }
    samples
}

/// `{name="value",…}` with nothing but `\\`, `\"` and `\n` escaped.
fn labels(series: &str) {
    let Some((_, rest)) = series.split_once('{') else {
        return;
    };
    let expression = regex::Regex::new(
        r#"^(?:[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"(?:,[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*")*)\}$"#,
    );
    assert!(expression.unwrap().is_match(rest), "{series}");
}

/// What the test below counts.
const COUNTED: &[(&str, f64)] = &[
    (
        r#"serin_requests_total{service="search",assigned="search.ab",served="search.ab",code="200"}"#,
        1.0,
    ),
    (
        r#"serin_requests_total{service="search",assigned="search.ab",served="stable",code="502"}"#,
        1.0,
    ),
    (
        r#"serin_requests_total{service="-",assigned="-",served="-",code="404"}"#,
        1.0,
    ),
    (
        r#"serin_request_duration_seconds_count{service="search",assigned="search.ab",served="search.ab"}"#,
        1.0,
    ),
    (
        r#"serin_request_duration_seconds_sum{service="search",assigned="search.ab",served="search.ab"}"#,
        0.003,
    ),
    (
        r#"serin_request_duration_seconds_bucket{le="0.0025",service="search",assigned="search.ab",served="search.ab"}"#,
        0.0,
    ),
    (
        r#"serin_request_duration_seconds_bucket{le="0.005",service="search",assigned="search.ab",served="search.ab"}"#,
        1.0,
    ),
    (
        r#"serin_request_duration_seconds_bucket{le="+Inf",service="search",assigned="search.ab",served="search.ab"}"#,
        1.0,
    ),
    (
        r#"serin_upstream_duration_seconds_count{service="search",assigned="stable",served="stable"}"#,
        0.0,
    ),
    (
        r#"serin_request_duration_seconds_sum{service="search",assigned="search.ab",served="stable"}"#,
        1.5,
    ),
    (
        r#"serin_upstream_duration_seconds_sum{service="search",assigned="search.ab",served="stable"}"#,
        0.25,
    ),
    (
        r#"serin_attempt_duration_seconds_sum{service="search",deployment="search.ab",outcome="timeout"}"#,
        1.0,
    ),
    (
        r#"serin_attempt_duration_seconds_count{service="search",deployment="search.ab",outcome="timeout"}"#,
        1.0,
    ),
    (
        r#"serin_rescues_total{service="search",from="search.ab",cause="connect"}"#,
        1.0,
    ),
    (
        r#"serin_retries_total{service="search",cause="connect"}"#,
        1.0,
    ),
    (
        r#"serin_decisions_total{service="search",flag="search.ab",variant="b",reason="ring"}"#,
        1.0,
    ),
    (
        r#"serin_decisions_total{service="search",flag="-",variant="-",reason="default"}"#,
        1.0,
    ),
    (
        r#"serin_endpoint_healthy{service="search",deployment="stable"}"#,
        1.0,
    ),
    (r#"serin_flag_expired{flag="search.ab"}"#, 1.0),
    (r#"serin_source_errors_total{source="file"}"#, 0.0),
    (r#"serin_config_reloads_total{result="ok"}"#, 1.0),
    (r#"serin_config_reloads_total{result="invalid"}"#, 0.0),
    ("serin_config_last_reload_successful", 1.0),
    ("serin_active_requests", 1.0),
    ("serin_snapshot_generation", 1.0),
    ("serin_access_log_dropped_total", 0.0),
    (r#"serin_exposures_total{sink="",result="unwritten"}"#, 0.0),
    (r#"serin_exposures_total{sink="lake",result="sent"}"#, 0.0),
    (r#"serin_spool_bytes{sink="lake"}"#, 0.0),
    (r#"serin_spool_age_seconds{sink="lake"}"#, 0.0),
];

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_are_well_formed_and_say_the_same() {
    let (handles, publisher) = handles();
    let snapshot = publisher.store().load();
    let service = &snapshot.services[0];
    let canary = &service.deployments.canaries()[0];
    canary.meter.served.inc(200);
    canary.meter.served_by_stable.inc(502);
    canary.meter.rescues[Cause::Connect.index()].inc();
    let millis = Duration::from_millis;
    canary.meter.durations.total.observe(millis(3));
    let rescued = canary.meter.durations_by_stable.used();
    rescued.observe(millis(1_500), Some(millis(250)));
    let timeout = AttemptOutcome::of_failure(Cause::Timeout);
    canary.meter.attempts.observe(timeout, millis(1_000));
    service.meter.retries[Cause::Connect.index()].inc();
    service.meter.decisions[ReasonKind::Default.index()].inc();
    let second = VariantRef::Flag(VariantIndex::new(1));
    let target = service.candidates[0].variants.get(second);
    target.expect("a variant").meter[ReasonKind::Ring.index()].inc();
    snapshot.unrouted.served.inc(404);
    handles.active.inc();
    handles.reloads.succeeded();
    let metrics = handles.metrics();

    let open = read(
        &metrics.render(Format::OpenMetrics).unwrap(),
        Format::OpenMetrics,
    );
    let classic = read(&metrics.render(Format::Classic).unwrap(), Format::Classic);
    for (series, value) in COUNTED {
        assert_eq!(open.get(*series), Some(value), "{series}");
        assert_eq!(classic.get(*series), Some(value), "{series}");
    }
    assert!(open[r#"serin_snapshot_age_seconds{source="file"}"#] < 60.0);
    assert!(open["process_resident_memory_bytes"] > 1e6);
    assert!(open["process_open_fds"] > 2.0 && open["process_start_time_seconds"] > 1.6e9);
    assert!(classic.contains_key("process_cpu_seconds_total"));
    let names = |page: &BTreeMap<String, f64>| page.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&open), names(&classic));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_keeps_its_name_type_help_and_place() {
    let (handles, _publisher) = handles();
    let page = handles.metrics().render(Format::Classic).unwrap();
    let declared = page.lines().filter(|line| line.starts_with('#'));
    insta::assert_snapshot!(declared.collect::<Vec<_>>().join("\n"));
}
