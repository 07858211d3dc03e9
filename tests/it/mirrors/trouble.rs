//! A shadow that is gone, slow, endless, or sends nonsense costs no request anything.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{CONFIG, Stage, await_result, results};
use crate::harness::{Blunt, Gateway, Origin, Reply, fill, get, in_time, post, until};

/// Copies of a service's requests that are under way at a time.
const MOST: usize = 64;

/// How long an answer may take that is to take too long.
const SOON: &str = "500ms";
/// How long one may take that is not.
const LATE: &str = "10m";

/// A gateway whose shadow has another URL.
async fn before(url: &str, more: &str) -> (Origin, Gateway) {
    let stable = Origin::start("stable").await;
    let gateway = between(&stable.url(), url, more, SOON).await;
    (stable, gateway)
}

/// A gateway with such a stable and such a shadow, both of which may take so long to answer.
async fn between(stable: &str, shadow: &str, more: &str, response: &str) -> Gateway {
    let config = CONFIG.replace("@canary", "http://127.0.0.1:1");
    let config = config.replace("@stable", stable).replace("@shadow", shadow);
    let timeouts = format!("timeouts: {{ response: {response} }}\n    rescue:");
    let config = config.replace("%more%", more).replace("rescue:", &timeouts);
    Gateway::start(config).await
}

/// The half of an answer.
const HALF: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1000\r\n\r\nabc";

fn html(body: &'static [u8]) -> Reply {
    let reply = Reply::status(200).header("content-type", "text/html");
    reply.body(body)
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
async fn an_answer_whose_head_never_comes_is_none() {
    for (head, piece) in [
        (&b""[..], &b""[..]),
        (b"HTTP/1.1 200 OK\r\n", b""),
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
async fn an_answer_whose_end_does_not_come_is_one_that_nobody_compares() {
    let shadow = Endless::start(HALF, b"").await;
    // Where answers are not compared, nobody waits for it; where they are, for as long as an answer may take.
    for (more, response) in [("", LATE), ("compare: true", SOON)] {
        let stable = Origin::start("stable").await;
        stable.answer(|_| html(&[b'x'; 1000]));
        let gateway = between(&stable.url(), &shadow.url(), more, response).await;
        gateway.send(get("/")).await.assert_from("stable");
        await_result(&gateway, "answered", 1).await;
    }
}

#[tokio::test]
async fn event_streams_are_answers_at_once_and_keep_no_places() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let shadow = Endless::start(head, b"").await;
    for more in ["", "compare: true"] {
        // Stable's streams do not end either.
        let stable = Endless::start(head, b"").await;
        let gateway = between(&stable.url(), &shadow.url(), more, LATE).await;
        let mut clients = Vec::new();
        for count in 1..=MOST as u32 + 1 {
            let mut raw = gateway.open_raw().await;
            raw.write(b"GET / HTTP/1.1\r\nhost: api.example.com\r\n\r\n")
                .await;
            raw.read_until(b"\r\n\r\n").await;
            await_result(&gateway, "answered", count).await;
            clients.push(raw);
        }
    }
}

#[tokio::test]
async fn a_stable_answer_that_is_slow_keeps_no_place() {
    let stable = Endless::start(HALF, b"").await;
    let shadow = Origin::start("shadow").await;
    shadow.answer(|_| html(&[b'x'; 1000]));
    let gateway = between(&stable.url(), &shadow.url(), "compare: true", SOON).await;
    let mut raw = gateway.open_raw().await;
    raw.write(b"GET / HTTP/1.1\r\nhost: api.example.com\r\n\r\n")
        .await;
    raw.read_until(b"\r\n\r\n").await;
    await_result(&gateway, "answered", 1).await;
    // The client still waits for its answer.
    assert_eq!(gateway.access_log_lines(), 0);
}

#[tokio::test]
async fn what_a_client_does_not_wait_for_is_not_compared() {
    let stable = Endless::start(HALF, b"").await;
    let shadow = Origin::start("shadow").await;
    shadow.answer(|_| html(&[b'x'; 1000]));
    let gateway = between(&stable.url(), &shadow.url(), "compare: true", LATE).await;
    let mut raw = gateway.open_raw().await;
    raw.write(b"GET / HTTP/1.1\r\nhost: api.example.com\r\n\r\n")
        .await;
    raw.read_until(b"\r\n\r\n").await;
    assert_eq!(
        results(&gateway).await,
        0.0,
        "stable's answer may still come"
    );
    raw.reset();
    await_result(&gateway, "answered", 1).await;
}

#[tokio::test]
async fn bodies_that_come_slowly_take_no_places_of_others() {
    let stage = Stage::start("methods: [GET, POST]").await;
    let mut slow = Vec::new();
    for _ in 0..MOST {
        let mut raw = stage.gateway.open_raw().await;
        raw.write(b"POST / HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 10\r\n\r\nabc")
            .await;
        slow.push(raw);
    }
    let connected = || (stage.stable.connections() >= MOST).then_some(());
    until("all of them to begin", connected).await;
    for count in 1..=3 {
        stage.gateway.send(get("/")).await.assert_from("stable");
        stage.await_result("answered", count).await;
    }
    // No more than that are kept.
    let whole = || stage.gateway.send(post("/", "abc"));
    whole().await.assert_from("stable");
    stage.await_result("dropped", 1).await;
    slow.clear();
    stage.await_result("dropped", 1 + MOST as u32).await;
    whole().await.assert_from("stable");
    stage.await_result("answered", 4).await;
}

#[tokio::test]
async fn a_kill_stops_a_copy_whose_body_is_still_coming() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let stable = format!("http://{}", listener.local_addr().expect("an address"));
    let shadow = Origin::start("shadow").await;
    let gateway = between(&stable, &shadow.url(), "methods: [POST]", LATE).await;
    let mut raw = gateway.open_raw().await;
    raw.write(b"POST / HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 6\r\n\r\nabc")
        .await;
    let (mut socket, _) = listener.accept().await.expect("a connection");
    read_to(&mut socket, b"abc").await;
    let kill = "/api/v1/services/search/canaries/search.shadow/kill";
    let killed = gateway.admin_send(post(kill, "")).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    raw.write(b"def").await;
    read_to(&mut socket, b"def").await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(answer).await.expect("an answer");
    raw.read_until(b"\r\n\r\n").await;
    await_result(&gateway, "dropped", 1).await;
    assert_eq!((shadow.count(), shadow.connections()), (0, 0));
}

/// Reads until `end` has come.
async fn read_to(socket: &mut TcpStream, end: &[u8]) {
    let mut came = Vec::new();
    while !came.ends_with(end) {
        let count = socket.read_buf(&mut came).await.expect("more");
        assert!(count > 0, "{came:?}");
    }
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
