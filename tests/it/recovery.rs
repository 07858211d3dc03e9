//! Rescue, cause by cause: who is asked again, who never is, and that all records say the same.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::harness::{Call, Gateway, Origin, Recorded, Reply, Script, assert_has, fill, get, post};

const CONFIG: &str = "
services:
  search:
    stable: @stable
    timeouts: { response: 1500ms }
    rescue: { methods: [GET, PUT], after: 300ms, quarantine_after: 0 }
    outlier: { consecutive_failures: 1000, min_requests: 1000 }
flags:
  search.ranker: { url: @canary, rings: [{ name: one, when: { userId: [u1] } }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// What pingora can replay.
const REPLAYED: usize = 64 * 1024;

fn call(method: Method, path: &str, body: usize) -> Call {
    Call::new(method, path).body(vec![b'x'; body]).user("u1")
}

/// A canary that reads each request whole, and then does as it is told.
async fn canary(end: &'static str) -> Script {
    Script::start(move |mut visit| async move {
        let length = visit
            .head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().expect("a length"))
            })
            .unwrap_or(0);
        let mut body = vec![0; length];
        visit.stream.read_exact(&mut body).await.expect("a body");
        match end {
            "reset" => {}
            "timeout" => {
                visit.ended().await;
            }
            answer => {
                visit.say(answer).await;
                visit.ended().await;
            }
        }
    })
    .await
}

const BUSY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";

/// What is sent, how much of a body it has, and whether it may be sent again.
const REQUESTS: [(Method, usize, bool); 8] = [
    (Method::GET, 0, true),
    (Method::PUT, 0, true),
    (Method::PUT, 1, true),
    (Method::PUT, REPLAYED, true),
    (Method::PUT, REPLAYED + 1, false),
    (Method::POST, 0, false),
    (Method::POST, 100, false),
    (Method::DELETE, 0, false),
];

#[tokio::test]
async fn what_may_be_sent_again_is_and_nothing_else() {
    // What the canary does, why stable takes over, and what the others get.
    for (end, cause, unrescued) in [
        ("reset", "reset", 502),
        ("timeout", "timeout", 504),
        (BUSY, "status", 503),
    ] {
        let stable = Origin::start("stable").await;
        let script = canary(end).await;
        let config = CONFIG.replace("@canary", &script.url());
        let gateway = Gateway::start(fill(&config, [&stable])).await;
        let mut rescued = 0;
        for (method, body, again) in REQUESTS {
            let path = format!("/{method}-{body}");
            let answer = gateway.send(call(method.clone(), &path, body)).await;
            let line = gateway.await_access_log_of(&path).await;
            assert_eq!(line["assigned"], "search.ranker");
            if again {
                rescued += 1;
                answer.assert_from("stable");
                let seen = stable.last();
                let (name, length) = (seen.method.as_str(), seen.body.len());
                assert_eq!((name, length), (method.as_str(), body));
                let told = seen.header("x-serin-deployment");
                assert_eq!(told.as_deref(), Some("stable"));
                assert_has(&line, &json!({ "served": "stable", "cause": cause }));
            } else {
                assert_eq!(answer.status, unrescued, "{path} after {cause}");
                let expected = match cause {
                    "status" => json!({ "served": "search.ranker", "cause": null }),
                    _ => json!({ "served": null, "cause": cause }),
                };
                assert_has(&line, &expected);
            }
            assert_eq!(stable.count(), rescued, "{path} after {cause}");
        }
        let labels = [("from", "search.ranker"), ("cause", cause)];
        gateway
            .await_metric("serin_rescues_total", &labels, 4.0)
            .await;
    }
}

#[tokio::test]
async fn statuses_are_rescued_one_by_one_or_by_class() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = CONFIG.replace("methods:", "on: [429, 5xx], methods:");
    let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
    canary.answer(|seen: &Recorded| {
        let status = seen.target.trim_start_matches('/').parse();
        Reply::status(status.expect("a status"))
    });
    for (status, from) in [
        (200, "canary"),
        (404, "canary"),
        (429, "stable"),
        (499, "canary"),
        (500, "stable"),
        (599, "stable"),
    ] {
        let answer = gateway.get_as("u1", &format!("/{status}")).await;
        assert_eq!(answer.origin(), from, "{status}");
    }
}

#[tokio::test]
async fn a_dropped_answer_leaves_nothing_on_its_connection() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    canary.answer(|seen| match seen.target.as_str() {
        "/bad" => Reply::status(500).body(vec![b'x'; 1 << 20]),
        _ => Reply::status(200),
    });
    let mut client = gateway.connect().await;
    for _ in 0..3 {
        client
            .send(get("/bad").user("u1"))
            .await
            .assert_from("stable");
        let answer = client.send(get("/good").user("u1")).await;
        answer.assert_from("canary");
        assert_eq!(answer.json()["path"], "/good");
    }
}

#[tokio::test]
async fn interim_answers_pass_and_settle_nothing() {
    let stable = Origin::start("stable").await;
    let (heard, hearing) = tokio::sync::watch::channel(false);
    let script = Script::start(move |mut visit| {
        let mut hearing = hearing.clone();
        async move {
            visit
                .say("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")
                .await;
            if visit.head.contains("expect:") || visit.head.contains("Expect:") {
                visit.say("HTTP/1.1 100 Continue\r\n\r\n").await;
                let mut body = [0; 4];
                visit.stream.read_exact(&mut body).await.expect("a body");
            }
            if visit.head.starts_with("GET") {
                let _ = hearing.wait_for(|heard| *heard).await;
                visit.say(BUSY).await;
            }
        }
    })
    .await;
    let config = CONFIG.replace("@canary", &script.url());
    let gateway = Gateway::start(fill(&config, [&stable])).await;
    let mut client = gateway.open_raw().await;
    client
        .write(b"GET /hints HTTP/1.1\r\nHost: api.example.com\r\nx-user-id: u1\r\nConnection: close\r\n\r\n")
        .await;
    let hints = client.read_until(b"\r\n\r\n").await;
    assert!(hints.starts_with(b"HTTP/1.1 103 "), "{hints:?}");
    heard.send_replace(true);
    let text = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    let ask = |method: &'static str| {
        let gateway = &gateway;
        let head = "HTTP/1.1\r\nHost: api.example.com\r\nx-user-id: u1\r\nConnection: close";
        let request =
            format!("{method} / {head}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody");
        async move { gateway.raw(request).await.text() }
    };
    // The client has been told to go on, and its body has been taken: stable gets it all the same.
    let text = ask("PUT").await;
    assert!(
        text.contains("100 Continue") && text.contains("200 OK"),
        "{text}"
    );
    assert_eq!(&stable.last().body[..], b"body");
    // And who is not rescued hears of it.
    let text = ask("POST").await;
    assert!(
        text.contains("100 Continue") && text.contains("502 Bad Gateway"),
        "{text}"
    );
    assert_eq!(stable.count(), 2);
}

#[tokio::test]
async fn a_body_without_bytes_is_replayed_with_its_end() {
    let stable = Origin::start("stable").await;
    let canary = Origin::start("canary").await;
    canary.answer(|_| Reply::status(500));
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    let empty = Call::new(Method::PUT, "/empty").chunks([]).user("u1");
    gateway.send(empty).await.assert_from("stable");
    let chunks = [Bytes::from_static(b"one,"), Bytes::from_static(b"two")];
    let chunked = Call::new(Method::PUT, "/chunks").chunks(chunks).user("u1");
    gateway.send(chunked).await.assert_from("stable");
    assert_eq!(&stable.last().body[..], b"one,two");
}

#[tokio::test]
async fn a_slow_canary_has_its_time_and_no_more() {
    for h2c in [false, true] {
        let stable = Origin::start("stable").await;
        let canary = match h2c {
            true => Origin::start_h2c("canary").await,
            false => Origin::start("canary").await,
        };
        let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
        canary.hold();
        let begun = Instant::now();
        gateway.get_as("u1", "/get").await.assert_from("stable");
        let took = begun.elapsed();
        // Stable's own time is longer than an answer is waited for.
        assert!(took >= Duration::from_millis(290), "{took:?}, h2c: {h2c}");
        let line = gateway.await_access_log_of("/get").await;
        assert_has(&line, &json!({ "served": "stable", "cause": "timeout" }));
        // Nobody could take this one over: it has all the time that stable would have.
        let slow = gateway.send(post("/post", "pay").user("u1"));
        let release = async {
            canary.await_requests(2).await;
            // Stable takes one over that began later: the canary's time has passed for this one, too.
            gateway.get_as("u1", "/get").await.assert_from("stable");
            canary.release();
        };
        let (answer, ()) = tokio::join!(slow, release);
        answer.assert_from("canary");
        assert_eq!(stable.count(), 2);
    }
}

#[tokio::test]
async fn grpc_calls_that_were_not_taken_are_made_again() {
    let (stable, canary) = (
        Origin::start_h2c("stable").await,
        Origin::start_h2c("canary").await,
    );
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    let grpc = |path: &str| {
        let call = post(path, &b"\0\0\0\0\0"[..]).user("u1");
        call.header("content-type", "application/grpc")
            .header("te", "trailers")
    };
    canary.answer(|seen| {
        let reply = Reply::status(200).header("content-type", "application/grpc");
        match seen.target.as_str() {
            "/unavailable" => reply.header("grpc-status", "14").body(""),
            "/internal" => reply.header("grpc-status", "13").body(""),
            _ => reply.body(&b"\0\0\0\0\0"[..]).trailer("grpc-status", "14"),
        }
    });
    let mut client = gateway.connect_h2c().await;
    client
        .send(grpc("/unavailable"))
        .await
        .assert_from("stable");
    assert_eq!(&stable.last().body[..], b"\0\0\0\0\0");
    for path in ["/internal", "/half-way"] {
        client.send(grpc(path)).await.assert_from("canary");
    }
    assert_eq!(stable.count(), 1);
    let line = gateway.await_access_log_of("/unavailable").await;
    assert_has(&line, &json!({ "served": "stable", "cause": "status" }));
}

/// An HTTP/2 server that refuses every stream before it does anything.
async fn refusing() -> (String, tokio::task::AbortHandle) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("h2c://{}", listener.local_addr().expect("an address"));
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    };
    (url, tokio::spawn(accept).abort_handle())
}

#[tokio::test]
async fn a_refused_stream_has_not_reached_anybody() {
    let stable = Origin::start("stable").await;
    let (url, running) = refusing().await;
    let config = CONFIG.replace("@canary", &url);
    let gateway = Gateway::start(fill(&config, [&stable])).await;
    gateway
        .send(post("/post", "pay").user("u1"))
        .await
        .assert_from("stable");
    assert_eq!(&stable.last().body[..], b"pay");
    let line = gateway.await_access_log_of("/post").await;
    assert_has(&line, &json!({ "served": "stable", "cause": "reset" }));
    running.abort();
}

#[tokio::test]
async fn a_canary_has_no_more_requests_than_it_may() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = CONFIG
        .replace("after: 300ms, ", "")
        .replace("rescue:", "max_in_flight: 2\n    rescue:");
    let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
    canary.hold();
    let (one, two) = (gateway.get_as("u1", "/one"), gateway.get_as("u1", "/two"));
    let third = async {
        canary.await_requests(2).await;
        gateway
            .send(post("/three", "x").user("u1"))
            .await
            .assert_from("stable");
        canary.release();
    };
    let (one, two, ()) = tokio::join!(one, two, third);
    one.assert_from("canary");
    two.assert_from("canary");
    let line = gateway.await_access_log_of("/three").await;
    assert_has(
        &line,
        &json!({ "assigned": "search.ranker", "served": "stable", "cause": "overload" }),
    );
    gateway.get_as("u1", "/four").await.assert_from("canary");
}

/// Sixty requests of two users, a third of them bad for the canary, a quarter of them POSTs. Their statuses.
async fn a_mixture(gateway: &Gateway) -> Vec<u16> {
    let mut client = gateway.connect().await;
    let mut statuses = Vec::new();
    for n in 0..60 {
        let path = format!("/{}-{n}", if n % 3 == 0 { "bad" } else { "good" });
        let user = if n % 2 == 0 { "u1" } else { "u2" };
        let call = match n % 4 {
            0 => post(&path, "pay"),
            _ => get(&path),
        };
        statuses.push(client.send(call.user(user)).await.status);
    }
    gateway
        .await_metric("serin_requests_total", &[("service", "search")], 60.0)
        .await;
    statuses
}

/// The targets of the POSTs that came to an origin.
fn posts(origin: &Origin) -> Vec<String> {
    let requests = origin.requests().into_iter();
    let posts = requests.filter(|request| request.method == "POST");
    posts.map(|request| request.target).collect()
}

#[tokio::test]
async fn all_records_add_up() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.answer(|seen| {
        let bad = seen.target.contains("bad");
        Reply::status(if bad { 502 } else { 200 })
    });
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    let statuses = a_mixture(&gateway).await;
    let (lines, metrics) = (gateway.access_log(), gateway.metrics().await);
    let count = |assigned: &str, served: &str| {
        let labels = [("assigned", assigned), ("served", served)];
        let logged = lines
            .iter()
            .filter(|line| line["assigned"] == assigned && line["served"] == served)
            .count();
        let counted = metrics.sum("serin_requests_total", &labels);
        assert_eq!(counted, logged as f64, "{labels:?}");
        logged
    };
    let rescued = count("search.ranker", "stable");
    let kept = count("search.ranker", "search.ranker");
    assert!(rescued > 0 && kept > 0);
    assert_eq!(metrics.sum("serin_rescues_total", &[]), rescued as f64);
    assert_eq!(stable.count(), rescued + count("stable", "stable"));
    assert_eq!(canary.count(), rescued + kept);
    // Nothing that may have had effects was asked of two, and nothing else failed.
    let (at_stable, at_canary) = (posts(&stable), posts(&canary));
    assert!(at_canary.iter().all(|target| !at_stable.contains(target)));
    let failed = statuses.iter().filter(|status| **status != 200).count();
    let bad = at_canary.iter().filter(|target| target.contains("bad"));
    assert_eq!(failed, bad.count());
}
