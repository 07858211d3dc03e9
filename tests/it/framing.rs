//! Octets that two servers could read in two ways: where a request ends, and what it is.

use crate::harness::script::Visit;
use crate::harness::{Blunt, Gateway, Origin, Script, fill, get};

async fn start() -> (Origin, Gateway) {
    let origin = Origin::start("stable").await;
    let config = "services: { search: @stable }\nroutes: [{ service: search }]\n";
    let gateway = Gateway::start(fill(config, [&origin])).await;
    (origin, gateway)
}

#[tokio::test]
async fn what_stands_behind_a_chunked_body_is_no_request() {
    let (origin, gateway) = start().await;
    // Whoever ends lines at a bare LF reads a chunk of two octets here, then one that holds the second request.
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
