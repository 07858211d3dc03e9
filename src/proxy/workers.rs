//! The threads that traffic runs on: one single-threaded runtime each, so that no connection ever changes thread, and
//! one more that accepts (`proxy::acceptor`).

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};

use super::acceptor::{Accepted, Acceptor, WorkerHandle};
use super::client::ClientConnection;
use super::connection_limit::ConnectionLimit;
use super::connections::Connections;
use super::entrance::Entrance;
use super::handshake::Turns;
use super::listener::BoundListener;
use super::serving::{self, ServeHttp};
use super::sweep;
use super::transport::Transport;
use crate::drain::{Drain, DrainWatch, Stage};

/// Running workers and their acceptor.
pub struct Workers<S> {
    workers: Vec<Worker<S>>,
    acceptor: JoinHandle<()>,
    drain: Arc<Drain>,
}

struct Worker<S> {
    server: Arc<S>,
    connections: Arc<Connections>,
    thread: JoinHandle<()>,
}

impl<S: ServeHttp> Workers<S> {
    /// Starts `count` workers behind bound listeners, which accept from when `begins` is over. `server` is called once for each worker.
    pub fn start(
        count: usize,
        listeners: Vec<BoundListener>,
        begins: impl Future<Output = ()> + Send + 'static,
        limit: Arc<ConnectionLimit>,
        drain: &Arc<Drain>,
        server: impl Fn() -> S,
    ) -> io::Result<Self> {
        let (mut workers, mut handles, mut sweeps) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..count.max(1) {
            let tick = Arc::new(Notify::new());
            sweeps.push(Arc::downgrade(&tick));
            let (worker, handle) = Worker::start(index, server(), tick, &limit, drain.watch())?;
            workers.push(worker);
            handles.push(handle);
        }
        sweep::tick(sweeps)?;
        let runtime = runtime()?;
        let acceptor = Acceptor::new(handles, limit, drain.watch());
        let acceptor = std::thread::Builder::new()
            .name("serin-accept".into())
            .spawn(move || {
                runtime.block_on(async {
                    begins.await;
                    acceptor.accept_all(listeners).await;
                });
            })?;
        Ok(Self {
            workers,
            acceptor,
            drain: drain.clone(),
        })
    }

    /// Stops accepting, closes idle connections, and waits for the others to end, for at most `grace`. Answers how
    /// many had to be cut off.
    pub async fn drain(self, grace: Duration) -> usize {
        self.drain.advance(Stage::Draining);
        // What the kernel had accepted before its socket was closed is with the workers after this.
        join(vec![self.acceptor]).await;
        for worker in &self.workers {
            worker.server.close_idle().await;
        }
        let all_ended = async {
            for worker in &self.workers {
                worker.connections.none_left().await;
            }
        };
        // An error is the time running out; the count says how many are left then.
        let _ = tokio::time::timeout(grace, all_ended).await;
        let open = self.workers.iter().map(|worker| worker.connections.open());
        let left = open.sum();
        self.drain.advance(Stage::Cut);
        let threads = self.workers.into_iter().map(|worker| worker.thread);
        join(threads.collect()).await;
        left
    }
}

/// Waits for threads that are about to end.
async fn join(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        let results = threads.into_iter().map(JoinHandle::join);
        results.filter(Result::is_err).count()
    });
    if let Ok(panicked @ 1..) = joined.await {
        tracing::error!(panicked, "threads of the data plane had panicked");
    }
}

impl<S: ServeHttp> Worker<S> {
    fn start(
        index: usize,
        server: S,
        tick: Arc<Notify>,
        limit: &Arc<ConnectionLimit>,
        drain: DrainWatch,
    ) -> io::Result<(Self, WorkerHandle)> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let server = Arc::new(server);
        let connections = Arc::new(Connections::new(limit.figures().clone()));
        let runtime = runtime()?;
        let served = server.clone();
        let entrance = Entrance {
            limit: limit.clone(),
            turns: Turns::default(),
            drain: drain.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("serin-worker-{index}"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(sweep::sweep(tick, served.clone()));
                    tokio::spawn(announce_end(served.clone(), drain));
                    work(&served, &entrance, inbox).await;
                });
            })?;
        let handle = WorkerHandle::new(sender, connections.clone());
        let worker = Self {
            server,
            connections,
            thread,
        };
        Ok((worker, handle))
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn announce_end<S: ServeHttp>(server: Arc<S>, mut drain: DrainWatch) {
    drain.reached(Stage::Announced).await;
    server.announce_end();
}

/// Serves connections until what is left is cut off.
async fn work<S: ServeHttp>(
    server: &Arc<S>,
    entrance: &Entrance,
    mut inbox: mpsc::UnboundedReceiver<Accepted>,
) {
    let mut cut_off = entrance.drain.clone();
    loop {
        tokio::select! {
            // A closed inbox is the acceptor's end: what runs, runs on until it is cut off.
            Some(accepted) = inbox.recv() => {
                let (server, entrance) = (server.clone(), entrance.clone());
                tokio::spawn(async move { serve(accepted, &*server, &entrance).await });
            }
            () = cut_off.reached(Stage::Cut) => return,
        }
    }
}

async fn serve<S: ServeHttp>(accepted: Accepted, server: &S, entrance: &Entrance) {
    let _counted = accepted.counted;
    let (peer, listener) = (accepted.peer, accepted.listener);
    tracing::debug!(client = %peer, listener = %listener.address, "connection accepted");
    let transport = match Transport::accepted(accepted.socket, listener) {
        Ok(transport) => transport,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken over");
            return;
        }
    };
    let Some(let_in) = entrance.open(transport, peer).await else {
        return;
    };
    // Who is behind a load balancer was not known when the connection was accepted.
    let counted = accepted.client.or(let_in.counted);
    let store = entrance.limit.store();
    let stream = ClientConnection::accepted(let_in.transport, let_in.client, counted, store);
    serving::serve(stream, server, &entrance.drain).await;
}
