//! Requests as fast as a gateway answers them, and the two deployments behind it. A user has one connection at a time.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Instant;

use futures_util::future::join_all;
use rand::RngExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::Gateway;

/// How many connections there are.
const CONNECTIONS: usize = 16;
/// The canary breaks off one request in so many: stable answers in its place.
const FAILS: usize = 97;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Served {
    /// The stable deployment.
    Stable,
    /// The canary.
    Canary,
}

impl Served {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Stable, Self::Canary];

    /// Its deployment's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "search.ranker",
        }
    }
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Whose it was.
    pub(super) user: usize,
    /// When, in milliseconds of the gateway's calendar.
    pub(super) from: i64,
    /// When it was answered, or the gateway was gone.
    pub(super) to: i64,
    /// Who answered; `None`: nobody.
    pub(super) served: Option<Served>,
    /// How long the answer took, in microseconds.
    pub(super) took: u128,
}

/// Clients, whose requests go on from one start of a gateway to the next.
pub(super) struct Load {
    clients: Vec<Client>,
    answered: Cell<usize>,
}

/// One connection's users.
struct Client {
    first: usize,
    /// How many requests each user makes.
    each: usize,
    turn: usize,
    /// Whose request has not been answered.
    again: Option<usize>,
}

/// What the clients' requests come to.
pub(super) struct Run<'a> {
    /// The gateway.
    pub(super) gateway: &'a Gateway,
    /// How many seconds its calendar is ahead.
    pub(super) ahead: i64,
    /// How many requests are to be answered, those of earlier runs included.
    pub(super) up_to: usize,
    /// Whether it is killed with that answer, while other requests are under way.
    pub(super) kills: bool,
}

impl Load {
    /// Of clients whose users make so many requests each.
    pub(super) fn new(each: usize) -> Self {
        let client = |first| Client {
            first,
            each,
            turn: 0,
            again: None,
        };
        Self {
            clients: (0..CONNECTIONS).map(client).collect(),
            answered: Cell::new(0),
        }
    }

    /// Asks until enough is answered. Everything that was sent, each user's in order, and when the gateway was killed.
    pub(super) async fn run(&mut self, run: &Run<'_>) -> (Vec<Sent>, Option<i64>) {
        let killed = Cell::new(None);
        let clients = self.clients.iter_mut();
        let sent = clients.map(|client| client.ask(run, &self.answered, &killed));
        let sent = join_all(sent).await.concat();
        (sent, killed.get())
    }
}

impl Run<'_> {
    /// What the gateway's calendar shows.
    fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + self.ahead * 1000
    }
}

impl Client {
    /// A new user each time that the last has made all requests but those that come later; else one from before, by chance.
    fn next(&self) -> usize {
        let newest = self.turn / self.each;
        let place = match self.turn % self.each {
            0 => newest,
            _ => rand::rng().random_range(0..=newest),
        };
        self.first + place * CONNECTIONS
    }

    async fn ask(
        &mut self,
        run: &Run<'_>,
        answered: &Cell<usize>,
        killed: &Cell<Option<i64>>,
    ) -> Vec<Sent> {
        let mut sent = Vec::new();
        let stream = TcpStream::connect(run.gateway.address()).await;
        // The gateway may have been killed by another client's answer.
        let Ok(stream) = stream else { return sent };
        let mut connection = Connection {
            stream,
            buffer: Vec::new(),
        };
        while run.kills || answered.get() < run.up_to {
            let user = self.again.take().unwrap_or_else(|| self.next());
            let (from, begun) = (run.now(), Instant::now());
            let served = connection.ask(user, self.turn % FAILS == FAILS - 1).await;
            sent.push(Sent {
                user,
                from,
                to: run.now(),
                served,
                took: begun.elapsed().as_micros(),
            });
            if served.is_none() {
                assert!(
                    killed.get().is_some(),
                    "a request of u{user} was broken off"
                );
                self.again = Some(user);
                break;
            }
            self.turn += 1;
            answered.set(answered.get() + 1);
            if run.kills && answered.get() == run.up_to {
                killed.set(Some(run.now()));
                run.gateway.sigkill();
            }
        }
        sent
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Who answers a user's request; `None`: the gateway is gone. The canary breaks off those that are to fail.
    async fn ask(&mut self, user: usize, fails: bool) -> Option<Served> {
        let path = if fails { "/fail" } else { "/" };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: api.example.com\r\nX-User-Id: u{user}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.ok()?;
        loop {
            if let Some(served) = self.answer() {
                return Some(served);
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Takes a whole answer out of what has been read, if there is one.
    fn answer(&mut self) -> Option<Served> {
        let end = self.buffer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let length = head.split_once("content-length: ").expect("a length").1;
        let length = length
            .split_once("\r\n")
            .and_then(|(length, _)| length.parse().ok());
        let length: usize = length.expect("a number");
        let body = self.buffer.get(end..end + length)?;
        let served = Served::ALL
            .into_iter()
            .find(|served| served.name().as_bytes() == body);
        assert!(served.is_some(), "{head}");
        self.buffer.drain(..end + length);
        served
    }
}

/// A deployment that answers with its name, or not at all where `/fail` is asked of the canary. It ends with the task set.
pub(super) async fn deployment(served: Served, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(served, stream));
        }
    });
    address
}

async fn serve(served: Served, mut stream: TcpStream) {
    let name = served.name();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
        name.len()
    );
    let mut buffer = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        // A gateway sends the next request when it has the answer.
        if !buffer.ends_with(b"\r\n\r\n") {
            continue;
        }
        if served == Served::Canary && buffer.starts_with(b"GET /fail ") {
            return;
        }
        buffer.clear();
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
