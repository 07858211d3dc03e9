//! A collector of OpenTelemetry: it keeps the spans that it is sent by OTLP over HTTP.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use super::{Posted, SinkReply, SinkServer, until};

/// A span, as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// IDs in hexadecimal; the parent's is empty where there is none.
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) trace_state: String,
    /// Else it is a client's.
    pub(crate) is_server: bool,
    pub(crate) is_error: bool,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// Its own, and those of its resource.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Span {
    /// An attribute's value; empty where there is none.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Fails unless it has these attributes; an empty value stands for none.
    pub(crate) fn assert_has(&self, expected: &[(&str, &str)]) {
        for (key, value) in expected {
            assert_eq!(self.get(key), *value, "{key}: {self:#?}");
        }
    }
}

/// A running collector.
pub(crate) struct Collector(pub(crate) SinkServer);

impl Collector {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        let server = SinkServer::start().await;
        server.answer(|_| Self::taken());
        Self(server)
    }

    /// As it answers a batch that it has taken. An empty message has no bytes, and JSON's empty object is none of the kind.
    pub(crate) fn taken() -> SinkReply {
        SinkReply::Status(200, serde_json::json!({}))
    }

    /// The spans of all batches that were answered with 200.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let posted = self.0.posted().into_iter();
        let taken = posted.filter(|posted| posted.answered == 200);
        taken.flat_map(|posted| spans(&posted)).collect()
    }

    /// The spans of the request for a path, the server's first, once that has come.
    pub(crate) async fn await_request(&self, path: &str) -> Vec<Span> {
        let found = || {
            let spans = self.spans();
            let is_it = |span: &&Span| span.is_server && span.get("url.path") == path;
            let server = spans.iter().find(is_it)?.clone();
            let own = spans.iter().filter(|span| span.parent == server.id);
            let mut own: Vec<Span> = own.filter(|span| !span.is_server).cloned().collect();
            own.sort_by_key(|span| span.begin);
            own.insert(0, server);
            Some(own)
        };
        until(&format!("the spans of {path}"), found).await
    }
}

/// The spans of one batch.
pub(crate) fn spans(posted: &Posted) -> Vec<Span> {
    assert_eq!(posted.header("content-type"), "application/x-protobuf");
    let message = ExportTraceServiceRequest::decode(posted.bytes.clone()).expect("a message");
    let mut all = Vec::new();
    for part in message.resource_spans {
        let resource = texts(part.resource.expect("a resource").attributes);
        for span in part.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let is_server = span.kind() == SpanKind::Server;
            assert!(is_server || span.kind() == SpanKind::Client);
            let code = span.status.map(|status| status.code());
            let mut attributes = texts(span.attributes);
            attributes.extend(resource.clone());
            all.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                trace_state: span.trace_state,
                is_server,
                is_error: code == Some(StatusCode::Error),
                begin: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes,
            });
        }
    }
    all
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for attribute in attributes {
        let value = attribute.value.and_then(|value| value.value);
        let text = match value.expect("a value") {
            Any::StringValue(text) => text,
            Any::IntValue(number) => number.to_string(),
            Any::BoolValue(flag) => flag.to_string(),
            other => panic!("{other:?}"),
        };
        let before = texts.insert(attribute.key.clone(), text);
        assert_eq!(before, None, "{} is there twice", attribute.key);
    }
    texts
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
