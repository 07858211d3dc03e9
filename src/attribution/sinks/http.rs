//! Batches by HTTP, and what answers mean where products agree.

use std::io;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::Answer;
use crate::config::flag_server::ServerUrl;
use crate::source::http::{FetchError, HttpClient, retry_after, whole, words};

/// Posts to one server.
#[derive(Debug)]
pub(super) struct Poster {
    http: HttpClient,
    path: String,
}

/// A server's answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    headers: HeaderMap,
}

impl Poster {
    /// For a path below a server's URL; each request has these headers. Connects to nothing yet.
    pub(super) fn new(url: &ServerUrl, path: String, mut headers: HeaderMap) -> io::Result<Self> {
        let agent = concat!("serin/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        Ok(Self {
            http: HttpClient::new(url, headers)?,
            path,
        })
    }

    /// Posts a body, with more headers.
    ///
    /// # Errors
    /// There is no answer: what is to become of the batch.
    pub(super) async fn post(&self, body: Vec<u8>, headers: HeaderMap) -> Result<Reply, Answer> {
        let mut request = self
            .http
            .request(Method::POST, &self.path, body.into())
            .map_err(unanswered)?;
        request.headers_mut().extend(headers);
        let (head, body) = self
            .http
            .send(request)
            .await
            .map_err(unanswered)?
            .into_parts();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: whole(body).await.map_err(unanswered)?,
        })
    }
}

impl Reply {
    /// What the status alone means.
    pub(super) fn judge(&self) -> Answer {
        let (status, words) = (self.status, words(&self.body));
        let said = match words.as_str() {
            "" => format!("it answers {status}"),
            words => format!("it answers {status}: {words}"),
        };
        match status.as_u16() {
            200..300 => Answer::Taken(Vec::new()),
            413 => Answer::TooLarge(said),
            408 | 425 | 429 | 500.. => Answer::Later {
                why: said,
                after: retry_after(&self.headers),
            },
            // No redirect is followed: the secret is for this server.
            300..=399 | 401..=407 | 410 => Answer::Misconfigured(said),
            _ => Answer::Refused(said),
        }
    }
}

fn unanswered(error: FetchError) -> Answer {
    match error {
        FetchError::Misconfigured(why) => Answer::Misconfigured(why),
        FetchError::Unavailable { message, .. } | FetchError::Unusable(message) => Answer::Later {
            why: message,
            after: None,
        },
    }
}
