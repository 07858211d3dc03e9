//! `tracing`.

use http::HeaderMap;

use super::{Given, NOW, check_with, config, with};
use crate::config::{OnUnset, compile};
use crate::flag::Share;

#[test]
fn a_collector_is_enough_and_no_value_of_a_header_is_shown() {
    assert_eq!(config(&with("")).tracing, None);
    let short = config(&with("tracing: { otlp: 'http://otel:4318/' }"));
    let short = short.tracing.expect("it is on");
    assert_eq!(short.collector.as_str(), "http://otel:4318");
    assert_eq!(Some(short.sample), Share::new(100));
    assert_eq!(short.headers, HeaderMap::new());
    let long = config(&with(
        "tracing: { otlp: https://otel/tenant, sample: 0.01%, headers: { Authorization: Bearer a.secret, x-tenant: 7 } }",
    ));
    assert!(!format!("{long:?}").contains("a.secret"));
    let long = long.tracing.expect("it is on");
    assert_eq!(long.collector.as_str(), "https://otel/tenant");
    assert_eq!(Some(long.sample), Share::new(1));
    assert_eq!(long.headers["authorization"], "Bearer a.secret");
    assert_eq!(long.headers["x-tenant"], "7");
}

#[test]
fn what_is_wrong_with_tracing_is_told() {
    for (keys, told) in [
        ("sample: 1%", "`otlp`"),
        ("otlp: otel:4318", "is not the URL of a collector"),
        (
            "otlp: 'http://otel:4318/v1/traces'",
            "without /v1/traces, which Serin appends",
        ),
        ("otlp: 'http://a:b@otel'", "secrets go into `headers`"),
        ("otlp: 'http://otel?key=1'", "no user and no query"),
        ("otlp: 'http://otel', sample: 101%", "101%"),
        ("otlp: 'http://otel', sample: some", "`some`"),
        ("otlp: 'http://otel', samples: 1%", "`samples`"),
        (
            "otlp: 'http://otel', headers: { 'a b': c }",
            "`a b` is not the name of a header",
        ),
        (
            "otlp: 'http://otel', headers: { Content-Type: text/plain }",
            "Serin writes `content-type` itself",
        ),
        (
            "otlp: 'http://otel', headers: { X-A: '' }",
            "the value of `X-A` is not one of a header field",
        ),
        (
            "otlp: 'http://otel', headers: { x-a: \"s3cret\\nb\" }",
            "the value of `x-a` is not one of a header field",
        ),
        (
            "otlp: 'http://otel', headers: { x-a: b, X-A: c }",
            "`x-a` is there twice",
        ),
    ] {
        let said = check_with(&format!("tracing: {{ {keys} }}"));
        assert!(said.contains(told), "{keys}: {said}");
    }
}

#[test]
fn a_token_that_is_not_set_is_awaited() {
    let text = with(
        "tracing: { otlp: 'http://otel', headers: { authorization: 'Bearer ${OTEL_TOKEN}' } }",
    );
    let compile = |on_unset| compile(&text, &Given::default(), on_unset, NOW);
    let awaited = compile(OnUnset::StandIn).expect("it may be set elsewhere");
    assert!(awaited.tracing.expect("it is on").headers.is_empty());
    assert!(compile(OnUnset::Refuse).is_err());
}
