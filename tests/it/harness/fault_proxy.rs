//! What stands between a gateway and its flag server, and breaks it in every way that networks and servers break.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;

use super::port::Port;
use super::until;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the server answers.
    None,
    /// The connection is closed without an answer.
    Close,
    /// The request is read, and nothing is ever said.
    Freeze,
    /// The server's answer, to the middle of its body; then the connection is closed.
    Truncate,
    /// The server's answer, an byte in a hundred milliseconds.
    Drip,
    /// This answer of 200, whatever was asked.
    Answer(&'static str, Bytes),
    /// This status, with a problem in JSON.
    Status(u16),
}

impl Fault {
    /// 200 with no body at all.
    pub(crate) fn empty() -> Self {
        Self::Answer("application/json", Bytes::new())
    }

    /// 200 with a page for people, as a captive portal or a wrong port says it.
    pub(crate) fn html() -> Self {
        let page = "<!doctype html><title>Sign in</title><p>Please sign in.";
        Self::Answer("text/html", Bytes::from_static(page.as_bytes()))
    }

    /// 200 with JSON that is no answer to the question.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::Answer("application/json", value.to_string().into())
    }

    /// 200 with ten megabytes that could become JSON, and do not.
    pub(crate) fn huge() -> Self {
        let mut body = br#"{"version":2,"features":[{"name":""#.to_vec();
        body.resize(10 * 1024 * 1024, b'x');
        Self::Answer("application/json", body.into())
    }
}

/// A request as it came by.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// The head, to its empty line.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Bytes,
}

impl Passed {
    /// The value of a header; names in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1);
        let mut fields = fields.filter_map(|line| line.split_once(':'));
        let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// A proxy on a free port of 127.0.0.1. A connection carries one request.
pub(crate) struct FaultProxy {
    port: Port,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    fault: Mutex<Fault>,
    passed: Mutex<Vec<Passed>>,
}

impl FaultProxy {
    /// Starts one that passes everything on.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let mut proxy = Self {
            port: Port::reserve(),
            state: Arc::new(State {
                upstream,
                fault: Mutex::new(Fault::None),
                passed: Mutex::default(),
            }),
        };
        proxy.accept();
        proxy
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of the API behind it, as `routes.yaml` names it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/api", self.address())
    }

    /// What becomes of every request from now on. Those under way go on as they began.
    pub(crate) fn set(&self, fault: Fault) {
        *lock(&self.state.fault) = fault;
    }

    /// Closes its port and cuts its connections.
    pub(crate) async fn refuse(&mut self) {
        self.port.close().await;
    }

    /// Opens its port, if it is closed.
    pub(crate) fn accept(&mut self) {
        let state = self.state.clone();
        self.port.open(move |stream| {
            let state = state.clone();
            async move { state.serve(stream).await }
        });
    }

    /// The requests for this path that came so far.
    pub(crate) fn passed(&self, path: &str) -> Vec<Passed> {
        let passed = lock(&self.state.passed);
        let wanted = |passed: &&Passed| passed.head.split(' ').nth(1) == Some(path);
        passed.iter().filter(wanted).cloned().collect()
    }

    /// Waits until `more` more requests for this path have come.
    pub(crate) async fn await_passed(&self, path: &str, more: usize) {
        let enough = self.passed(path).len() + more;
        let what = format!("{more} more requests for {path}");
        until(&what, || (self.passed(path).len() >= enough).then_some(())).await;
    }
}

impl State {
    /// Takes one request. How the connection ends is seen by whoever asked.
    async fn serve(&self, mut client: TcpStream) {
        let Some(request) = read(&mut client).await else {
            return;
        };
        lock(&self.passed).push(request.clone());
        let fault = lock(&self.fault).clone();
        match fault {
            Fault::None => {
                if let Some(mut server) = self.forward(&request).await {
                    let _ = copy(&mut server, &mut client).await;
                }
            }
            Fault::Close => {}
            Fault::Freeze => std::future::pending().await,
            Fault::Truncate => {
                let answer = self.answer(&request).await;
                let _ = client
                    .write_all(&answer[..answer.len() - answer.len() / 4])
                    .await;
            }
            Fault::Drip => {
                for byte in self.answer(&request).await {
                    if client.write_all(&[byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Fault::Answer(kind, body) => respond(&mut client, "200 OK", kind, &body).await,
            Fault::Status(status) => {
                let (line, body) = (format!("{status} Told so"), br#"{"message":"told so"}"#);
                respond(&mut client, &line, "application/json", body).await;
            }
        }
    }

    /// Sends a request on; the server closes when it has answered.
    async fn forward(&self, request: &Passed) -> Option<TcpStream> {
        let mut server = TcpStream::connect(self.upstream).await.ok()?;
        let fields = request.head.trim_end().lines();
        let hop = |line: &&str| !line.to_ascii_lowercase().starts_with("connection:");
        let mut head: String = fields.filter(hop).flat_map(|line| [line, "\r\n"]).collect();
        head.push_str("Connection: close\r\n\r\n");
        server.write_all(head.as_bytes()).await.ok()?;
        server.write_all(&request.body).await.ok()?;
        Some(server)
    }

    async fn answer(&self, request: &Passed) -> Vec<u8> {
        let mut answer = Vec::new();
        if let Some(mut server) = self.forward(request).await {
            let _ = server.read_to_end(&mut answer).await;
        }
        answer
    }
}

async fn respond(client: &mut TcpStream, status: &str, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if client.write_all(head.as_bytes()).await.is_ok() {
        let _ = client.write_all(body).await;
    }
}

async fn read(client: &mut TcpStream) -> Option<Passed> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut passed = Passed {
        head,
        body: Bytes::new(),
    };
    let length = passed.header("content-length").map_or(Ok(0), str::parse);
    let mut body = vec![0; length.ok()?];
    client.read_exact(&mut body).await.ok()?;
    passed.body = body.into();
    Some(passed)
}

fn lock<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}
