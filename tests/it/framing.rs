//! Bytes that two servers could read in two ways: where a request ends, and what it is.

mod answers;
mod ledger;
mod matrix;
mod uploads;

use http::Method;

use crate::harness::frames::{Frames, get as get_frame};
use crate::harness::script::Visit;
use crate::harness::{Blunt, Call, Gateway, Origin, Script, fill, get};

async fn start() -> (Origin, Gateway) {
    let origin = Origin::start("stable").await;
    let config = "services: { search: @stable }\nroutes: [{ service: search }]\n";
    let gateway = Gateway::start(fill(config, [&origin])).await;
    (origin, gateway)
}

#[tokio::test]
async fn what_stands_behind_a_chunked_body_is_no_request() {
    let (origin, gateway) = start().await;
    // Whoever ends lines at a bare LF reads a chunk of two bytes here, then one that holds the second request.
    let request = "POST /funky HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n\
        2;\nxx\r\n3d\r\n0\r\n\r\n\
        GET /smuggled HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
    gateway.raw(request).await;
    let targets: Vec<String> = origin.requests().into_iter().map(|r| r.target).collect();
    assert!(
        targets.len() <= 1 && !targets.contains(&"/smuggled".to_owned()),
        "{targets:?}"
    );

    // One after the other they are two requests of one connection.
    let mut connection = gateway.open_raw().await;
    let chunked = "POST /chunked HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n\r\n";
    connection.write(chunked.as_bytes()).await;
    connection.read_until(b"}").await;
    let next = "GET /next HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n";
    connection.write(next.as_bytes()).await;
    let answer = String::from_utf8_lossy(&connection.read_to_end().await).into_owned();
    assert!(
        answer.contains("HTTP/1.1 200 ") && answer.contains("/next"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_coding_that_is_not_just_chunked_is_refused() {
    let (origin, gateway) = start().await;
    for coding in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked\r\nContent-Length: 5",
    ] {
        let answer = gateway
            .raw(format!(
                "POST / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n{coding}\r\n\r\n0\r\n\r\n"
            ))
            .await;
        assert_eq!((answer.status(), origin.count()), (400, 0), "{coding}");
    }
}

#[tokio::test]
async fn a_host_has_a_port_that_is_one() {
    let (origin, gateway) = start().await;
    for host in ["a.example.com:99999", "a.example.com:80x", "a:1:2", "[::1"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = gateway.raw(request).await;
        assert_eq!((answer.status(), origin.count()), (400, 0), "{host}");
    }
}

#[tokio::test]
async fn protocols_are_not_switched_unasked() {
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nboo";
    let origin = Blunt::start(answer).await;
    let config = "services: { search: @stable }\nroutes: [{ service: search }]\n";
    let gateway = Gateway::start(config.replace("@stable", &origin.url())).await;
    assert_eq!(gateway.send(get("/unasked")).await.status, 502);
    let line = gateway.await_access_log_of("/unasked").await;
    assert_eq!(
        (&line["status"], &line["cause"]),
        (&502.into(), &"reset".into())
    );
}

#[tokio::test]
async fn an_interim_response_carries_no_edits() {
    let answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nx-serin-decision: forged\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = Blunt::start(answer).await;
    let config = "services: { search: @stable }\n\
        routes: [{ service: search, expose: true, response_headers: { set: { x-team: search } } }]\n";
    let gateway = Gateway::start(config.replace("@stable", &origin.url())).await;
    let answer = gateway
        .raw("GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
        .await
        .text()
        .to_ascii_lowercase();
    let (interim, last) = answer.split_once("http/1.1 200").expect("two responses");
    assert!(
        interim.contains("103") && interim.contains("link: </a.css>"),
        "{answer}"
    );
    for edit in ["x-serin-decision: ", "x-team: search"] {
        assert!(!interim.contains(edit) && last.contains(edit), "{answer}");
    }
}

#[tokio::test]
async fn an_upgrade_that_connection_does_not_name_opens_no_tunnel() {
    let origin = Script::start(|mut visit: Visit| async move {
        let head = visit.head.to_ascii_lowercase();
        if head.contains("\r\nupgrade: websocket\r\n") {
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            visit.say(switch).await;
            visit.say("tunnel").await;
        } else {
            visit.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhttp").await;
        }
    })
    .await;
    let config = "services: { search: @stable }\nroutes: [{ service: search }]\n";
    let gateway = Gateway::start(config.replace("@stable", &origin.url())).await;
    for (connection, answers) in [
        ("", "http"),
        ("Connection: keep-alive\r\n", "http"),
        ("Connection: x-upgrade\r\n", "http"),
        ("Connection: keep-alive,\tUpgrade\r\n", "tunnel"),
        (
            "Connection: keep-alive\r\nConnection: upgrade\r\n",
            "tunnel",
        ),
    ] {
        let mut client = gateway.open_raw().await;
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a.example.com\r\nUpgrade: websocket\r\n{connection}\r\n"
        );
        client.write(head.as_bytes()).await;
        let answer = client.read_until(answers.as_bytes()).await;
        let status: &[u8] = if answers == "http" {
            b"HTTP/1.1 200"
        } else {
            b"HTTP/1.1 101"
        };
        assert!(answer.starts_with(status), "{connection:?}");
    }
}

const CHUNKED: &str =
    "POST / HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn chunks_that_could_be_read_in_two_ways_are_refused() {
    let (origin, gateway) = start().await;
    for body in [
        &b"\r\nhello\r\n0\r\n\r\n"[..],
        b";a\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"2;\nxx\r\n3d\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
        b"5;a\0b\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"b\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA: \0\r\n\r\n",
        b"0\r\n\n",
    ] {
        // With the head, behind it, and byte by byte.
        for piece in [CHUNKED.len() + body.len(), CHUNKED.len(), 1] {
            let mut client = gateway.open_raw().await;
            let request = [CHUNKED.as_bytes(), body].concat();
            let (head, rest) = request.split_at(piece.max(CHUNKED.len()));
            client.write(head).await;
            for piece in rest.chunks(piece) {
                // It may have been told by now, and its connection closed.
                client.try_write(piece).await;
            }
            let answer = client.read_to_end().await;
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            let told = text.starts_with("http/1.1 400 ") && text.contains("connection: close");
            assert!(told, "{}: {text}", body.escape_ascii());
        }
    }
    assert_eq!(origin.requests().len(), 0);
    // Nor when all was well so far, and the service has begun to read; of that there is no end.
    let begun = format!("{CHUNKED}5\r\nhello\r\n");
    let mut client = gateway.open_raw().await;
    client.write(begun.as_bytes()).await;
    gateway
        .await_metric("serin_active_requests", &[], 1.0)
        .await;
    client.write(b";a\r\n\r\n").await;
    let answer = client.read_to_end().await;
    assert!(
        answer.starts_with(b"HTTP/1.1 400 "),
        "{}",
        answer.escape_ascii()
    );
    assert_eq!(origin.requests().len(), 0);
    gateway
        .await_metric("serin_active_requests", &[], 0.0)
        .await;
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.sum("serin_requests_total", &[("code", "400")]),
        43.0
    );
}

#[tokio::test]
async fn chunks_that_can_be_read_in_one_way_pass() {
    let (origin, gateway) = start().await;
    for body in [
        &b"5\r\nhello\r\n0\r\n\r\n"[..],
        b"0005;name=\"a \\\"b\\\" \xff\";other ; last=x\r\nhello\r\n0;a\r\n\r\n",
        b"1\r\nh\r\n4 \r\nello\r\n0\r\nX-Checksum: 1\r\nEmpty:\r\n\r\n",
    ] {
        for piece in [CHUNKED.len() + body.len(), CHUNKED.len(), 1] {
            let mut client = gateway.open_raw().await;
            let request = [CHUNKED.as_bytes(), body].concat();
            let (head, rest) = request.split_at(piece.max(CHUNKED.len()));
            client.write(head).await;
            for piece in rest.chunks(piece) {
                client.write(piece).await;
            }
            let answer = client.read_until(b"}").await;
            assert!(
                answer.starts_with(b"HTTP/1.1 200 "),
                "{}",
                answer.escape_ascii()
            );
            assert_eq!(origin.last().body, "hello");
            // The connection goes on.
            let next = "GET /next HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n";
            client.write(next.as_bytes()).await;
            let answer = client.read_to_end().await;
            assert!(
                answer.starts_with(b"HTTP/1.1 200 "),
                "{}",
                answer.escape_ascii()
            );
            assert_eq!(origin.last().target, "/next");
        }
    }
    assert_eq!(origin.count(), 18);
}

#[tokio::test]
async fn an_answer_of_our_own_does_not_make_the_next_request_of_a_body() {
    let origin = Origin::start("origin").await;
    let config = "services: { search: @origin }\n\
        routes: [{ path: /own, respond: { status: 200, body: own } }, { path: /, service: search }]\n";
    let gateway = Gateway::start(fill(config, [&origin])).await;
    let next = "GET /next HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (body, next_is_read) in [
        (format!("Content-Length: 0\r\n\r\n{next}"), true),
        // A body that was not read before the answer is never waited for: the connection is closed.
        (
            format!("Content-Length: {}\r\n\r\n{next}{next}", next.len()),
            false,
        ),
        (format!("{chunked}5\r\nhello\r\n0\r\n\r\n{next}"), false),
        (format!("{chunked};\r\nhello\r\n0\r\n\r\n{next}"), false),
    ] {
        let before = origin.count();
        let request = format!("POST /own HTTP/1.1\r\nHost: a.example.com\r\n{body}");
        let text = gateway.raw(request).await.text();
        assert!(
            text.starts_with("HTTP/1.1 200 ") && text.contains("own"),
            "{text}"
        );
        assert_eq!(text.contains("/next"), next_is_read, "{body}: {text}");
        assert_eq!(origin.count() - before, usize::from(next_is_read), "{body}");
    }
}

#[tokio::test]
async fn a_target_that_would_have_to_be_repaired_is_refused() {
    let (origin, gateway) = start().await;
    for target in [
        "/a b",
        "/a?b c",
        "/\x7f",
        "/a?\x7f",
        "/\x01",
        "/a\tb",
        "/ ",
        "/a%20b /x\x1f",
    ] {
        let head = "Host: a.example.com\r\nConnection: close\r\n\r\n";
        let answer = gateway
            .raw(format!("GET {target} HTTP/1.1\r\n{head}"))
            .await;
        assert_eq!((answer.status(), origin.count()), (400, 0), "{target:?}");
    }
    let mut client = Frames::open(gateway.address()).await;
    for (stream, path) in [(1, "/a\x7f"), (3, "/a?\x7f"), (5, "/a b")] {
        client.send(&[get_frame(stream, path)]).await;
        client.end_of(stream).await;
        assert_eq!(origin.count(), 0, "{path:?}");
    }
    // What stands for them passes.
    let call = Call::new(Method::GET, "/a%20b%7F?c%20d%7F");
    gateway.send(call).await.assert_from("stable");
    assert_eq!(origin.last().target, "/a%20b%7F?c%20d%7F");
}
