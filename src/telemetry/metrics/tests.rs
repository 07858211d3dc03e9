use std::fmt;
use std::time::Duration;

use super::{Collector, Format, Metrics, Page};
use crate::meter::Histogram;
use crate::meter::exemplar::{DeploymentExemplars, Exemplar};
use crate::meter::view::ServedBy;

/// Every kind of figure, some with an exemplar.
#[derive(Default)]
struct Mixed {
    histogram: Histogram,
    exemplars: DeploymentExemplars,
}

impl Collector for Mixed {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let requests = self.exemplars.requests(ServedBy::Itself);
        page.gauge("g", "A gauge", &1_u64)?;
        page.counter("c", "A counter", &2_u64)?;
        let mut family = page.gauges("gs", "Gauges")?;
        family.write([("of", "one # {two}\n# three")], &3_u64)?;
        let mut family = page.histograms("h", "Histograms")?;
        family.write([("of", "none")], &self.histogram)?;
        family.write_with([("of", "some")], &self.histogram, requests)?;
        let mut family = page.counters("cs", "Counters")?;
        for code in [200, 204] {
            let exemplar = requests.and_then(|requests| requests.with_code(code));
            family.write_with([("code", &*code.to_string())], 4, exemplar)?;
        }
        Ok(())
    }
}

#[test]
fn exemplars_stand_at_their_samples_and_in_openmetrics_only() {
    let mixed = Mixed::default();
    let took = Duration::from_millis(30);
    mixed.histogram.observe(took);
    let bare = Metrics::default().with(Mixed::default());
    assert!(
        !bare
            .render(Format::OpenMetrics)
            .unwrap()
            .contains(" # {trace")
    );
    let exemplar = Exemplar {
        trace: 0xabc,
        span: 0xd,
        took,
        status: 204,
        unix_ms: 1_700_000_000_007,
    };
    mixed.exemplars.note(ServedBy::Itself, None, exemplar);
    let metrics = Metrics::default().with(mixed);
    let open = metrics.render(Format::OpenMetrics).unwrap();
    let with_one: Vec<&str> = open
        .lines()
        .filter(|line| line.contains(" # {trace"))
        .collect();
    let ids = concat!(
        r#"# {trace_id="00000000000000000000000000000abc","#,
        r#"span_id="000000000000000d"}"#
    );
    assert_eq!(
        with_one,
        [
            format!(r#"h_bucket{{le="0.05",of="some"}} 1 {ids} 0.03 1700000000.007"#),
            format!(r#"cs_total{{code="204"}} 4 {ids} 1 1700000000.007"#),
        ]
    );
    assert!(open.ends_with("# EOF\n"));
    let classic = metrics.render(Format::Classic).unwrap();
    assert!(!classic.contains("trace_id"), "{classic}");
}

#[test]
fn open_metrics_is_for_those_who_name_it() {
    for (accept, format) in [
        (None, Format::Classic),
        (Some("*/*"), Format::Classic),
        (Some("text/plain"), Format::Classic),
        (
            Some("application/openmetrics-text; version=1.0.0,text/plain;q=0.5"),
            Format::OpenMetrics,
        ),
        (
            Some("text/plain, application/openmetrics-text;q=0"),
            Format::Classic,
        ),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept:?}");
    }
}
