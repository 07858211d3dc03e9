//! Uploads whose upstream does not do as the book says: it answers early, asks for nothing, closes without a word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::wire::WireStream;
use crate::harness::{Gateway, Origin, Script, get, in_time, pause, post};

const MEGABYTE: usize = 1 << 20;

async fn before(url: &str) -> Gateway {
    let config = format!(
        "server: {{ threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s }}\n\
        services: {{ search: {{ stable: {url}, timeouts: {{ response: 60s }} }} }}\n\
        routes: [{{ service: search }}]\n"
    );
    Gateway::start(config).await
}

/// Answers when so much of the body has come, and then neither reads nor closes.
async fn early(read: usize, pieces: &'static [&'static str]) -> Script {
    Script::start(move |mut visit| async move {
        let mut body = vec![0; read];
        visit.stream.read_exact(&mut body).await.expect("a body");
        for piece in pieces {
            visit.say(piece).await;
            pause(50).await;
        }
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn an_early_answer_is_passed_on_whatever_becomes_of_the_upload() {
    let whole: &[&str] = &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"];
    let pieces: &[&str] = &[
        "HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5\r\nearly\r\n",
        "0\r\n\r\n",
    ];
    let cases = [
        (0, whole),
        (0, pieces),
        (8 * MEGABYTE, whole),
        (8 * MEGABYTE, pieces),
    ];
    let mut scripts = Vec::new();
    let (mut services, mut routes) = (String::new(), String::new());
    for (index, (read, says)) in cases.iter().enumerate() {
        let script = early(*read, says).await;
        let url = script.url();
        services += &format!("  s{index}: {{ stable: {url}, timeouts: {{ response: 60s }} }}\n");
        routes += &format!("  - {{ path: /{index}, service: s{index} }}\n");
        scripts.push(script);
    }
    let gateway = Gateway::start(format!("services:\n{services}routes:\n{routes}")).await;
    for (index, (read, says)) in cases.iter().enumerate() {
        let status = &says[0][9..12];
        assert_eq!(early_over_http1(&gateway, index).await, status, "{read}");
        // Over HTTP/2 just the same.
        let mut client = gateway.connect_h2c().await;
        let chunk = Bytes::from(vec![b'x'; MEGABYTE]);
        let chunks = std::iter::repeat_n(chunk, 256);
        let call = post(&format!("/{index}"), "").chunks(chunks);
        let response = client.open(call).await;
        assert_eq!(response.status().as_str(), status, "{read}");
        let body = in_time("the body", response.into_body().collect()).await;
        assert_eq!(body.expect("a whole body").to_bytes(), "early");
    }
}

/// Uploads without an end until the answer has come; its status.
async fn early_over_http1(gateway: &Gateway, index: usize) -> String {
    let client = WireStream::connect(gateway.address()).await;
    let (mut reader, mut writer) = tokio::io::split(client);
    let upload = tokio::spawn(async move {
        let head = format!(
            "POST /{index} HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: {}\r\n\r\n",
            256 * MEGABYTE
        );
        let _ = writer.write_all(head.as_bytes()).await;
        let chunk = vec![b'x'; MEGABYTE];
        // It ends with the connection.
        while writer.write_all(&chunk).await.is_ok() {}
    });
    let mut seen = Vec::new();
    in_time("the answer", async {
        while !seen.windows(5).any(|window| window == b"early") {
            seen.push(reader.read_u8().await.expect("an answer"));
        }
    })
    .await;
    upload.abort();
    String::from_utf8_lossy(&seen[9..12]).into_owned()
}

#[tokio::test]
async fn an_upload_that_is_read_slowly_after_the_answer_began_is_not_cut() {
    const LENGTH: usize = 24 * MEGABYTE;
    let script = Script::start(async |mut visit| {
        visit
            .say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
            .await;
        let (mut buffer, mut total) = (vec![0; 256 * 1024], 0);
        while total < LENGTH {
            pause(20).await;
            match visit.stream.read(&mut buffer).await {
                Ok(read @ 1..) => total += read,
                _ => break,
            }
        }
        let said = format!("{:x}\r\n{total}\r\n0\r\n\r\n", total.to_string().len());
        visit.say(said).await;
        visit.ended().await;
    })
    .await;
    let gateway = before(&script.url()).await;
    let answer = gateway.send(post("/", vec![b'x'; LENGTH])).await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, &*format!("early{LENGTH}"))
    );
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let script = Script::start(async |mut visit| {
        loop {
            let mut body = [0; 5];
            if visit.stream.read_exact(&mut body).await.is_err() {
                return;
            }
            // Longer than a client is let wait.
            pause(1300).await;
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
    let gateway = before(&script.url()).await;
    let head = b"POST / HTTP/1.1\r\nHost: a.example.com\r\nExpect: 100-continue\r\n\
        Content-Length: 5\r\n\r\n";
    let mut client = gateway.open_raw().await;
    for _ in 0..2 {
        client.write(head).await;
        let interim = client.read_until(b"\r\n\r\n").await;
        assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write(b"hello").await;
        let answer = client.read_until(b"ok").await;
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(
            answer.starts_with("http/1.1 200 ") && answer.contains("connection: keep-alive"),
            "{answer}"
        );
    }
    // Who does not wait need not be asked.
    client.write(head).await;
    client.write(b"hello").await;
    let answer = client.read_until(b"ok").await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
}

/// When an upstream closes a connection behind an answer, without having said so in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// At once: sometimes before the next request is sent, sometimes after.
    AtOnce,
    /// When the next request has been sent.
    TooLate,
}

/// Such an upstream. How often it took each body for a request's is counted.
async fn silent(closing: Closing, seen: &Arc<Mutex<HashMap<Vec<u8>, usize>>>) -> Script {
    let seen = seen.clone();
    Script::start(move |mut visit| {
        let seen = seen.clone();
        async move {
            let length = visit.head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.parse::<usize>().expect("a length"))
            });
            let mut body = vec![0; length.unwrap_or(0)];
            if visit.stream.read_exact(&mut body).await.is_err() {
                return;
            }
            if !body.is_empty() {
                *seen.lock().unwrap().entry(body).or_default() += 1;
            }
            visit
                .say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            if closing == Closing::TooLate {
                let _ = visit.stream.read_u8().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_closes_without_a_word_fails_nobody_after_the_first_few() {
    const REQUESTS: usize = 300;
    for closing in [Closing::AtOnce, Closing::TooLate] {
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let script = silent(closing, &seen).await;
        let gateway = before(&script.url()).await;
        let mut client = gateway.connect().await;
        let mut failed = Vec::new();
        for n in 0..REQUESTS {
            // What may be sent again is among them, and leaves connections in the pool.
            if n % 10 == 0 {
                assert_eq!(client.send(get("/")).await.status, 200);
            }
            let answer = client.send(post("/", format!("body {n}"))).await;
            match answer.status {
                200 => {}
                502 => {
                    failed.push(n);
                    client = gateway.connect().await;
                }
                other => panic!("{other}"),
            }
        }
        println!("{closing:?}: {} of {REQUESTS} failed", failed.len());
        assert!(failed.len() <= 3, "{closing:?}: {failed:?}");
        let seen = seen.lock().unwrap();
        assert!(seen.values().all(|&times| times == 1), "{seen:?}");
        assert_eq!(seen.len(), REQUESTS - failed.len(), "{closing:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_keeps_its_connections_gets_no_further_ones() {
    let origin = Origin::start("origin").await;
    let gateway = before(&origin.url()).await;
    let mut client = gateway.connect().await;
    for n in 0..50 {
        let answer = client.send(post("/", format!("body {n}"))).await;
        answer.assert_from("origin");
        assert_eq!(origin.last().header("connection"), None);
    }
    assert_eq!(origin.connections(), 1);
}
