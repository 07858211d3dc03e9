//! Clients that open requests and are slow to go on with them.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Method, Request, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use crate::harness::in_time;

/// A connection over HTTP/2 whose requests are sent piece by piece.
pub(super) struct Open(SendRequest<Bytes>);

impl Open {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, address).await
    }

    /// As a client at another address of this machine.
    pub(super) async fn from(client: Ipv4Addr, address: SocketAddr) -> Self {
        let stream = connect(client, address).await;
        let (send, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(send)
    }

    /// Sends a head, and nothing of the body.
    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> OpenStream {
        let uri = format!("http://api.example.com{path}");
        let mut request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let mut ready = self.0.clone().ready().await.expect("a stream");
        let (response, body) = ready.send_request(request, false).expect("it is sent");
        OpenStream { response, body }
    }
}

/// A connection of a client at an address of this machine.
pub(super) async fn connect(client: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((client, 0).into())
        .expect("an address of this machine");
    in_time("connecting", socket.connect(address))
        .await
        .expect("a connection")
}

/// A request that is being sent.
pub(super) struct OpenStream {
    pub(super) response: ResponseFuture,
    pub(super) body: SendStream<Bytes>,
}

impl OpenStream {
    pub(super) fn send(&mut self, piece: &[u8], end: bool) {
        let piece = Bytes::copy_from_slice(piece);
        self.body.send_data(piece, end).expect("an open stream");
    }

    /// The answer's status.
    pub(super) async fn status(&mut self) -> u16 {
        let answer = in_time("an answer", &mut self.response).await;
        answer.expect("an answer").status().as_u16()
    }

    /// Gives the request up.
    pub(super) fn reset(&mut self) {
        self.body.send_reset(Reason::CANCEL);
    }
}

/// Many requests over HTTP/2 that are never sent to their end.
pub(super) struct Flood(Vec<AbortHandle>);

impl Flood {
    /// Opens so many connections with so many streams each, and sends the beginning of a body on every one.
    pub(super) async fn start(
        address: SocketAddr,
        connections: usize,
        streams: u32,
        body: &[u8],
    ) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, address, connections, streams, body).await
    }

    /// As a client at another address of this machine.
    pub(super) async fn from(
        client: Ipv4Addr,
        address: SocketAddr,
        connections: usize,
        streams: u32,
        body: &[u8],
    ) -> Self {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, b""));
        // POST, http, then path and authority as they are.
        let head = b"\x83\x86\x04\x05/held\x01\x01a";
        for stream in (1..).step_by(2).take(streams as usize) {
            bytes.extend(frame(1, 4, stream, head));
            if !body.is_empty() {
                bytes.extend(frame(0, 0, stream, body));
            }
        }
        let mut clients = Vec::new();
        for _ in 0..connections {
            let mut socket = connect(client, address).await;
            in_time("flooding", socket.write_all(&bytes))
                .await
                .expect("it is taken");
            let reading = tokio::spawn(async move {
                let mut scrap = vec![0; 16 * 1024];
                while socket.read(&mut scrap).await.is_ok_and(|count| count > 0) {}
            });
            clients.push(reading.abort_handle());
        }
        Self(clients)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
