//! A shadow that is gone, slow, endless, or sends nonsense costs no request anything.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::{CONFIG, Stage, await_result, results};
use crate::harness::{Blunt, Gateway, Origin, fill, get, in_time, post};

/// Copies of a service's requests that are under way at a time.
const MOST: usize = 64;

/// A gateway whose shadow has another URL.
async fn before(url: &str, more: &str) -> (Origin, Gateway) {
    let stable = Origin::start("stable").await;
    let config = CONFIG.replace("@canary", "http://127.0.0.1:1");
    let config = config.replace("@shadow", url).replace("%more%", more);
    let config = config.replace("rescue:", "timeouts: { response: 500ms }\n    rescue:");
    let gateway = Gateway::start(fill(&config, [&stable])).await;
    (stable, gateway)
}

/// A server whose answers never end.
struct Endless {
    address: SocketAddr,
    running: AbortHandle,
}

impl Endless {
    /// Says `head`, then `piece` for ever, as fast as it is taken if it is not empty.
    async fn start(head: &'static [u8], piece: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let running = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let _ = socket.read(&mut buffer).await;
                    let mut gone = socket.write_all(head).await.is_err();
                    while !gone && !piece.is_empty() {
                        gone = socket.write_all(piece).await.is_err();
                    }
                    // Silent until the other side has had enough.
                    let _ = socket.read(&mut buffer).await;
                });
            }
        });
        Self {
            address,
            running: running.abort_handle(),
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[tokio::test]
async fn while_a_shadow_hangs_everybody_is_answered_and_it_gets_no_more_than_it_may_have() {
    let stage = Stage::start("compare: true").await;
    stage.shadow.hold();
    let mut connection = stage.gateway.connect().await;
    for _ in 0..MOST {
        connection.send(get("/held")).await.assert_from("stable");
    }
    stage.shadow.await_requests(MOST).await;
    for count in 1..=3 {
        connection.send(get("/more")).await.assert_from("stable");
        stage.await_result("dropped", count).await;
    }
    // It still holds every one of them.
    assert_eq!(
        (stage.shadow.count(), results(&stage.gateway).await),
        (MOST, 3.0)
    );
    stage.shadow.release();
    stage.await_result("differs", MOST as u32).await;
    connection.send(get("/again")).await.assert_from("stable");
    stage.await_result("differs", MOST as u32 + 1).await;
    assert_eq!(stage.shadow.last().target, "/again");
}

#[tokio::test]
async fn a_shadow_that_is_gone_fails_alone_and_comes_back() {
    let mut stage = Stage::start("compare: true").await;
    stage.gateway.send(get("/")).await.assert_from("stable");
    stage.await_result("differs", 1).await;
    stage.shadow.stop().await;
    for count in 1..=20 {
        stage.gateway.send(get("/")).await.assert_from("stable");
        stage.await_result("failed", count).await;
    }
    stage
        .gateway
        .await_log("a shadow did not answer: no connection")
        .await;
    stage.shadow.restart().await;
    // That nobody has ejected it meanwhile shows here: copies say nothing of an endpoint.
    stage.gateway.get_as("sue", "/").await.assert_from("shadow");
    stage.gateway.send(get("/")).await.assert_from("stable");
    stage.await_result("differs", 2).await;
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.sum("serin_rescues_total", &[]), 0.0);
}

#[tokio::test]
async fn an_answer_that_never_comes_or_never_ends_is_none() {
    for (head, piece) in [
        (&b""[..], &b""[..]),
        (b"HTTP/1.1 200 OK\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc", b""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", b""),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x-endless: yes\r\n"),
    ] {
        let shadow = Endless::start(head, piece).await;
        let (_stable, gateway) = before(&shadow.url(), "compare: true").await;
        gateway.send(get("/")).await.assert_from("stable");
        await_result(&gateway, "failed", 1).await;
    }
}

#[tokio::test]
async fn an_endless_body_is_read_no_further_than_there_is_something_to_learn() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let shadow = Endless::start(head, &[b' '; 16_384]).await;
    let (_stable, gateway) = before(&shadow.url(), "compare: true").await;
    for count in 1..=5 {
        gateway.send(get("/")).await.assert_from("stable");
        await_result(&gateway, "differs", count).await;
    }
}

#[tokio::test]
async fn nonsense_and_resets_are_no_answers() {
    for said in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let shadow = Blunt::start(said).await;
        let (_stable, gateway) = before(&shadow.url(), "compare: true").await;
        gateway.send(get("/")).await.assert_from("stable");
        await_result(&gateway, "failed", 1).await;
    }
}

#[tokio::test]
async fn a_stable_answer_that_is_slow_keeps_no_place() {
    let (stable, gateway) = before("http://127.0.0.1:1", "compare: true").await;
    // The copy failed long before, and stable's answer has nobody to go to.
    stable.hold();
    let (answer, ()) = tokio::join!(gateway.send(get("/")), async {
        await_result(&gateway, "failed", 1).await;
        stable.release();
    });
    answer.assert_from("stable");
}

#[tokio::test]
async fn a_client_that_goes_before_its_body_is_whole_has_no_copy() {
    let stage = Stage::start("methods: [POST]").await;
    let mut raw = stage.gateway.open_raw().await;
    raw.write(b"POST / HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    drop(raw);
    stage.await_result("dropped", 1).await;
    stage
        .gateway
        .send(post("/", "abc"))
        .await
        .assert_from("stable");
    stage.await_result("answered", 1).await;
    assert_eq!(stage.shadow.count(), 1);
}

#[tokio::test]
async fn the_gateway_is_never_its_own_shadow() {
    let stage = Stage::start("").await;
    let config = fill(CONFIG, [&stage.stable, &stage.canary, &stage.shadow]);
    let own = format!("http://{}", stage.gateway.address());
    let config = config
        .replace(", %more%", "")
        .replace(&stage.shadow.url(), &own);
    let generation = stage.gateway.generation().await;
    stage.gateway.rewrite_config(&config);
    stage.gateway.await_generation(generation + 1).await;
    stage.gateway.send(get("/")).await.assert_from("stable");
    stage.await_result("failed", 1).await;
    assert_eq!(stage.stable.count(), 1);
}

#[tokio::test]
async fn a_gateway_ends_while_a_shadow_hangs() {
    let mut stage = Stage::start("").await;
    stage.shadow.hold();
    stage.gateway.send(get("/")).await.assert_from("stable");
    stage.shadow.await_requests(1).await;
    let ended = in_time("the end", stage.gateway.terminate()).await;
    assert!(ended.success(), "{ended:?}");
}
