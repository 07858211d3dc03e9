//! The harness' own parts, held to what the tests take them for.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UdpSocket};

use super::client::{Raw, raw, send};
use super::metrics::Metrics;
use super::unleash::{Usage, canary, constraint};
use super::{
    Answer, ApiDocument, Connection, Dns, Fault, FaultProxy, H2Connection, Lookup, Origin, Reply,
    Unleash, eventually, get, post,
};

#[tokio::test]
async fn an_origin_records_and_answers_as_told() {
    let origin = Origin::start("one").await;
    let answer = send(origin.address(), post("/a?b=c", "hello").user("u1")).await;
    answer.assert_from("one");
    assert_eq!(answer.json()["path"], "/a?b=c");
    assert_eq!(answer.json()["user"], "u1");
    let seen = origin.last();
    assert_eq!(
        (seen.method.as_str(), &seen.body[..]),
        ("POST", &b"hello"[..])
    );
    assert_eq!(seen.header("host").as_deref(), Some("api.example.com"));

    origin.answer(|request| {
        Reply::status(503)
            .header("x-path", &request.target)
            .body("no")
    });
    let answer = send(origin.address(), get("/x").host("b.example.com")).await;
    assert_eq!((answer.status, answer.text()), (503, "no"));
    assert_eq!(answer.header("x-path"), Some("/x"));
    assert_eq!(origin.last().host, "b.example.com");
}

fn answer(status: u16, media: &'static str, body: &Value) -> Answer {
    let media = HeaderValue::from_static(media);
    Answer {
        status,
        headers: HeaderMap::from_iter([(http::header::CONTENT_TYPE, media)]),
        body: Bytes::from(body.to_string()),
    }
}

const JSON: &str = "application/json";
const PROBLEMS: &str = "application/problem+json";

/// A document with one operation.
fn things() -> ApiDocument {
    let of = |media: &str, schema: &str| json!({ "content": { media: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } } });
    let responses = json!({ "200": of(JSON, "Thing"), "404": of(PROBLEMS, "Problem"), "304": {} });
    let thing = json!({
        "type": "object", "properties": { "size": { "type": "integer" } }, "required": ["size"],
        "additionalProperties": false,
    });
    let problem = json!({ "type": "object", "required": ["detail"] });
    ApiDocument::new(json!({
        "paths": { "/things/{name}": { "get": { "responses": responses } } },
        "components": { "schemas": { "Thing": thing, "Problem": problem } },
    }))
}

#[test]
fn an_answer_that_the_document_declares_passes() {
    let document = things();
    let (well, wrong) = (json!({ "size": 1 }), json!({ "detail": "no" }));
    let empty = Answer {
        body: Bytes::new(),
        ..answer(304, JSON, &well)
    };
    for (method, path, answer) in [
        ("GET", "/things/a?b=c", answer(200, JSON, &well)),
        ("GET", "/things/a", answer(404, PROBLEMS, &wrong)),
        ("GET", "/things/a", empty),
        // No operation, and said so.
        ("GET", "/things", answer(404, PROBLEMS, &wrong)),
        ("GET", "/things/", answer(404, PROBLEMS, &wrong)),
        ("PUT", "/things/a", answer(405, PROBLEMS, &wrong)),
        ("PUT", "/things/a", answer(401, PROBLEMS, &wrong)),
    ] {
        assert_eq!(document.check(method, path, &answer), Ok(()), "{answer:?}");
    }
}

#[test]
fn an_answer_that_the_document_does_not_declare_is_found() {
    let (get, put) = ("GET /things/a", "PUT /things/a");
    let (well, wrong) = (json!({ "size": 1 }), json!({ "detail": "no" }));
    let as_text = json!({ "size": "1" });
    let larger = json!({ "size": 1, "new": 1 });
    for (operation, status, media, body, why) in [
        (
            get,
            500,
            PROBLEMS,
            &wrong,
            "does not declare the status 500",
        ),
        (get, 404, JSON, &wrong, "does not declare the media type"),
        (
            get,
            404,
            PROBLEMS,
            &well,
            "\"detail\" is a required property",
        ),
        (get, 200, JSON, &as_text, "/size"),
        (get, 200, JSON, &larger, "'new' was unexpected"),
        (get, 304, JSON, &well, "declares none"),
        (
            "GET /things",
            200,
            JSON,
            &well,
            "a path that the document has not",
        ),
        (put, 200, JSON, &well, "a method that"),
        (put, 405, JSON, &well, "media type"),
    ] {
        let (method, path) = operation.split_once(' ').unwrap();
        let answer = answer(status, media, body);
        let found = things().check(method, path, &answer).expect_err(why);
        assert!(found.contains(why), "{found} has not {why}");
    }
}

#[tokio::test]
async fn an_origin_counts_its_connections() {
    let origin = Origin::start("one").await;
    let mut kept = Connection::open(origin.address()).await;
    kept.send(get("/1")).await.assert_from("one");
    kept.send(get("/2")).await.assert_from("one");
    send(origin.address(), get("/3")).await.assert_from("one");
    assert_eq!(origin.connections(), 2);
    let connections: Vec<usize> = origin.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_stopped_origin_refuses_and_comes_back_on_its_port() {
    let mut origin = Origin::start("one").await;
    let mut kept = Connection::open(origin.address()).await;
    kept.send(get("/")).await.assert_from("one");
    origin.stop().await;
    assert!(kept.try_send(get("/")).await.is_err());
    let refused = TcpStream::connect(origin.address()).await;
    assert_eq!(
        refused.err().map(|error| error.kind()),
        Some(std::io::ErrorKind::ConnectionRefused)
    );
    origin.restart().await;
    send(origin.address(), get("/")).await.assert_from("one");
}

#[tokio::test]
async fn a_held_origin_answers_when_released() {
    let origin = Origin::start("slow").await;
    origin.hold();
    let pending = tokio::spawn(send(origin.address(), get("/")));
    origin.await_requests(1).await;
    assert!(!pending.is_finished());
    origin.release();
    pending.await.expect("an answer").assert_from("slow");
}

#[tokio::test]
async fn an_h2c_origin_speaks_http2() {
    let origin = Origin::start_h2c("two").await;
    let mut connection = H2Connection::connect(origin.address()).await;
    connection.send(get("/a?b")).await.assert_from("two");
    assert_eq!(origin.last().host, "api.example.com");
    assert_eq!(origin.url(), format!("h2c://{}", origin.address()));
}

#[tokio::test]
async fn raw_bytes_go_and_come() {
    let origin = Origin::start("one").await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut connection = Raw::open(origin.address()).await;
    connection.write(request.as_bytes()).await;
    let interim = connection.read_until(b"\r\n\r\n").await;
    assert!(interim.starts_with(b"HTTP/1.1 100 "));
    connection.write(b"ok").await;
    let rest = connection.read_to_end().await;
    assert!(rest.starts_with(b"HTTP/1.1 200 "));
    let bad = raw(origin.address(), b"nonsense\r\n\r\n").await;
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn an_origin_echoes_over_an_upgraded_connection() {
    let origin = Origin::start("ws").await;
    let mut connection = Raw::open(origin.address()).await;
    connection
        .write(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let head = connection.read_until(b"\r\n\r\n").await;
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    connection.write(b"ping").await;
    assert_eq!(connection.read_until(b"ping").await, b"ping");
}

#[tokio::test]
async fn a_fault_proxy_passes_breaks_and_refuses() {
    let origin = Origin::start("one").await;
    origin.answer(|_| Reply::status(200).body("x".repeat(1000)));
    let mut proxy = FaultProxy::start(origin.address()).await;
    let address = proxy.address();
    let passed = send(address, post("/a", "hello").header("x-b", "c")).await;
    assert_eq!((passed.status, passed.body.len()), (200, 1000));
    assert_eq!(&origin.last().body[..], b"hello");
    assert_eq!(proxy.passed("/a")[0].header("X-B"), Some("c"));
    assert_eq!(&proxy.passed("/a")[0].body[..], b"hello");

    proxy.set(Fault::Status(502));
    assert_eq!(send(address, get("/a")).await.status, 502);
    proxy.set(Fault::html());
    assert!(send(address, get("/a")).await.text().contains("<title>"));
    proxy.set(Fault::huge());
    assert_eq!(send(address, get("/a")).await.body.len(), 10 << 20);
    proxy.set(Fault::empty());
    assert_eq!(send(address, get("/a")).await.body.len(), 0);
    proxy.set(Fault::Close);
    assert!(
        Connection::open(address)
            .await
            .try_send(get("/a"))
            .await
            .is_err()
    );
    proxy.set(Fault::Truncate);
    let broken = Connection::open(address).await.try_send(get("/a")).await;
    assert!(broken.is_err(), "{broken:?}");
    for fault in [Fault::Freeze, Fault::Drip] {
        proxy.set(fault);
        let answer = raw(address, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = tokio::time::timeout(Duration::from_millis(500), answer);
        assert!(answer.await.is_err());
    }
    proxy.refuse().await;
    assert!(TcpStream::connect(address).await.is_err());
    proxy.set(Fault::None);
    proxy.accept();
    assert_eq!(send(address, get("/a")).await.body.len(), 1000);
    assert_eq!(proxy.passed("/a").len(), 10);
}

#[tokio::test]
async fn an_unleash_server_does_as_told() {
    let unleash = Unleash::shared().await;
    let flag = "own-tests.one";
    let on_users = json!([constraint("userId", "IN", &["u1"])]);
    let segment = unleash.create_segment("own-tests", on_users).await;
    let mut strategy = canary(flag, 100, "http://127.0.0.1:9");
    strategy["segments"] = json!([segment]);
    unleash.open(flag, strategy).await;
    let told = eventually("the flag", || async {
        let features = unleash.features().await;
        let mut features = features["features"].as_array()?.iter();
        let found = features.find(|feature| feature["name"] == flag)?;
        (found["enabled"] == true).then(|| found.clone())
    })
    .await;
    let strategy = &told["strategies"][0];
    assert_eq!(strategy["segments"], json!([segment]));
    let payload = &strategy["variants"][0]["payload"];
    assert_eq!(payload["value"], r#"{"url":"http://127.0.0.1:9"}"#);
    let all = unleash
        .playground(json!({ "appName": "a", "userId": "u1,u2" }))
        .await;
    let mut all = all["features"].as_array().expect("flags").iter();
    let found = all.find(|evaluated| evaluated["name"] == flag).expect("it");
    let both = &found["environments"]["production"];
    assert_eq!(
        (&both[0]["isEnabled"], &both[1]["isEnabled"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(unleash.usage(flag, "nobody").await, Usage::default());
    assert_eq!(unleash.application("nobody").await, None);
}

async fn ask(dns: &Dns, name: &str, of: RecordType) -> Option<Message> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a socket");
    let mut request = Message::new(7, MessageType::Query, OpCode::Query);
    request.add_query(Query::query(Name::from_ascii(name).expect("a name"), of));
    let bytes = request.to_vec().expect("a message");
    socket
        .send_to(&bytes, dns.address())
        .await
        .expect("it is sent");
    let mut buffer = [0; 4096];
    let answer = tokio::time::timeout(Duration::from_millis(200), socket.recv(&mut buffer));
    let length = answer.await.ok()?.expect("a datagram");
    Some(Message::from_vec(&buffer[..length]).expect("a message"))
}

#[tokio::test]
async fn the_dns_server_answers_as_told() {
    let dns = Dns::start().await;
    let missing = ask(&dns, "a.test.", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);

    dns.set(
        "a.test",
        Lookup::Addresses(vec![Ipv4Addr::LOCALHOST.into()], 7),
    );
    let found = ask(&dns, "a.test.", RecordType::A)
        .await
        .expect("an answer");
    let [record] = &found.answers[..] else {
        panic!("one record: {found:?}");
    };
    assert_eq!((found.metadata.id, record.ttl), (7, 7));
    assert!(matches!(&record.data, RData::A(a) if a.0 == Ipv4Addr::LOCALHOST));
    let other = ask(&dns, "a.test.", RecordType::AAAA)
        .await
        .expect("an answer");
    assert_eq!(other.metadata.response_code, ResponseCode::NoError);
    assert!(other.answers.is_empty());

    dns.set("a.test", Lookup::Failure);
    let failed = ask(&dns, "a.test.", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
    dns.set("a.test", Lookup::Silence);
    assert!(ask(&dns, "a.test.", RecordType::A).await.is_none());
}

#[test]
fn metrics_are_read_back() {
    let text = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"1\",y=\"a \\\"b\\\"\"} 3\na_total{x=\"2\",y=\"c\"} 4\nup 1 1700000000\n# EOF\n";
    let metrics = Metrics::parse(text);
    assert_eq!(metrics.sum("a_total", &[]), 7.0);
    assert_eq!(metrics.sum("a_total", &[("y", "a \"b\"")]), 3.0);
    assert_eq!(metrics.sum("up", &[]), 1.0);
    assert_eq!(metrics.sum("down", &[]), 0.0);
}
