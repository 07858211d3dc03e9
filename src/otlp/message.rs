//! Spans as OTLP has them.

use std::sync::LazyLock;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use super::record::{Attribute, RequestRecord, SpanRecord};
use crate::machine;

/// The version of the semantic conventions that names of attributes are taken from.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `Span.flags`: whether the parent is another process's is known, and it is.
const REMOTE_IS_KNOWN: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// This process: the machine's name is in exposures as well, and the process ID tells gateways on one machine apart.
static INSTANCE: LazyLock<(String, String)> = LazyLock::new(|| {
    let machine = machine::name();
    let instance = format!("{machine}:{}", std::process::id());
    (instance, machine)
});

/// A request to a collector.
pub(super) fn encode(requests: &[RequestRecord]) -> Bytes {
    let spans = requests.iter().flat_map(|request| {
        let spans = request.spans.iter();
        spans.map(move |span| encoded(request, span))
    });
    let (instance, machine) = &*INSTANCE;
    let message = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "serin"),
                    text("service.version", VERSION),
                    text("service.instance.id", instance),
                    text("host.name", machine),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "serin".to_owned(),
                    version: VERSION.to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans: spans.collect(),
                schema_url: SCHEMA.to_owned(),
            }],
            schema_url: SCHEMA.to_owned(),
        }],
    };
    message.encode_to_vec().into()
}

fn encoded(request: &RequestRecord, span: &SpanRecord) -> Span {
    let parent = span.parent.map(|parent| parent.get().to_be_bytes());
    let is_server = span.is_server;
    let remote = if is_server && parent.is_some() {
        IS_REMOTE
    } else {
        0
    };
    let code = if span.is_error {
        StatusCode::Error
    } else {
        StatusCode::Unset
    };
    let kind = if is_server {
        SpanKind::Server
    } else {
        SpanKind::Client
    };
    Span {
        trace_id: request.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        trace_state: request.trace_state.clone().into(),
        flags: u32::from(request.flags) | REMOTE_IS_KNOWN | remote,
        name: span.name.clone().into(),
        kind: kind.into(),
        start_time_unix_nano: span.begin,
        end_time_unix_nano: span.end,
        attributes: span.attributes.iter().map(attribute).collect(),
        status: Some(Status {
            code: code.into(),
            ..Status::default()
        }),
        ..Span::default()
    }
}

fn attribute((key, value): &(&'static str, Attribute)) -> KeyValue {
    match value {
        Attribute::Text(value) => text(key, value),
        Attribute::Name(value) => text(key, value),
        Attribute::Word(value) => text(key, value),
        Attribute::Number(value) => keyed(key, Value::IntValue(*value)),
        Attribute::Flag(value) => keyed(key, Value::BoolValue(*value)),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    keyed(key, Value::StringValue(value.to_owned()))
}

fn keyed(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
