//! Clients that shut their half of the connection down behind a request, as `nc` does, and wait for the answer.

use tokio::sync::mpsc;

use crate::harness::script::Visit;
use crate::harness::{Gateway, Origin, Script, fill, get, in_time, pause};

const CONFIG: &str = "
server: { threads: 1 }
services: { search: @origin }
routes: [{ path: /, service: search }, { path: /control, respond: { body: ok } }]
";

async fn start(origin: &Origin) -> Gateway {
    Gateway::start(fill(CONFIG, [origin])).await
}

/// Waits until the worker has seen what came to it so far: there is one, and it answers a request that came later.
async fn seen_by_the_worker(gateway: &Gateway) {
    for _ in 0..2 {
        assert_eq!(gateway.send(get("/control")).await.text(), "ok");
    }
}

/// How many answers a client gets that says this and nothing more, while its upstreams take their time.
async fn answers(gateway: &Gateway, origin: &Origin, said: &str) -> usize {
    origin.hold();
    let before = origin.count();
    let mut client = gateway.open_raw().await;
    client.write(said.as_bytes()).await;
    client.half_close().await;
    origin.await_requests(before + 1).await;
    // That the client has no more to say changes nothing.
    seen_by_the_worker(gateway).await;
    origin.release();
    let answers = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    answers.matches("HTTP/1.1 200").count()
}

#[tokio::test]
async fn a_client_that_has_said_all_gets_its_answers() {
    for origin in [
        Origin::start("origin").await,
        Origin::start_h2c("origin").await,
    ] {
        let gateway = start(&origin).await;
        let get = "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nHost: a.example.com\r\n";
        for (said, expected) in [
            (get.to_owned(), 1),
            (get.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), 1),
            ("GET / HTTP/1.0\r\n\r\n".to_owned(), 1),
            (format!("{post}Content-Length: 5\r\n\r\nhello"), 1),
            (
                format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
                1,
            ),
            // Sent ahead.
            (format!("{get}{post}Content-Length: 5\r\n\r\nhello{get}"), 3),
        ] {
            let before = origin.count();
            assert_eq!(answers(&gateway, &origin, &said).await, expected, "{said}");
            assert_eq!(origin.count(), before + expected);
        }
        gateway
            .await_metric("serin_active_requests", &[], 0.0)
            .await;
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.sum("serin_requests_total", &[("code", "499")]), 0.0);
    }
}

#[tokio::test]
async fn a_request_that_was_not_said_whole_is_none() {
    let origin = Origin::start("origin").await;
    let gateway = start(&origin).await;
    for body in [
        "Content-Length: 6\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let mut client = gateway.open_raw().await;
        let request = format!("POST / HTTP/1.1\r\nHost: a.example.com\r\n{body}");
        client.write(request.as_bytes()).await;
        client.half_close().await;
        assert_eq!(client.read_to_end().await, b"", "{body}");
    }
    gateway
        .await_metric("serin_active_requests", &[], 0.0)
        .await;
    assert_eq!(origin.count(), 0);
}

/// An origin that says when one of its requests has ended: whether it could not say everything.
async fn telling() -> (Script, mpsc::UnboundedReceiver<bool>) {
    let (tell, told) = mpsc::unbounded_channel();
    let origin = Script::start(move |mut visit: Visit| {
        let tell = tell.clone();
        async move {
            // Waits until it is cut off, unless it has something to say until then.
            let cut = if visit.head.starts_with("GET /talk") {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut heard = visit.say(head).await;
                let mut said = 0;
                while heard && said < 10_000 {
                    heard = visit.say("5\r\nhello\r\n").await;
                    said += 1;
                    pause(1).await;
                }
                !heard
            } else {
                visit.ended().await == 0
            };
            // Fails only when the test is over.
            let _ = tell.send(cut);
        }
    })
    .await;
    (origin, told)
}

#[tokio::test]
async fn a_client_that_is_gone_is_noticed_all_the_same() {
    let (origin, mut told) = telling().await;
    let gateway = Gateway::start(CONFIG.replace("@origin", &origin.url())).await;
    let said = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
    let one_active = async || {
        gateway
            .await_metric("serin_active_requests", &[], 1.0)
            .await;
    };

    // By a reset, before there is an answer.
    let mut client = gateway.open_raw().await;
    client.write(said("/wait").as_bytes()).await;
    client.half_close().await;
    one_active().await;
    seen_by_the_worker(&gateway).await;
    client.reset();
    assert_eq!(in_time("the end upstream", told.recv()).await, Some(true));

    // By the answer, which nobody takes.
    let mut client = gateway.open_raw().await;
    client.write(said("/talk").as_bytes()).await;
    client.half_close().await;
    client.read_until(b"hello").await;
    drop(client);
    assert_eq!(in_time("the end upstream", told.recv()).await, Some(true));
    gateway
        .await_metric("serin_active_requests", &[], 0.0)
        .await;
    let labels = [("code", "499")];
    gateway
        .await_metric("serin_requests_total", &labels, 1.0)
        .await;
}
