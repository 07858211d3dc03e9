//! Answers whose head is faulty: mended where there is one reading, none where there are two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::wire::WireStream;
use crate::harness::{Call, Gateway, Script, get, in_time, until};

/// What an upstream says, and what its client is to get.
struct Case {
    says: &'static str,
    status: u16,
    body: &'static str,
    /// `Content-Length`, where it is certain.
    length: Option<&'static str>,
}

const fn case(says: &'static str, status: u16, body: &'static str) -> Case {
    Case {
        says,
        status,
        body,
        length: None,
    }
}

const fn with_length(
    says: &'static str,
    status: u16,
    body: &'static str,
    length: &'static str,
) -> Case {
    Case {
        says,
        status,
        body,
        length: Some(length),
    }
}

const MENDED: [Case; 11] = [
    case(
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        204,
        "",
    ),
    case(
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        204,
        "",
    ),
    case(
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        204,
        "",
    ),
    with_length(
        "HTTP/1.1 205 Reset\r\nContent-Length: 5\r\n\r\nhello",
        205,
        "",
        "0",
    ),
    with_length(
        "HTTP/1.1 205 Reset\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        205,
        "",
        "0",
    ),
    with_length(
        "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n",
        205,
        "",
        "0",
    ),
    with_length(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        200,
        "ok",
        "2",
    ),
    with_length(
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        200,
        "ok",
        "2",
    ),
    with_length(
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        "ok",
        "2",
    ),
    with_length(
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        "ok",
        "2",
    ),
    case(
        "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        200,
        "ok",
    ),
];

const REFUSED: [&str; 8] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
];

/// A gateway before an upstream that says these to `/0`, `/1` and so on, and answers well otherwise.
async fn before(says: Vec<&'static str>) -> (Script, Gateway) {
    let script = Script::start(move |mut visit| {
        let says = says.clone();
        async move {
            loop {
                let target = visit.head.split(' ').nth(1).unwrap_or_default();
                let index = target[1..].parse::<usize>().ok();
                let well = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
                let says = index.map_or(well, |index| says[index]);
                visit.say(says).await;
                // As its status line has it.
                let next = match says.starts_with("HTTP/1.0") {
                    true => None,
                    false => visit.next().await,
                };
                match next {
                    Some(next) => visit = next,
                    None => return,
                }
            }
        }
    })
    .await;
    let config = "server: { threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s }\n\
        services: { search: @script }\nroutes: [{ service: search }]\n";
    let gateway = Gateway::start(config.replace("@script", &script.url())).await;
    (script, gateway)
}

#[tokio::test]
async fn a_faulty_answer_with_one_reading_is_mended() {
    let (_script, gateway) = before(MENDED.iter().map(|case| case.says).collect()).await;
    let mut client = gateway.connect_h2c().await;
    for (index, case) in MENDED.iter().enumerate() {
        let request =
            format!("GET /{index} HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n");
        let text = gateway.raw(request).await.text();
        check(case, &text);
        for _ in 0..2 {
            let answer = client.send(get(&format!("/{index}"))).await;
            let got = (answer.status, answer.text());
            assert_eq!(got, (case.status, case.body), "{}", case.says);
            let next = client.send(get("/next")).await;
            assert_eq!((next.status, next.text()), (200, "next"), "{}", case.says);
        }
    }
}

/// Fails unless a client of HTTP/1.1 got what it should.
fn check(case: &Case, text: &str) {
    let answer = match text.strip_prefix("HTTP/1.1 103 ") {
        Some(rest) => {
            let (interim, answer) = rest.split_once("\r\n\r\n").expect("an interim head");
            assert!(!interim.to_lowercase().contains("content-length"), "{text}");
            answer
        }
        None => text,
    };
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = format!("HTTP/1.1 {} ", case.status);
    assert!(head.starts_with(&status), "{}: {text}", case.says);
    let fields: Vec<String> = head.lines().skip(1).map(str::to_lowercase).collect();
    let lengths: Vec<&str> = fields
        .iter()
        .filter_map(|field| field.strip_prefix("content-length: "))
        .collect();
    assert_eq!(
        lengths,
        Vec::from_iter(case.length),
        "{}: {text}",
        case.says
    );
    let chunked = fields
        .iter()
        .any(|field| field == "transfer-encoding: chunked");
    assert!(!chunked || case.status == 200, "{}: {text}", case.says);
    let whole = match chunked {
        true => format!("{:x}\r\n{}\r\n0\r\n\r\n", case.body.len(), case.body),
        false => case.body.to_owned(),
    };
    assert_eq!(body, whole, "{}", case.says);
}

#[tokio::test]
async fn a_faulty_answer_with_two_readings_is_none() {
    let (_script, gateway) = before(REFUSED.to_vec()).await;
    let mut client = gateway.connect_h2c().await;
    for (index, says) in REFUSED.iter().enumerate() {
        let call = get(&format!("/{index}"));
        assert_eq!(gateway.send(call.clone()).await.status, 502, "{says}");
        assert_eq!(client.send(call).await.status, 502, "{says}");
        let next = client.send(get("/next")).await;
        assert_eq!((next.status, next.text()), (200, "next"), "{says}");
    }
}

#[tokio::test]
async fn what_follows_an_answer_without_a_body_is_nobodys_answer() {
    let forged = Arc::new(AtomicUsize::new(0));
    let seen = forged.clone();
    let script = Script::start(move |mut visit| {
        let seen = seen.clone();
        async move {
            visit
                .say("HTTP/1.1 204 No Content\r\nContent-Length: 40\r\n\r\n")
                .await;
            // The body that it should not have comes as late as it can.
            if let Some(mut next) = visit.next().await {
                seen.fetch_add(1, Ordering::SeqCst);
                next.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
                    .await;
            }
        }
    })
    .await;
    let config = "server: { threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s }\n\
        services: { search: @script }\nroutes: [{ service: search }]\n";
    let gateway = Gateway::start(config.replace("@script", &script.url())).await;
    let mut client = gateway.connect().await;
    for _ in 0..20 {
        assert_eq!(client.send(get("/")).await.status, 204);
    }
    assert_eq!(forged.load(Ordering::SeqCst), 0);
}

/// What a client of HTTP/1.0 gets, and how its connection ends.
async fn http10(gateway: &Gateway) -> (String, std::io::Result<usize>) {
    let mut client = WireStream::connect(gateway.address()).await;
    let request = b"GET / HTTP/1.0\r\nHost: a.example.com\r\n\r\n";
    client.write_all(request).await.expect("an open connection");
    let mut seen = Vec::new();
    let end = in_time("the end", client.read_to_end(&mut seen)).await;
    (String::from_utf8_lossy(&seen).into_owned(), end)
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    // In the middle of a chunk, between two, and where nothing but a reset says so.
    for (says, abrupt) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhalf", true),
    ] {
        let heard = Arc::new(tokio::sync::Notify::new());
        let go = heard.clone();
        let script = Script::start(move |mut visit| {
            let go = go.clone();
            async move {
                visit.say(says).await;
                go.notified().await;
                if abrupt {
                    visit.stream.set_zero_linger().expect("an open socket");
                }
            }
        })
        .await;
        let config = "services: { search: @script }\nroutes: [{ service: search }]\n";
        let gateway = Gateway::start(config.replace("@script", &script.url())).await;
        let mut client = WireStream::connect(gateway.address()).await;
        let request = b"GET / HTTP/1.0\r\nHost: a.example.com\r\n\r\n";
        client.write_all(request).await.expect("an open connection");
        let mut seen = vec![0; 4096];
        let mut length = 0;
        while !seen[..length].ends_with(b"half") {
            let read = in_time("the answer", client.read(&mut seen[length..])).await;
            length += read.expect("an answer");
        }
        heard.notify_one();
        let end = in_time("the end", client.read(&mut seen)).await;
        let kind = end.map_err(|error| error.kind());
        assert_eq!(kind, Err(std::io::ErrorKind::ConnectionReset), "{says}");
    }
    // A whole one ends in order.
    let says = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n";
    let (_script, gateway) = before_all(says).await;
    let (text, end) = http10(&gateway).await;
    assert!(
        text.ends_with("\r\n\r\nhalf") && end.is_ok(),
        "{text} {end:?}"
    );
}

async fn before_all(says: &'static str) -> (Script, Gateway) {
    let script = Script::start(move |mut visit| async move {
        visit.say(says).await;
        visit.ended().await;
    })
    .await;
    let config = "services: { search: @script }\nroutes: [{ service: search }]\n";
    let gateway = Gateway::start(config.replace("@script", &script.url())).await;
    (script, gateway)
}

#[tokio::test]
async fn an_interim_response_costs_no_connection() {
    for interim in ["100 Continue", "102 Processing", "103 Early Hints"] {
        let script = Script::start(move |mut visit| async move {
            loop {
                visit.say(format!("HTTP/1.1 {interim}\r\n\r\n")).await;
                let mut body = [0; 5];
                visit.stream.read_exact(&mut body).await.expect("a body");
                visit
                    .say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
                match visit.next().await {
                    Some(next) => visit = next,
                    None => return,
                }
            }
        })
        .await;
        let config = "services: { search: @script }\nroutes: [{ service: search }]\n";
        let gateway = Gateway::start(config.replace("@script", &script.url())).await;
        let mut client = gateway.open_raw().await;
        for _ in 0..3 {
            let begin = b"POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 5\r\n\r\nh";
            client.write(begin).await;
            let head = client.read_until(b"\r\n\r\n").await;
            assert!(head.starts_with(b"HTTP/1.1 10"), "{interim}");
            client.write(b"ello").await;
            let answer = client.read_until(b"ok").await;
            let answer = String::from_utf8_lossy(&answer).to_lowercase();
            assert!(answer.starts_with("http/1.1 200 "), "{interim}: {answer}");
            assert!(
                answer.contains("connection: keep-alive"),
                "{interim}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn an_upstream_s_keep_alive_bounds_its_connections_rest() {
    for (timeout, connections) in [("timeout=1", 2), ("timeout=30, max=100", 1)] {
        let origin = crate::harness::Origin::start("origin").await;
        origin.answer(move |_| crate::harness::Reply::status(200).header("keep-alive", timeout));
        let config = format!(
            "server: {{ threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s }}\n\
            services: {{ search: {} }}\nroutes: [{{ service: search }}]\n",
            origin.url()
        );
        let gateway = Gateway::start(config).await;
        let mut client = gateway.connect().await;
        let call = || Call::new(Method::POST, "/").body("x");
        client.send(call()).await.assert_from("origin");
        client.send(call()).await.assert_from("origin");
        assert_eq!(origin.connections(), 1);
        crate::harness::pause(700).await;
        client.send(call()).await.assert_from("origin");
        until("the connections", || {
            (origin.connections() == connections).then_some(())
        })
        .await;
    }
}
