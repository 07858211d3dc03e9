use super::Format;

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
