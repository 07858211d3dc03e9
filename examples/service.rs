//! A service behind Serin in Rust: the third example of deploy/SERVICES.md.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::get;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

const PASS_ON: [&str; 4] = ["baggage", "traceparent", "tracestate", "x-request-id"];

async fn search(headers: HeaderMap) -> Result<Body, StatusCode> {
    let text = |name| {
        headers
            .get(name)
            .map_or("-", |value| value.to_str().unwrap_or("-"))
    };
    let (deployment, id) = (text("x-serin-deployment"), text("x-request-id"));
    println!("search deployment={deployment} request={id}");
    let profiles = std::env::var("PROFILES_URL").unwrap_or_default();
    let mut request = Request::get(format!("{profiles}/me"));
    for name in PASS_ON {
        for value in headers.get_all(name) {
            request = request.header(name, value);
        }
    }
    let request = request.body(Body::empty());
    let request = request.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await;
    let answer = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(Body::new(answer.into_body()))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or("9001".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    axum::serve(listener, Router::new().fallback(get(search))).await
}
