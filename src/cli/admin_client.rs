//! A running gateway's admin API, as commands ask it.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long a gateway may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Posts a document to the admin API at `base` and returns the answer's. A problem document becomes an error.
pub(super) fn post(base: &str, path: &str, document: &Value) -> anyhow::Result<Value> {
    let uri: Uri = format!("{}{path}", base.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("{base} is not a URL"))?;
    if uri.scheme_str() != Some("http") {
        bail!("{base} is not an http:// URL");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exchange = exchange(uri, document.to_string());
    let (status, body) = runtime
        .block_on(async { tokio::time::timeout(TIMEOUT, exchange).await })
        .map_err(|_| anyhow!("no answer within {} s", TIMEOUT.as_secs()))
        .and_then(|answer| answer)
        .with_context(|| base.to_owned())?;
    let answer: Value = serde_json::from_slice(&body)
        .with_context(|| format!("{base}: status {status}, and the answer is not JSON"))?;
    if !status.is_success() {
        let detail = answer["detail"].as_str().or(answer["title"].as_str());
        bail!("{base}: {}", detail.unwrap_or(status.as_str()));
    }
    Ok(answer)
}

async fn exchange(uri: Uri, body: String) -> anyhow::Result<(hyper::StatusCode, Bytes)> {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))?;
    let response = client.request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await;
    Ok((status, body.map_err(|error| anyhow!(error))?.to_bytes()))
}
