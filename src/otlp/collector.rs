//! One collector, and what its answers mean.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use crate::config::traces::{TRACES_PATH, TracingConfig};
use crate::source::http::{FetchError, HttpClient, retry_after, whole, words};

/// Where spans go.
#[derive(Clone)]
pub(super) struct Collector {
    /// What names it.
    pub(super) config: Arc<TracingConfig>,
    http: HttpClient,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken, but for so many spans that will never be, with the reason.
    Taken(u64, String),
    /// It will never be taken.
    Refused(String),
    /// It may be taken later.
    Later {
        why: String,
        /// For how long the collector wants to be left alone.
        after: Option<Duration>,
    },
}

impl Collector {
    /// Connects to nothing yet.
    pub(super) fn new(config: Arc<TracingConfig>) -> io::Result<Self> {
        let mut headers: HeaderMap = config.headers.clone();
        let agent = concat!("serin/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(CONTENT_TYPE, protobuf);
        let http = HttpClient::new(&config.collector, headers)?;
        Ok(Self { config, http })
    }

    /// Sends an encoded batch.
    pub(super) async fn post(&self, body: Bytes) -> Answer {
        match self.ask(body).await {
            Ok(answer) => answer,
            Err(FetchError::Unavailable { message, .. }) => Answer::Later {
                why: message,
                after: None,
            },
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    async fn ask(&self, body: Bytes) -> Result<Answer, FetchError> {
        let request = self.http.request(Method::POST, TRACES_PATH, body)?;
        let (head, body) = self.http.send(request).await?.into_parts();
        let body = match whole(body).await {
            Ok(body) => body,
            // It is the status that says whether the batch was taken.
            Err(error) if !head.status.is_success() => error.to_string().into(),
            Err(error) => return Err(error),
        };
        Ok(judge(head.status, &head.headers, &body))
    }
}

/// What an answer means (<https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>).
fn judge(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Answer {
    if status.is_success() {
        // A body that is none of this kind takes nothing back of the status.
        let answer = ExportTraceServiceResponse::decode(body.clone()).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let rejected = u64::try_from(partial.rejected_spans).unwrap_or_default();
        return Answer::Taken(rejected, words(partial.error_message.as_bytes()));
    }
    let words = words(body);
    let why = match words.as_str() {
        "" => format!("it answers {status}"),
        words => format!("it answers {status}: {words}"),
    };
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Later {
            why,
            after: retry_after(headers),
        },
        _ => Answer::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message as _;

    use super::{Answer, judge};

    fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        judge(status, headers, &Bytes::copy_from_slice(body))
    }

    #[test]
    fn a_batch_that_is_taken_in_part_is_not_sent_again() {
        let partial = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too old".to_owned(),
            }),
        };
        let none = HeaderMap::new();
        let answer = of(200, &none, &partial.encode_to_vec());
        assert_eq!(answer, Answer::Taken(3, "too old".to_owned()));
        for body in [&b""[..], b"{}", b"\xff"] {
            assert_eq!(of(200, &none, body), Answer::Taken(0, String::new()));
        }
    }

    #[test]
    fn four_statuses_ask_to_come_back_and_others_do_not() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("7"));
        for status in [429, 502, 503, 504] {
            let Answer::Later { why, after } = of(status, &headers, b"busy\n") else {
                panic!("{status}");
            };
            assert_eq!(after, Some(Duration::from_secs(7)));
            assert!(why.contains(&status.to_string()) && why.ends_with(": busy"));
        }
        for status in [302, 400, 401, 403, 404, 413, 500, 501] {
            assert!(matches!(of(status, &headers, b""), Answer::Refused(_)));
        }
    }
}
