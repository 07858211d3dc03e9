//! Bodies stream both ways: unbuffered, with backpressure, in bounded memory, and they end when the client goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::{Semaphore, mpsc};

use crate::harness::script::Visit;
use crate::harness::wire::WireStream;
use crate::harness::{Call, Gateway, Origin, Reply, Script, eventually, fill, get, in_time, until};

const CONFIG: &str = "
services: { search: @origin }
routes: [{ path: /, service: search }]
logging: { level: info, format: json, access: all }
";

const MIB: u64 = 1024 * 1024;

async fn before(origin: &Script) -> Gateway {
    Gateway::start(CONFIG.replace("@origin", &origin.url())).await
}

async fn before_origin(origin: &Origin) -> Gateway {
    Gateway::start(fill(CONFIG, [origin])).await
}

async fn connect(gateway: &Gateway) -> WireStream {
    WireStream::connect(gateway.address()).await
}

async fn read_head(stream: &mut WireStream) -> String {
    let mut head = Vec::new();
    in_time("a head", async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
    })
    .await;
    String::from_utf8(head).expect("text")
}

/// Fails when the gateway has grown by more than 16 MiB since `resident` was measured.
#[track_caller]
fn assert_modest(gateway: &Gateway, resident: u64, what: &str) {
    let peak = gateway.memory().peak;
    assert!(
        peak <= resident + 16 * MIB,
        "{what}: from {} to {} KiB",
        resident / 1024,
        peak / 1024
    );
}

/// The gateway's memory, from which growth is measured.
fn measured(gateway: &Gateway) -> u64 {
    gateway.forget_peak();
    gateway.memory().resident
}

async fn pour(stream: &mut (impl AsyncWrite + Unpin), mut bytes: u64) {
    let chunk = vec![b'x'; MIB as usize];
    while bytes > 0 {
        let next = bytes.min(MIB);
        let written = stream.write_all(&chunk[..next as usize]).await;
        written.expect("the bytes are taken");
        bytes -= next;
    }
}

async fn swallow(stream: &mut (impl AsyncRead + Unpin), bytes: u64) -> u64 {
    let (mut buffer, mut count) = (vec![0; MIB as usize], 0);
    while count < bytes {
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => count += read as u64,
            _ => break,
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_passes_both_ways_in_a_few_megabytes() {
    const SIZE: u64 = 1024 * MIB;
    let origin = Script::start(async |mut visit: Visit| {
        if visit.head.starts_with("POST") {
            let count = swallow(&mut visit.stream, SIZE).await;
            let body = count.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            visit.say(head + &body).await;
        } else {
            visit
                .say(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
                .await;
            pour(&mut visit.stream, SIZE).await;
        }
    })
    .await;
    let gateway = before(&origin).await;
    for method in ["POST", "GET"] {
        let resident = measured(&gateway);
        let begun = Instant::now();
        let mut client = connect(&gateway).await;
        let length = if method == "POST" { SIZE } else { 0 };
        let head = format!(
            "{method} / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: {length}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.expect("it is sent");
        pour(&mut client, length).await;
        let answer = read_head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        if method == "POST" {
            let mut count = vec![0; SIZE.to_string().len()];
            client.read_exact(&mut count).await.expect("the count");
            assert_eq!(count, SIZE.to_string().as_bytes());
        } else {
            assert_eq!(swallow(&mut client, SIZE).await, SIZE);
        }
        let took = begun.elapsed();
        assert_modest(&gateway, resident, method);
        assert!(took < Duration::from_secs(60), "{method}: {took:?}");
        eprintln!("{method} of 1 GiB: {took:?}, {:?}", gateway.memory());
    }
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let go_on = Arc::new(Semaphore::new(0));
    let next = go_on.clone();
    let origin = Script::start(move |mut visit: Visit| {
        let next = next.clone();
        async move {
            visit
                .say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            for n in 0..5 {
                let event = format!("data: {n}\n\n");
                visit.say(format!("{:x}\r\n{event}\r\n", event.len())).await;
                // Nothing more comes until the client has seen this one.
                next.acquire().await.expect("a permit").forget();
            }
            visit.say("0\r\n\r\n").await;
        }
    })
    .await;
    let mut gateway = before(&origin).await;

    let mut client = gateway.open_raw().await;
    client
        .write(b"GET /h1 HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
        .await;
    for n in 0..5 {
        client.read_until(format!("data: {n}\n\n").as_bytes()).await;
        go_on.add_permits(1);
    }
    client.read_until(b"0\r\n\r\n").await;

    let mut client = gateway.connect_h2c().await;
    let mut body = client.open(get("/h2")).await.into_body();
    for n in 0..5 {
        let event = in_time("an event", http_body_util::BodyExt::frame(&mut body)).await;
        let event = event.expect("an event").expect("a frame").into_data();
        assert_eq!(event.expect("data"), format!("data: {n}\n\n"));
        go_on.add_permits(1);
    }
    drop(body);
    gateway.terminate().await;
}

/// How a request was seen to end, by its origin: how many bytes of it came after its head.
fn ending() -> (mpsc::UnboundedSender<u64>, mpsc::UnboundedReceiver<u64>) {
    mpsc::unbounded_channel()
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_upstream() {
    let (ended, mut endings) = ending();
    let origin = Script::start(move |mut visit: Visit| {
        let ended = ended.clone();
        async move {
            if visit.head.starts_with("GET /download") {
                visit
                    .say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await;
                visit.say("5\r\nfirst\r\n").await;
            }
            let count = visit.ended().await;
            // Fails only when the test is over.
            let _ = ended.send(count);
        }
    })
    .await;
    let mut gateway = before(&origin).await;
    let end = async |endings: &mut mpsc::UnboundedReceiver<u64>| {
        let end = in_time("the end of the request upstream", endings.recv()).await;
        end.expect("an end")
    };

    // Before there is an answer.
    let mut client = gateway.open_raw().await;
    let head = "GET /wait HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
    client.write(head.as_bytes()).await;
    eventually("the request", || async {
        (gateway.metrics().await.sum("serin_active_requests", &[]) > 0.0).then_some(())
    })
    .await;
    client.reset();
    assert_eq!(end(&mut endings).await, 0);

    // Amid the answer.
    let mut client = gateway.open_raw().await;
    client
        .write(head.replace("wait", "download").as_bytes())
        .await;
    client.read_until(b"first").await;
    client.reset();
    assert_eq!(end(&mut endings).await, 0);

    // Amid the request: what was sent has come, and no end of it.
    let mut client = gateway.open_raw().await;
    let head = "POST /upload HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 1000\r\n\r\nfirst";
    client.write(head.as_bytes()).await;
    eventually("the upload", || async {
        (gateway.metrics().await.sum("serin_active_requests", &[]) > 0.0).then_some(())
    })
    .await;
    drop(client);
    assert!(end(&mut endings).await <= 5);

    // The same over HTTP/2: a stream that is reset, not the connection.
    let mut client = gateway.connect_h2c().await;
    let mut body = client.open(get("/download")).await.into_body();
    in_time("a chunk", http_body_util::BodyExt::frame(&mut body)).await;
    drop(body);
    assert_eq!(end(&mut endings).await, 0);

    gateway
        .await_metric("serin_active_requests", &[], 0.0)
        .await;
    gateway.terminate().await;
}

/// Waits until a count has stood still for a while: whoever counts is being held up.
async fn stalled(count: &AtomicU64) -> u64 {
    let mut last = (count.load(Ordering::SeqCst), Instant::now());
    until("the stall", move || {
        let now = count.load(Ordering::SeqCst);
        if now != last.0 || now == 0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500)).then_some(now)
    })
    .await
}

/// Pours bytes, and counts them as they are taken.
async fn pour_counted(stream: &mut (impl AsyncWrite + Unpin), bytes: u64, count: &AtomicU64) {
    let chunk = vec![b'x'; 64 * 1024];
    while count.load(Ordering::SeqCst) < bytes {
        match stream.write(&chunk).await {
            Ok(written) => count.fetch_add(written as u64, Ordering::SeqCst),
            Err(_) => return,
        };
    }
}

/// Uploads so many bytes, counting those that were taken; returns the answer's head.
async fn upload(mut client: WireStream, bytes: u64, count: Arc<AtomicU64>) -> String {
    let head = format!("POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: {bytes}\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("it is sent");
    pour_counted(&mut client, bytes, &count).await;
    read_head(&mut client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_slowly_slows_the_writer_down() {
    const SIZE: u64 = 256 * MIB;
    let (written, go_on) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let (count, reader) = (written.clone(), go_on.clone());
    let origin = Script::start(move |mut visit: Visit| {
        let (count, go_on) = (count.clone(), reader.clone());
        async move {
            if visit.head.starts_with("GET") {
                visit
                    .say(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
                    .await;
                pour_counted(&mut visit.stream, SIZE, &count).await;
            } else {
                go_on.acquire().await.expect("a permit").forget();
                let count = swallow(&mut visit.stream, SIZE).await;
                assert_eq!(count, SIZE);
                visit
                    .say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        }
    })
    .await;
    let gateway = before(&origin).await;

    // A client that does not read.
    let resident = measured(&gateway);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 * 1024).expect("a size");
    let socket = socket.connect(gateway.address()).await;
    let mut client = WireStream::upon(socket.expect("it connects"), &[]).await;
    let head = "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("it is sent");
    let held = stalled(&written).await;
    assert!(
        held < SIZE / 2,
        "{held} bytes were taken for a client that does not read"
    );
    assert_modest(&gateway, resident, "a slow reader");
    read_head(&mut client).await;
    assert_eq!(swallow(&mut client, SIZE).await, SIZE);

    // An origin that does not read.
    let sent = Arc::new(AtomicU64::new(0));
    let resident = measured(&gateway);
    let upload = tokio::spawn(upload(connect(&gateway).await, SIZE, sent.clone()));
    let held = stalled(&sent).await;
    assert!(
        held < SIZE / 2,
        "{held} bytes were taken for an origin that does not read"
    );
    assert_modest(&gateway, resident, "a slow origin");
    go_on.add_permits(1);
    let answer = upload.await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn both_bodies_flow_at_once() {
    let origin = Script::start(async |mut visit: Visit| {
        visit
            .say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        // Chunks go back as they come; the last one is the same in both directions.
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = visit.stream.read(&mut buffer).await {
            visit.say(&buffer[..count]).await;
        }
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = gateway.open_raw().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write(head.as_bytes()).await;
    client.write(b"3\r\none\r\n").await;
    client.read_until(b"one").await;
    // Extensions of a chunk are the hop's own affair.
    client
        .write(b"5;note=\"x\"\r\ntwo, \r\n5\r\nthree\r\n")
        .await;
    client.read_until(b"three").await;
    client.write(b"0\r\nx-trailer: lost\r\n\r\n").await;
    let rest = client.read_until(b"0\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&rest).contains("trailer"));
}

#[tokio::test]
async fn interim_responses_pass_to_whoever_knows_them() {
    let origin = Script::start(async |mut visit: Visit| {
        loop {
            visit
                .say("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
                .await;
            visit
                .say("HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n")
                .await;
            visit
                .say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
                .await;
            match visit.next().await {
                Some(next) => visit = next,
                None => return,
            }
        }
    })
    .await;
    let mut gateway = before(&origin).await;
    let answer = gateway
        .raw("GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
        .await
        .text();
    let places = [
        "HTTP/1.1 103 ",
        "/a.css",
        "/b.css",
        "HTTP/1.1 200 ",
        "\r\n\r\nbody",
    ];
    let places: Vec<_> = places.iter().map(|text| answer.find(text)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{answer}"
    );

    let answer = gateway
        .raw("GET / HTTP/1.0\r\nHost: a.example.com\r\n\r\n")
        .await;
    let answer = answer.text();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && !answer.contains("103"),
        "{answer}"
    );

    let answer = gateway.connect_h2c().await.send(get("/")).await;
    assert_eq!((answer.status, answer.text()), (200, "body"));
    gateway.terminate().await;
}

#[tokio::test]
async fn an_origin_may_refuse_before_the_body_comes() {
    let origin = Script::start(async |mut visit: Visit| {
        visit
            .say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n")
            .await;
        visit.ended().await;
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = gateway.open_raw().await;
    client
        .write(
            b"POST / HTTP/1.1\r\nHost: a.example.com\r\nExpect: 100-continue\r\n\
            Content-Length: 1000000\r\n\r\n",
        )
        .await;
    // Without having seen one byte of the body, nor asked for it.
    let answer = client.read_until(b"no\n").await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn an_origin_may_refuse_while_the_body_comes() {
    let origin = Script::start(async |mut visit: Visit| {
        swallow(&mut visit.stream, MIB).await;
        visit
            .say("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n")
            .await;
        visit.ended().await;
    })
    .await;
    let gateway = before(&origin).await;
    let (mut reader, mut writer) = tokio::io::split(connect(&gateway).await);
    let pouring = tokio::spawn(async move {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            256 * MIB
        );
        // Whether the rest is taken is the gateway's affair.
        let _ = writer.write_all(head.as_bytes()).await;
        let chunk = vec![b'x'; MIB as usize];
        for _ in 0..256 {
            if writer.write_all(&chunk).await.is_err() {
                break;
            }
        }
        writer
    });
    let mut answer = [0; 12];
    let read = in_time("an answer", reader.read_exact(&mut answer)).await;
    read.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    pouring.abort();
}

#[tokio::test]
async fn clients_of_http10_are_served_in_their_own_way() {
    let origin = Script::start(async |mut visit: Visit| {
        loop {
            let via = visit.head.to_lowercase().contains("via: 1.0 serin");
            let body = format!("{} {via}\n", visit.head.lines().next().unwrap_or_default());
            let chunked = visit.head.starts_with("GET /chunked");
            let answer = if chunked {
                let length = body.len();
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
            } else {
                let length = body.len();
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
            };
            visit.say(answer).await;
            match visit.next().await {
                Some(next) => visit = next,
                None => return,
            }
        }
    })
    .await;
    let gateway = before(&origin).await;
    // The shortest request there is: closed after the answer, by whoever answers.
    for keep in ["", "Connection: keep-alive\r\n"] {
        for path in ["/", "/chunked"] {
            let request = format!("GET {path} HTTP/1.0\r\n{keep}\r\n");
            let mut client = gateway.open_raw().await;
            client.write(request.as_bytes()).await;
            let body = format!("\r\n\r\nGET {path} HTTP/1.1 true\n");
            let kept = !keep.is_empty() && path == "/";
            let answer = if kept {
                client.read_until(body.as_bytes()).await
            } else {
                client.read_to_end().await
            };
            let answer = String::from_utf8(answer).expect("text");
            let lower = answer.to_lowercase();
            assert!(answer.ends_with(&body), "{request:?}: {answer}");
            assert!(
                !lower.contains("transfer-encoding"),
                "{request:?}: {answer}"
            );
            let connection = if kept { "keep-alive" } else { "close" };
            let connection = format!("connection: {connection}\r\n");
            assert!(lower.contains(&connection), "{request:?}: {answer}");
            if kept {
                client.write(b"GET /again HTTP/1.0\r\n\r\n").await;
                let answer = client.read_to_end().await;
                assert!(answer.ends_with(b"GET /again HTTP/1.1 true\n"));
            }
        }
    }
}

#[tokio::test]
async fn requests_sent_ahead_with_bodies_are_kept_apart() {
    let origin = Origin::start("origin").await;
    let gateway = before_origin(&origin).await;
    let mut client = gateway.open_raw().await;
    let mut all = String::new();
    for n in 0..4 {
        let body = format!("GET /smuggled-{n} HTTP/1.1\r\n\r\n");
        all += &format!("POST /{n} HTTP/1.1\r\nHost: a.example.com\r\n");
        // What stands behind chunks is never taken for a request that was sent ahead.
        all += &match n {
            0..3 => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
            _ => format!(
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            ),
        };
    }
    all += "GET /behind HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
    client.write(all.as_bytes()).await;
    let answers = String::from_utf8(client.read_to_end().await).expect("text");
    let seen: Vec<_> = origin.requests();
    let targets: Vec<_> = seen.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(targets, ["/0", "/1", "/2", "/3"], "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 4, "{answers}");
    let whole = |n: usize| format!("GET /smuggled-{n} HTTP/1.1\r\n\r\n");
    assert!((0..4).all(|n| seen[n].body == whole(n)));
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    for mut origin in [
        Origin::start("origin").await,
        Origin::start_h2c("origin").await,
    ] {
        origin.answer(
            |request| match (request.method.as_str(), request.target.as_str()) {
                // The library that the origin is made of sends bodies of these over HTTP/2 if it is given any.
                ("HEAD", _) => Reply::status(200).header("content-length", "5").body(""),
                (_, "/204") => Reply::status(204).body(""),
                (_, "/304") => Reply::status(304).header("etag", "\"1\"").body(""),
                _ => Reply::status(200).body("12345"),
            },
        );
        let mut gateway = before_origin(&origin).await;
        let mut old = gateway.connect().await;
        let mut new = gateway.connect_h2c().await;
        for _ in 0..2 {
            for (method, path, status, body) in [
                (http::Method::HEAD, "/", 200, ""),
                (http::Method::GET, "/204", 204, ""),
                (http::Method::GET, "/304", 304, ""),
                (http::Method::GET, "/", 200, "12345"),
            ] {
                let call = Call::new(method, path);
                for answer in [old.send(call.clone()).await, new.send(call.clone()).await] {
                    assert_eq!((answer.status, answer.text()), (status, body), "{call:?}");
                }
            }
        }
        assert!(!old.is_closed());
        // Answers of our own have none then, either.
        origin.stop().await;
        let head = Call::new(http::Method::HEAD, "/");
        for answer in [old.send(head.clone()).await, new.send(head).await] {
            assert_eq!((answer.status, answer.text()), (502, ""));
        }
        gateway.terminate().await;
    }
}

#[tokio::test]
async fn trailers_pass_over_http2() {
    let origin = Origin::start_h2c("origin").await;
    origin.answer(|_| {
        Reply::status(200)
            .header("content-type", "application/grpc")
            .body("message")
            .trailer("grpc-status", "0")
    });
    let mut gateway = before_origin(&origin).await;
    let mut client = gateway.connect_h2c().await;
    let response = client
        .open(get("/service/Method").header("te", "trailers"))
        .await;
    let body = in_time(
        "the body",
        http_body_util::BodyExt::collect(response.into_body()),
    );
    let body = body.await.expect("a whole body");
    let trailers = body.trailers().cloned().expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(body.to_bytes(), "message");
    assert_eq!(origin.last().header("te").as_deref(), Some("trailers"));
    gateway.terminate().await;
}
