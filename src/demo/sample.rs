//! Sample deployments: small servers that say who they are.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::file::loopback;
use crate::proxy::listener::bind;

/// How long a sample waits after an error of its socket.
const PAUSE: Duration = Duration::from_millis(100);

/// A sample deployment as it is meant to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleConfig {
    /// The deployment, by the name that `routes.yaml` gives it.
    pub(super) name: &'static str,
    /// The variable that `routes.yaml` names its port with.
    variable: &'static str,
    /// Its port, if that is free.
    port: u16,
    /// How long it takes to answer, on purpose, in milliseconds: from, to.
    pace: (u64, u64),
}

/// How long the sample deployments take to answer, on purpose, in milliseconds: from, to.
pub(super) const PACE: (u64, u64) = (CANARY.pace.0, TREATMENT.pace.1);

const STABLE: SampleConfig = SampleConfig {
    name: "stable",
    variable: "SERIN_DEMO_STABLE",
    port: 9001,
    pace: (8, 35),
};
const CANARY: SampleConfig = SampleConfig {
    name: "search.ranker-v2",
    variable: "SERIN_DEMO_RANKER",
    port: 9002,
    pace: (4, 20),
};
const TREATMENT: SampleConfig = SampleConfig {
    name: "search.ab",
    variable: "SERIN_DEMO_AB",
    port: 9003,
    pace: (10, 40),
};

/// Every sample deployment.
#[derive(Debug)]
pub(super) struct Samples {
    stable: Sample,
    /// The one that dies for show.
    pub(super) canary: Sample,
    treatment: Sample,
}

impl Samples {
    /// Opens all ports, but none that is `wanted` for something else. Within a runtime.
    pub(super) fn start(wanted: u16) -> io::Result<Self> {
        Ok(Self {
            stable: Sample::start(STABLE, wanted)?,
            canary: Sample::start(CANARY, wanted)?,
            treatment: Sample::start(TREATMENT, wanted)?,
        })
    }

    /// Their ports, by the variables that `routes.yaml` names them with.
    pub(super) fn ports(&self) -> Vec<(&'static str, u16)> {
        let all = [&self.stable, &self.canary, &self.treatment];
        all.map(|sample| (sample.plan.variable, sample.port)).into()
    }
}

/// A running sample deployment.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) plan: SampleConfig,
    pub(super) port: u16,
    /// Its port is open for as long as this is held.
    door: Option<watch::Sender<()>>,
}

impl Sample {
    /// Opens its port: the planned one, or any that is free where that is taken or wanted.
    fn start(plan: SampleConfig, wanted: u16) -> io::Result<Self> {
        let planned = (plan.port != wanted).then_some(plan.port);
        let socket = match planned.map(|port| bind(loopback(port))) {
            Some(Ok(socket)) => socket,
            _ => bind(loopback(0))?,
        };
        let port = socket.local_addr()?.port();
        let mut sample = Self {
            plan,
            port,
            door: None,
        };
        sample.serve(socket)?;
        Ok(sample)
    }

    /// Opens its port again.
    pub(super) fn open(&mut self) -> io::Result<()> {
        self.serve(bind(loopback(self.port))?)
    }

    /// Closes its port. What it has begun to answer, it answers.
    pub(super) fn close(&mut self) {
        self.door = None;
    }

    fn serve(&mut self, socket: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(socket)?;
        let (door, closed) = watch::channel(());
        tokio::spawn(accept(listener, self.plan, closed));
        self.door = Some(door);
        Ok(())
    }
}

async fn accept(listener: TcpListener, plan: SampleConfig, mut closed: watch::Receiver<()>) {
    loop {
        tokio::select! {
            // Whoever is connected already is still let in when the port closes.
            biased;
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    tokio::spawn(converse(socket, plan, closed.clone()));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            _ = closed.changed() => return,
        }
    }
}

/// Answers on one connection until the other side, or the port, closes.
async fn converse(socket: TcpStream, plan: SampleConfig, mut closed: watch::Receiver<()>) {
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        answer(plan, request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(socket), service)
    );
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = closed.changed() => {}
    }
    if !asked.load(Ordering::Relaxed) {
        // The first request is on its way: no client connects without one.
        let patience = tokio::time::timeout(PAUSE, connection.as_mut());
        if patience.await.is_ok() {
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    // How a connection ends is its client's concern.
    let _ = connection.await;
}

async fn answer(
    plan: SampleConfig,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (from, to) = plan.pace;
    tokio::time::sleep(Duration::from_millis(rand::random_range(from..=to))).await;
    let user = request.headers().get("x-user-id");
    let user = user.and_then(|id| id.to_str().ok()).unwrap_or("whoever");
    let line = format!("{} answers {user}\n", plan.name);
    let mut response = Response::new(Full::from(line));
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}
