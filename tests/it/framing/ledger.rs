//! Origins that read byte by byte and keep a ledger of all that came: requests, and whatever is none.

mod h2c;
mod plain;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// How an origin of this kind answers a request: the last part of the request's target says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With a length.
    Length,
    /// In chunks; over HTTP/2 without a length.
    Chunked,
    /// Until the connection's end; over HTTP/2 without a length.
    UntilClose,
    /// 204.
    NoContent,
    /// 304, with the length of what it does not send.
    NotModified,
    /// The request is HEAD, and its answer has a body nevertheless; over HTTP/2, where no library sends one, none.
    HeadWithBody,
    /// After interim responses.
    Interim,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Length,
        Self::Chunked,
        Self::UntilClose,
        Self::NoContent,
        Self::NotModified,
        Self::HeadWithBody,
        Self::Interim,
    ];

    /// The status of such an answer.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::NoContent => 204,
            Self::NotModified => 304,
            _ => 200,
        }
    }

    /// Whether the client gets a body.
    pub(super) fn has_body(self) -> bool {
        !matches!(
            self,
            Self::NoContent | Self::NotModified | Self::HeadWithBody
        )
    }

    /// The method of the requests that are answered so.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::HeadWithBody => "HEAD",
            _ => "POST",
        }
    }

    fn of(target: &str) -> Self {
        let asked = |kind: &Self| target.ends_with(&format!("/{kind:?}"));
        Self::ALL.into_iter().find(asked).unwrap_or(Self::Length)
    }
}

/// Whether an origin answers the first time that it is asked for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// It answers, but for targets with `/Retry/`, the first time: with gRPC's UNAVAILABLE, which any request may be
    /// sent again after.
    Even,
    /// It answers 503 always.
    Busy,
}

/// What came over one of an origin's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A whole request: its target and its body.
    Request(String, Vec<u8>),
    /// A request that broke off: its target.
    Cut(String),
    /// What is no request, where one could begin; or an offence against HTTP/2.
    Stray(String),
}

/// All that came to an origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Vec<Entry>>>);

impl Ledger {
    /// What has been entered so far.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// Forgets what has been entered, and answers it.
    pub(super) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.lock())
    }

    fn enter(&self, entry: Entry) {
        self.lock().push(entry);
    }

    /// Enters a request. Whether its target had not been asked for before.
    fn enter_request(&self, target: &str, body: Vec<u8>) -> bool {
        let mut entries = self.lock();
        let is_same = |entry: &Entry| matches!(entry, Entry::Request(seen, _) if seen == target);
        let first = !entries.iter().any(is_same);
        entries.push(Entry::Request(target.to_owned(), body));
        first
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running origin.
pub(super) struct Strict {
    address: SocketAddr,
    scheme: &'static str,
    /// All that came.
    pub(super) ledger: Ledger,
    running: AbortHandle,
}

impl Strict {
    /// Starts one that speaks HTTP/1.1.
    pub(super) async fn plain(temper: Temper) -> Self {
        let (listener, ledger) = (listener().await, Ledger::default());
        let address = listener.local_addr().expect("an address");
        let entered = ledger.clone();
        let accept = async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(plain::serve(stream, entered.clone(), temper));
            }
        };
        let running = tokio::spawn(accept).abort_handle();
        Self {
            address,
            scheme: "http",
            ledger,
            running,
        }
    }

    /// Starts one that speaks HTTP/2 in the clear.
    pub(super) async fn h2c(temper: Temper) -> Self {
        let (listener, ledger) = (listener().await, Ledger::default());
        let address = listener.local_addr().expect("an address");
        let entered = ledger.clone();
        let accept = async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(h2c::serve(stream, entered.clone(), temper));
            }
        };
        let running = tokio::spawn(accept).abort_handle();
        Self {
            address,
            scheme: "h2c",
            ledger,
            running,
        }
    }

    /// Its URL, as `routes.yaml` names it.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port")
}

/// Whether the answer is to be gRPC's UNAVAILABLE.
fn is_put_off(target: &str, first: bool) -> bool {
    first && target.contains("/Retry/") && !target.ends_with("/behind")
}
