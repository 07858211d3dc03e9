//! An origin whose connections the test handles byte by byte: for bodies that never end, and for answers that
//! no server library gives.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A request's head has come over a connection; what follows is the test's affair.
pub(crate) struct Visit {
    /// The connection.
    pub(crate) stream: TcpStream,
    /// The head, to its empty line.
    pub(crate) head: String,
}

impl Visit {
    /// Sends bytes. Whether they were taken.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads the next request's head over the same connection; `None`: there is none.
    pub(crate) async fn next(mut self) -> Option<Self> {
        self.head = head(&mut self.stream).await?;
        Some(self)
    }

    /// Waits until the other side has closed or cut the connection; says how many bytes came before.
    pub(crate) async fn ended(&mut self) -> u64 {
        let (mut buffer, mut count) = (vec![0; 64 * 1024], 0);
        while let Ok(read @ 1..) = self.stream.read(&mut buffer).await {
            count += read as u64;
        }
        count
    }
}

/// A server that hands every connection to the test.
pub(crate) struct Script {
    address: SocketAddr,
    running: AbortHandle,
}

impl Script {
    /// Starts one. A connection ends with what `play` returns for it.
    pub(crate) async fn start<F, Played>(play: F) -> Self
    where
        F: Fn(Visit) -> Played + Send + 'static,
        Played: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (visits, mut inbox) = tokio::sync::mpsc::unbounded_channel();
        let accept = async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut stream, _) = accepted.expect("a connection");
                        let visits = visits.clone();
                        tokio::spawn(async move {
                            if let Some(head) = head(&mut stream).await {
                                // Fails only when the test is over.
                                let _ = visits.send(Visit { stream, head });
                            }
                        });
                    }
                    Some(visit) = inbox.recv() => {
                        tokio::spawn(play(visit));
                    }
                }
            }
        };
        Self {
            address,
            running: tokio::spawn(accept).abort_handle(),
        }
    }

    /// Its URL, as `routes.yaml` names it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
