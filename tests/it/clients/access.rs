//! Who may ask, how much, and from where.

use http::Method;
use serde_json::json;

use super::{APP, Parts, SERVER, app, app_post};
use crate::harness::{Call, get, post};

#[tokio::test]
async fn tokens_are_of_two_kinds() {
    let parts = Parts::start([]).await;
    let ask = async |path: &str, token: &str| {
        let call = if path.starts_with("/ofrep") {
            post(&format!("/.serin{path}"), "{}")
        } else {
            get(&format!("/.serin{path}"))
        };
        let call = if token.is_empty() {
            call
        } else {
            call.header("authorization", token)
        };
        parts.gateway.send(call).await.status
    };
    let apps = [
        "/api/frontend",
        "/api/frontend/all",
        "/ofrep/v1/evaluate/flags",
    ];
    let servers = ["/api/client/features"];
    for (paths, right, wrong) in [(&apps[..], APP, SERVER), (&servers[..], SERVER, APP)] {
        for path in paths {
            assert_eq!(ask(path, "").await, 401, "{path}");
            assert_eq!(ask(path, "Bearer").await, 401, "{path}");
            assert_eq!(ask(path, "wrong").await, 401, "{path}");
            assert_eq!(ask(path, wrong).await, 403, "{path}");
            assert_eq!(ask(path, right).await, 200, "{path}");
            assert_eq!(ask(path, &format!("Bearer {right}")).await, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn nothing_under_the_path_reaches_an_upstream() {
    let parts = Parts::start([]).await;
    for path in [
        "/.serin",
        "/.serin/",
        "/.serin/nowhere",
        "/.serin/api/frontend/x",
        "//.serin/x",
        "/x/../.serin/x",
        "/%2Eserin/x",
        "/.serin/%2F",
        "/.serin/../.serin",
        "/./.serin/x",
    ] {
        let answer = parts.gateway.get_as("user-1", path).await;
        assert_eq!(
            (answer.status, answer.origin()),
            (404, "-"),
            "{path}: {answer:?}"
        );
    }
    // For some servers they are under it.
    for path in ["/.serin%2Fx", "/x%2F..%2F.serin", "/x\\..\\.serin/x"] {
        let answer = parts.gateway.get_as("user-1", path).await;
        assert_eq!((answer.status, answer.origin()), (400, "-"), "{path}");
    }
    parts
        .gateway
        .get_as("user-3", "/.serinx")
        .await
        .assert_from_any(&["stable", "canary"]);
    let wrong = Call::new(Method::DELETE, "/.serin/api/frontend").header("authorization", APP);
    let wrong = parts.gateway.send(wrong).await;
    assert_eq!((wrong.status, wrong.origin()), (405, "-"));
    assert!(
        wrong
            .header("allow")
            .is_some_and(|allow| allow.contains("POST"))
    );
}

#[tokio::test]
async fn pages_of_named_origins_may_ask() {
    let parts = Parts::start([]).await;
    let preflight = |origin: &str| {
        Call::new(Method::OPTIONS, "/.serin/api/frontend")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header(
                "access-control-request-headers",
                "authorization,unleash-sdk",
            )
    };
    let allowed = parts
        .gateway
        .send(preflight("https://app.example.com"))
        .await;
    assert_eq!(allowed.status, 204);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    assert_eq!(
        allowed.header("access-control-allow-headers"),
        Some("authorization,unleash-sdk")
    );
    for origin in ["https://evil.example.com", "http://app.example.com", "null"] {
        let refused = parts.gateway.send(preflight(origin)).await;
        assert_eq!(refused.status, 403, "{origin}");
        let answer = parts
            .gateway
            .send(app("/api/frontend").header("origin", origin))
            .await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{origin}"
        );
    }
    let origin = "https://app.example.com";
    let answer = parts
        .gateway
        .send(app("/api/frontend").header("origin", origin))
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    assert!(
        answer
            .header("access-control-expose-headers")
            .is_some_and(|names| names.contains("etag"))
    );
}

#[tokio::test]
async fn bodies_and_rates_are_bounded() {
    let parts = Parts::start([]).await;
    let large = json!({ "context": { "userId": "u".repeat(70_000) } });
    assert_eq!(
        parts
            .gateway
            .send(app_post("/api/frontend", &large))
            .await
            .status,
        413
    );
    let chunks = vec![bytes::Bytes::from(vec![b' '; 40_000]); 2];
    let chunked = Call::new(Method::POST, "/.serin/api/frontend")
        .header("authorization", APP)
        .chunks(chunks);
    assert_eq!(parts.gateway.send(chunked).await.status, 413);
    // A report of flags' use may be larger.
    assert_eq!(
        parts
            .gateway
            .send(app_post("/api/frontend/client/metrics", &large))
            .await
            .status,
        202
    );
    let broken = post("/.serin/api/frontend", "{").header("authorization", APP);
    assert_eq!(parts.gateway.send(broken).await.status, 400);
    let generation = parts.gateway.generation().await;
    parts.rewrite(|config| config.replace("requests: 100000", "requests: 2, window: 1h, burst: 3"));
    parts.gateway.await_generation(generation + 1).await;
    let mut limited = parts.gateway.send(app("/api/frontend")).await;
    for _ in 0..4 {
        limited = parts.gateway.send(app("/api/frontend")).await;
    }
    assert_eq!(limited.status, 429);
    let wait: u64 = limited
        .header("retry-after")
        .expect("a wait")
        .parse()
        .expect("seconds");
    assert!((1..=3600).contains(&wait), "{wait}");
    // Services have limits of their own.
    assert_eq!(parts.gateway.get_as("user-1", "/").await.status, 200);
}

#[tokio::test]
async fn streams_of_events_take_a_signed_url() {
    let parts = Parts::start([]).await;
    let body = json!({ "context": { "targetingKey": "user-1" } });
    let all = parts
        .gateway
        .send(app_post("/ofrep/v1/evaluate/flags", &body))
        .await
        .json();
    let url = all["eventStreams"][0]["url"].as_str().expect("a URL");
    let path = url
        .strip_prefix("http://api.example.com")
        .expect("the host that was asked");
    let mut digits = path.to_owned();
    let last = digits.pop();
    digits.push(if last == Some('0') { '1' } else { '0' });
    for wrong in [
        &digits[..],
        "/.serin/ofrep/v1/events",
        &path.replace("expires=", "expires=9"),
    ] {
        assert_eq!(parts.gateway.send(get(wrong)).await.status, 401, "{wrong}");
    }
    let mut stream = parts.gateway.open_raw().await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: api.example.com\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write(request.as_bytes()).await;
    let head = stream.read_until(b"retry: 2000\n\n").await;
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("text/event-stream"),
        "{head}"
    );
    parts.rewrite(|config| config.replace("50%", "51%"));
    let event = stream.read_until(b"\n\n").await;
    let event = String::from_utf8_lossy(&event);
    let digest = parts.gateway.status().await["digest"].clone();
    let told = format!("\"etag\":{digest}");
    assert!(
        event.contains("\"type\":\"refetchEvaluation\"") && event.contains(&told),
        "{event}"
    );
    // It neither holds a drain up nor a snapshot.
    drop(stream);
}
