//! What stands behind each request on an upstream's connection: nothing, however the client framed its body, whatever
//! the upstream speaks, at the first attempt or a later one, and however the answer ends.

use super::ledger::{Entry, Kind, Strict, Temper};
use crate::harness::frames::{self, Frames, StreamEnd, data, padded};
use crate::harness::{Gateway, get, until};

/// How a client frames its request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Http11Length,
    Http11Chunked,
    Http10,
    Http2Length,
    Http2NoLength,
    /// The last frame is empty.
    Http2EmptyEnd,
    /// The last frame is nothing but padding.
    Http2Padded,
    /// There is an empty frame, and nothing else.
    Http2Empty,
    Http2Trailers,
    /// It sends less than it says.
    Http2Short,
    /// It sends more than it says.
    Http2Long,
}

impl Client {
    const ALL: [Self; 11] = [
        Self::Http11Length,
        Self::Http11Chunked,
        Self::Http10,
        Self::Http2Length,
        Self::Http2NoLength,
        Self::Http2EmptyEnd,
        Self::Http2Padded,
        Self::Http2Empty,
        Self::Http2Trailers,
        Self::Http2Short,
        Self::Http2Long,
    ];

    /// Whether there is no way to serve its request.
    fn lies(self) -> bool {
        matches!(self, Self::Http2Short | Self::Http2Long)
    }

    /// The body that the upstream is to get.
    fn body(self) -> &'static [u8] {
        match self {
            Self::Http2Empty => b"",
            _ => b"hello",
        }
    }

    /// Sends a request, and reads its answer.
    async fn ask(self, gateway: &Gateway, method: &str, path: &str, user: &str) -> StreamEnd {
        let of_user = ("x-user-id", user);
        let mut client = match self {
            Self::Http11Length => {
                let head = "Content-Length: 5\r\nConnection: close\r\n\r\nhello";
                return http1(gateway, &format!("{method} {path} HTTP/1.1"), user, head).await;
            }
            Self::Http11Chunked => {
                let head = "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                    2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
                return http1(gateway, &format!("{method} {path} HTTP/1.1"), user, head).await;
            }
            Self::Http10 => {
                let head = "Content-Length: 5\r\n\r\nhello";
                return http1(gateway, &format!("{method} {path} HTTP/1.0"), user, head).await;
            }
            _ => Frames::open(gateway.address()).await,
        };
        let length = match self {
            Self::Http2Length => Some(("content-length", "5")),
            Self::Http2Short => Some(("content-length", "6")),
            Self::Http2Long => Some(("content-length", "3")),
            _ => None,
        };
        let fields: Vec<_> = [of_user].into_iter().chain(length).collect();
        client.send(&[frames::head(1, method, path, &fields)]).await;
        let body = match self {
            Self::Http2EmptyEnd => vec![data(1, b"hello", false), data(1, b"", true)],
            Self::Http2Padded => vec![padded(1, b"hello", 7, false), padded(1, b"", 9, true)],
            Self::Http2Empty => vec![data(1, b"", true)],
            Self::Http2Trailers => {
                let trailers = frames::trailers(1, &[("x-checksum", "abc")]);
                vec![data(1, b"hello", false), trailers]
            }
            _ => vec![data(1, b"hello", true)],
        };
        for frame in body {
            client.send(&[frame]).await;
        }
        client.answer(1).await
    }
}

/// One request over HTTP/1; interim responses before its answer are passed over.
async fn http1(gateway: &Gateway, line: &str, user: &str, rest: &str) -> StreamEnd {
    let request = format!("{line}\r\nHost: api.example.com\r\nx-user-id: {user}\r\n{rest}");
    let text = gateway.raw(request).await.text();
    let mut answer = text.as_str();
    while let Some((_, next)) = answer
        .starts_with("HTTP/1.1 1")
        .then(|| answer.split_once("\r\n\r\n"))
        .flatten()
    {
        answer = next;
    }
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return StreamEnd::Reset;
    };
    let status = head[9..12].parse().expect("a status");
    let mut body = body.as_bytes().to_vec();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(body);
    }
    StreamEnd::Answered(status, body)
}

fn unchunked(body: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(body).expect("text");
    let (mut rest, mut whole) = (text.as_str(), String::new());
    while let Some((size, data)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        whole += &data[..size];
        rest = &data[size + 2..];
    }
    whole.into_bytes()
}

/// Which of its attempts is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    First,
    Retry,
    Rescue,
}

const CONFIG: &str = "
server: { threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s }
services:
  plain: { stable: @plain, POLICY }
  h2c: { stable: @h2c, POLICY }
flags:
  plain.new: { url: @busy-plain, rings: [{ name: all, when: { userId: [rescued] } }] }
  h2c.new: { url: @busy-h2c, rings: [{ name: all, when: { userId: [rescued] } }] }
routes:
  - { path: /plain, service: plain }
  - { path: /h2c, service: h2c }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

const POLICY: &str = "retries: { attempts: 1, on: [connect, 503] }, \
    rescue: { methods: [HEAD, POST], quarantine_after: 0 }, \
    outlier: { consecutive_failures: 100000, min_requests: 100000 }";

#[tokio::test]
async fn nothing_stands_behind_a_request() {
    let (plain, h2c) = (
        Strict::plain(Temper::Even).await,
        Strict::h2c(Temper::Even).await,
    );
    let (busy_plain, busy_h2c) = (
        Strict::plain(Temper::Busy).await,
        Strict::h2c(Temper::Busy).await,
    );
    let config = CONFIG
        .replace("POLICY", POLICY)
        .replace("@busy-plain", &busy_plain.url())
        .replace("@busy-h2c", &busy_h2c.url())
        .replace("@plain", &plain.url())
        .replace("@h2c", &h2c.url());
    let gateway = Gateway::start(config).await;
    let upstreams = [("plain", &plain, &busy_plain), ("h2c", &h2c, &busy_h2c)];
    let mut faults = Vec::new();
    for (prefix, origin, busy) in upstreams {
        for client in Client::ALL {
            for path in [Path::First, Path::Retry, Path::Rescue] {
                for kind in Kind::ALL {
                    let target = format!("/{prefix}/{client:?}/{path:?}/{kind:?}");
                    let user = match path {
                        Path::Rescue => "rescued",
                        _ => "u1",
                    };
                    let ended = client.ask(&gateway, kind.method(), &target, user).await;
                    // Whoever comes next on the connection.
                    let behind = format!("{target}/behind");
                    let next = gateway.get_as("u1", &behind).await;
                    let expected = (200, behind.as_bytes());
                    if (next.status, &next.body[..]) != expected {
                        faults.push(format!("{target}: the next user got {next:?}"));
                    }
                    faults.extend(check(client, path, kind, &target, &ended, origin, busy));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}\n{}", faults.len(), faults.join("\n"));
}

/// What is wrong with one exchange, and the next one behind it.
fn check(
    client: Client,
    path: Path,
    kind: Kind,
    target: &str,
    ended: &StreamEnd,
    origin: &Strict,
    busy: &Strict,
) -> Vec<String> {
    let mut faults = Vec::new();
    let body = if kind.has_body() {
        target.as_bytes()
    } else {
        b""
    };
    let whole = StreamEnd::Answered(kind.status(), body.to_vec());
    if !client.lies() && *ended != whole {
        faults.push(format!("{target}: {ended:?}"));
    }
    if client.lies() && matches!(ended, StreamEnd::Answered(200..=399, _)) {
        faults.push(format!("{target}: a lie was answered: {ended:?}"));
    }
    let request = |target: &str, body: &[u8]| Entry::Request(target.to_owned(), body.to_vec());
    let asked = |times: usize| vec![request(target, client.body()); times];
    let behind = request(&format!("{target}/behind"), b"");
    let (at_busy, mut at_origin) = match (client.lies(), path) {
        (true, _) => (Vec::new(), Vec::new()),
        (false, Path::First) => (Vec::new(), asked(1)),
        (false, Path::Retry) => (Vec::new(), asked(2)),
        (false, Path::Rescue) => (asked(1), asked(1)),
    };
    at_origin.push(behind);
    for (origin, expected) in [(origin, at_origin), (busy, at_busy)] {
        let mut entries = origin.ledger.take();
        if client.lies() {
            // It may have begun before the lie came out.
            entries.retain(|entry| *entry != Entry::Cut(target.to_owned()));
        }
        if entries != expected {
            faults.push(format!("{target}: {entries:?}, not {expected:?}"));
        }
    }
    faults
}

#[tokio::test]
async fn nobody_gets_an_answer_that_an_empty_last_frame_drew() {
    let origin = Strict::plain(Temper::Even).await;
    let config = format!(
        "server: {{ threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s }}\n\
        services: {{ search: {} }}\nroutes: [{{ service: search }}]\n",
        origin.url()
    );
    let gateway = Gateway::start(config).await;
    for n in 0..20 {
        let path = format!("/upload-{n}");
        let ended = Client::Http2EmptyEnd
            .ask(&gateway, "POST", &path, "u1")
            .await;
        assert_eq!(ended, StreamEnd::Answered(200, path.into_bytes()));
        let next = format!("/next-{n}");
        let answer = gateway.send(get(&next)).await;
        assert_eq!((answer.status, answer.text()), (200, next.as_str()));
    }
    until("all requests", || {
        (origin.ledger.entries().len() >= 40).then_some(())
    })
    .await;
    let strays = origin.ledger.entries().into_iter();
    let strays: Vec<_> = strays
        .filter(|entry| !matches!(entry, Entry::Request(..)))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
}
