//! Fields that are about one connection (RFC 9110, section 7.6.1) end with it, both ways.

use crate::harness::{Gateway, Origin, Reply, Script, fill};

const CONFIG: &str = "
services: { search: @origin }
routes: [{ path: /, service: search }]
";

#[tokio::test]
async fn a_requests_fields_of_one_hop_go_no_further() {
    for origin in [
        Origin::start("origin").await,
        Origin::start_h2c("origin").await,
    ] {
        let gateway = Gateway::start(fill(CONFIG, [&origin])).await;
        let answer = gateway
            .raw(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: one\r\n\
                 Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nX-End: yes\r\n\r\n",
            )
            .await;
        assert_eq!(answer.status(), 200);
        let seen = origin.last();
        for gone in [
            "x-hop",
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "http2-settings",
        ] {
            assert_eq!(seen.header(gone), None, "{seen:?}");
        }
        let connection = seen.header("connection").unwrap_or_default();
        assert!(!connection.to_lowercase().contains("x-hop"), "{seen:?}");
        assert!(
            seen.header("te").is_none_or(|te| te == "trailers"),
            "{seen:?}"
        );
        assert_eq!(seen.header("x-end").as_deref(), Some("yes"));
    }
}

#[tokio::test]
async fn a_responses_fields_of_one_hop_go_no_further() {
    let old = Script::start(async |mut visit| {
        visit
            .say(
                "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: one\r\nKeep-Alive: timeout=5\r\n\
                 Proxy-Connection: keep-alive\r\nX-End: yes\r\nContent-Length: 0\r\n\r\n",
            )
            .await;
    })
    .await;
    let gateway = Gateway::start(CONFIG.replace("@origin", &old.url())).await;
    let over_http1 = gateway.send(crate::harness::get("/")).await;
    let over_http2 = gateway
        .connect_h2c()
        .await
        .send(crate::harness::get("/"))
        .await;
    for answer in [over_http1, over_http2] {
        assert_eq!(answer.status, 200);
        for gone in ["x-hop", "keep-alive", "proxy-connection"] {
            assert_eq!(answer.header(gone), None, "{answer:?}");
        }
        let connection = answer.header("connection").unwrap_or_default();
        assert!(!connection.to_lowercase().contains("x-hop"), "{answer:?}");
        assert_eq!(answer.header("x-end"), Some("yes"));
    }
    // What an upstream keeps open has nothing to do with the client's connection.
    let origin = Origin::start("origin").await;
    origin.answer(|_| Reply::status(200).header("keep-alive", "timeout=1, max=2"));
    let gateway = Gateway::start(fill(CONFIG, [&origin])).await;
    let answer = gateway.send(crate::harness::get("/")).await;
    assert_eq!(answer.header("keep-alive"), None, "{answer:?}");
}
