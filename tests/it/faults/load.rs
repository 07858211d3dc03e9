//! Steady load: workers with a connection each, whose requests and answers are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::patiently;
use crate::harness::{Call, Connection, get, post};

/// How many there are.
const WORKERS: usize = 10;
/// How often each sends a request, if it has been answered by then.
const PACE: Duration = Duration::from_millis(20);
/// How many users they stand for.
const USERS: usize = 50;

/// A request and its answer, as the client saw them.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Its number.
    pub(super) id: usize,
    /// Whose it is.
    pub(super) user: String,
    /// Whether it is a POST; else it is a GET.
    pub(super) post: bool,
    /// The answer's status; 0: none began.
    pub(super) status: u16,
    /// The origin that the answer is from; `None`: the gateway.
    pub(super) origin: Option<String>,
    /// Whether the answer came whole.
    pub(super) whole: bool,
    /// From the request to the answer's end.
    pub(super) took: Duration,
}

/// Load that is running.
pub(super) struct Load {
    finished: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    workers: JoinSet<Vec<Sent>>,
}

impl Load {
    /// Starts it; requests are numbered from `first` on.
    pub(super) fn start(gateway: SocketAddr, first: usize) -> Self {
        let (finished, stopping) = (Arc::default(), Arc::default());
        let next = Arc::new(AtomicUsize::new(first));
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let worker = Worker {
                gateway,
                connection: None,
                next: next.clone(),
            };
            workers.spawn(worker.work(Arc::clone(&finished), Arc::clone(&stopping)));
        }
        Self {
            finished,
            stopping,
            workers,
        }
    }

    /// Waits until so many more requests have been answered.
    pub(super) async fn go_on_for(&self, more: usize) {
        let enough = self.finished.load(Ordering::Relaxed) + more;
        patiently("answers", async || {
            self.finished.load(Ordering::Relaxed) >= enough
        })
        .await;
    }

    /// Stops it when all requests have been answered, and says what there was.
    pub(super) async fn stop(self) -> Vec<Sent> {
        self.stopping.store(true, Ordering::Relaxed);
        let mut all = self.workers.join_all().await.concat();
        all.sort_by_key(|sent| sent.id);
        all
    }
}

struct Worker {
    gateway: SocketAddr,
    connection: Option<Connection>,
    next: Arc<AtomicUsize>,
}

impl Worker {
    async fn work(mut self, finished: Arc<AtomicUsize>, stopping: Arc<AtomicBool>) -> Vec<Sent> {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut all = Vec::new();
        while !stopping.load(Ordering::Relaxed) {
            pace.tick().await;
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            all.push(self.send(id).await);
            finished.fetch_add(1, Ordering::Relaxed);
        }
        all
    }

    async fn send(&mut self, id: usize) -> Sent {
        // Whose a request is must have nothing to do with what kind it is and which worker sends it.
        let user = format!("u{}", (id.wrapping_mul(2_654_435_761) >> 8) % USERS);
        let post_it = id.is_multiple_of(3);
        let path = format!("/r/{id}/{user}");
        let call = match post_it {
            true => post(&path, format!("pay {id}")),
            false => get(&path),
        };
        let begun = Instant::now();
        let mut sent = Sent {
            id,
            post: post_it,
            status: 0,
            origin: None,
            whole: false,
            took: Duration::ZERO,
            user: user.clone(),
        };
        self.exchange(call.user(&user), &mut sent).await;
        sent.took = begun.elapsed();
        sent
    }

    async fn exchange(&mut self, call: Call, sent: &mut Sent) {
        let response = loop {
            let kept = self.connection.take().filter(|kept| !kept.is_closed());
            let mut connection = match kept {
                Some(kept) => kept,
                None => Connection::open(self.gateway).await,
            };
            match connection.begin(call.clone()).await {
                Ok(response) => {
                    self.connection = Some(connection);
                    break response;
                }
                // Closed a moment ago: nothing was sent.
                Err(error) if error.is_canceled() => {}
                Err(_) => return,
            }
        };
        let (head, body) = response.into_parts();
        sent.status = head.status.as_u16();
        let text = |name: &str| head.headers.get(name)?.to_str().ok();
        sent.origin = text("x-origin").map(str::to_owned);
        sent.whole = body.collect().await.is_ok();
        if !sent.whole || text("connection") == Some("close") {
            self.connection = None;
        }
    }
}
