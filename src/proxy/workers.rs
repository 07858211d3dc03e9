//! The threads that traffic runs on: one single-threaded runtime each, so that no connection ever changes thread,
//! and one more that accepts and hands every new connection to the worker with the fewest.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc, watch};

use super::connections::{Connections, OpenConnection};
use super::deadlines;
use super::front_door::FrontDoor;
use super::hooks::Proxy;
use super::refusal::Doorman;
use crate::capacity::clients::{ClientConnections, Clients};
use crate::proxy::metrics::ConnectionFigures;
use crate::snapshot::store::SnapshotStore;

/// How long accepting pauses after an error, such as the process being out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Running workers and their acceptor.
pub struct Workers {
    workers: Vec<Worker>,
    acceptor: JoinHandle<()>,
    /// Turned to true: responses say `Connection: close`.
    closing: watch::Sender<bool>,
    /// Turned to true: nothing is accepted any more.
    closed: watch::Sender<bool>,
}

struct Worker {
    app: Arc<FrontDoor>,
    connections: Arc<Connections>,
    thread: JoinHandle<()>,
    /// Turned to true: what still runs is cut off.
    cut: watch::Sender<bool>,
}

/// A connection on its way from the acceptor to a worker.
struct Accepted {
    socket: std::net::TcpStream,
    peer: SocketAddr,
    /// Its place among its client's connections; `None`: they are not counted.
    client: Option<ClientConnections>,
    counted: OpenConnection,
}

/// The acceptor's end of a worker.
struct Desk {
    inbox: mpsc::UnboundedSender<Accepted>,
    connections: Arc<Connections>,
}

/// How many connections may pass.
pub struct Gate {
    /// Where `server.limits` are.
    store: Arc<SnapshotStore>,
    /// What counts them.
    figures: Arc<ConnectionFigures>,
    clients: RefCell<Clients>,
}

/// A connection is one too many.
struct TooMany;

impl Gate {
    /// For connections that are counted in `figures`, and are bounded by what runs.
    pub fn new(store: Arc<SnapshotStore>, figures: Arc<ConnectionFigures>) -> Self {
        Self {
            store,
            figures,
            clients: RefCell::default(),
        }
    }

    /// Lets one more pass, counted among its client's. A trusted proxy's are not: many clients are behind it.
    fn admit(&self, peer: SocketAddr) -> Result<Option<ClientConnections>, TooMany> {
        let snapshot = self.store.peek();
        let traffic = &snapshot.traffic;
        let shares = self.figures.shares(traffic.connections);
        let open = usize::try_from(self.figures.open.get()).unwrap_or(0);
        if open >= shares.clients {
            self.figures.refused.inc();
            return Err(TooMany);
        }
        if snapshot.identity.trusts(peer.ip()) {
            return Ok(None);
        }
        let most = traffic
            .connections_per_client
            .unwrap_or_else(|| shares.of_client(traffic.connections));
        let entered = self.clients.borrow_mut().enter(peer.ip(), most);
        entered.map(Some).map_err(|excess| {
            self.figures.refused.inc();
            self.figures.excess[excess.index()].inc();
            TooMany
        })
    }

    /// How many clients may be told at a time that there are too many: their connections take files of the reserve.
    fn told_at_a_time(&self) -> usize {
        let wanted = self.store.peek().traffic.connections;
        self.figures.shares(wanted).reserve / 4
    }
}

impl Workers {
    /// Starts `count` workers on sockets that [`super::listener::bind`] made. `hooks` is called once for each, with
    /// what tells them that every response is its connection's last.
    pub fn start(
        count: usize,
        listeners: Vec<TcpListener>,
        gate: Gate,
        hooks: impl Fn(watch::Receiver<bool>) -> Proxy,
    ) -> io::Result<Self> {
        let (closing, _) = watch::channel(false);
        let (closed, _) = watch::channel(false);
        let (mut workers, mut desks, mut sweeps) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..count.max(1) {
            let (door, tick) = (
                FrontDoor::new(hooks(closing.subscribe())),
                Arc::new(Notify::new()),
            );
            sweeps.push(Arc::downgrade(&tick));
            let (worker, desk) = Worker::start(index, door, tick, &gate, &closing)?;
            workers.push(worker);
            desks.push(desk);
        }
        deadlines::tick(sweeps)?;
        let runtime = runtime()?;
        let stop = closed.subscribe();
        let acceptor = std::thread::Builder::new()
            .name("serin-accept".into())
            .spawn(move || runtime.block_on(accept_all(listeners, &desks, &gate, stop)))?;
        Ok(Self {
            workers,
            acceptor,
            closing,
            closed,
        })
    }

    /// From now on every response is its connection's last.
    pub fn close_connections(&self) {
        self.closing.send_replace(true);
    }

    /// Stops accepting, closes idle connections, and waits for the others to end, for at most `grace`. Answers how
    /// many had to be cut off.
    pub async fn drain(self, grace: Duration) -> usize {
        self.close_connections();
        self.closed.send_replace(true);
        // What the kernel had accepted before its socket was closed is with the workers after this.
        join(vec![self.acceptor]).await;
        for worker in &self.workers {
            worker.app.close_idle().await;
        }
        let all_ended = async {
            for worker in &self.workers {
                worker.connections.none_left().await;
            }
        };
        // An error is the time running out; the count says how many are left then.
        let _ = tokio::time::timeout(grace, all_ended).await;
        let left = self
            .workers
            .iter()
            .map(|worker| worker.connections.open())
            .sum();
        let mut threads = Vec::new();
        for worker in self.workers {
            worker.cut.send_replace(true);
            threads.push(worker.thread);
        }
        join(threads).await;
        left
    }
}

/// Waits for threads that have been told to end.
async fn join(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        let results = threads.into_iter().map(JoinHandle::join);
        results.filter(Result::is_err).count()
    });
    if let Ok(panicked @ 1..) = joined.await {
        tracing::error!(panicked, "threads of the data plane had panicked");
    }
}

impl Worker {
    fn start(
        index: usize,
        app: FrontDoor,
        tick: Arc<Notify>,
        gate: &Gate,
        closing: &watch::Sender<bool>,
    ) -> io::Result<(Self, Desk)> {
        let (inbox, connections_in) = mpsc::unbounded_channel();
        let (cut, cut_off) = watch::channel(false);
        let (app, connections) = (
            Arc::new(app),
            Arc::new(Connections::new(gate.figures.clone())),
        );
        let runtime = runtime()?;
        let figures = gate.figures.clone();
        let (served, shutdown) = (app.clone(), closing.subscribe());
        let thread = std::thread::Builder::new()
            .name(format!("serin-worker-{index}"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(deadlines::sweep(tick, figures));
                    work(&served, connections_in, &shutdown, cut_off).await;
                });
            })?;
        let desk = Desk {
            inbox,
            connections: connections.clone(),
        };
        let worker = Self {
            app,
            connections,
            thread,
            cut,
        };
        Ok((worker, desk))
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Serves connections until told to cut off what is left.
async fn work(
    app: &Arc<FrontDoor>,
    mut inbox: mpsc::UnboundedReceiver<Accepted>,
    shutdown: &watch::Receiver<bool>,
    mut cut_off: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            // A closed inbox is the acceptor's end: what runs, runs on until it is cut off.
            Some(accepted) = inbox.recv() => {
                let (app, shutdown) = (app.clone(), shutdown.clone());
                tokio::spawn(async move { serve(accepted, &app, &shutdown).await });
            }
            _ = cut_off.wait_for(|cut| *cut) => return,
        }
    }
}

async fn serve(accepted: Accepted, app: &Arc<FrontDoor>, shutdown: &watch::Receiver<bool>) {
    let _counted = accepted.counted;
    let socket = match tokio::net::TcpStream::from_std(accepted.socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken over");
            return;
        }
    };
    if socket.set_nodelay(true).is_err() {
        // The client is gone already.
        return;
    }
    app.serve(socket, (accepted.peer, accepted.client), shutdown)
        .await;
}

/// Accepts on every listener until told to stop.
async fn accept_all(
    listeners: Vec<TcpListener>,
    desks: &[Desk],
    gate: &Gate,
    stop: watch::Receiver<bool>,
) {
    let doorman = Doorman::new(gate.told_at_a_time());
    let loops = listeners
        .into_iter()
        .map(|listener| accept(listener, desks, gate, &doorman, stop.clone()));
    futures_util::future::join_all(loops).await;
}

async fn accept(
    listener: TcpListener,
    desks: &[Desk],
    gate: &Gate,
    doorman: &Doorman,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener cannot be served");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error is the end of whoever could say so.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = accepted.map(|(socket, peer)| (socket, peer, gate.admit(peer)));
        let accepted = match accepted {
            Ok((socket, _, Err(TooMany))) => {
                doorman.turn_away(socket);
                continue;
            }
            Ok((socket, peer, Ok(client))) => socket.into_std().map(|it| (it, peer, client)),
            Err(error) => Err(error),
        };
        match accepted {
            Ok((socket, peer, client)) => hand_over(socket, peer, client, desks),
            // The client was gone before its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closing the socket resets the connections that wait in its queue: their clients believe that they were taken.
    if let Ok(listener) = listener.into_std() {
        while let Some((socket, peer)) = waiting(&listener) {
            if let Ok(client) = gate.admit(peer) {
                hand_over(socket, peer, client, desks);
            }
        }
    }
}

/// A connection that the kernel has accepted already.
fn waiting(listener: &TcpListener) -> Option<(std::net::TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Ok((socket, peer)) => {
                socket.set_nonblocking(true).ok()?;
                return Some((socket, peer));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return None,
        }
    }
}

/// Gives a connection to the worker with the fewest.
fn hand_over(
    socket: std::net::TcpStream,
    peer: SocketAddr,
    client: Option<ClientConnections>,
    desks: &[Desk],
) {
    if let Some(desk) = desks.iter().min_by_key(|desk| desk.connections.open()) {
        let counted = desk.connections.enter();
        // A worker that is gone was cut off: its connections are, too.
        let _ = desk.inbox.send(Accepted {
            socket,
            peer,
            client,
            counted,
        });
    }
}
