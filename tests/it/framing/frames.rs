//! An HTTP/2 client that says every frame itself: libraries send no padding, no needless frames and no lies.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::in_time;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// A connection, of which the test says every frame.
pub(super) struct Frames(TcpStream);

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With a whole answer: its status (0: one that has no short form in HPACK) and its body.
    Answered(u16, Vec<u8>),
    /// It was reset, or the connection was ended.
    Reset,
}

impl Frames {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut frames = Self(stream);
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.frame(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// Begins a request.
    pub(super) async fn head(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) {
        let pseudo = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "api.example.com"),
            (":path", path),
        ];
        let block = block(pseudo.iter().chain(fields));
        self.frame(HEADERS, END_HEADERS, 1, &block).await;
    }

    /// Sends a part of its body.
    pub(super) async fn data(&mut self, data: &[u8], end: bool) {
        self.frame(DATA, if end { END_STREAM } else { 0 }, 1, data)
            .await;
    }

    /// Sends a part of its body with padding around it.
    pub(super) async fn padded(&mut self, data: &[u8], padding: u8, end: bool) {
        let mut payload = vec![padding];
        payload.extend_from_slice(data);
        payload.resize(payload.len() + usize::from(padding), 0);
        let flags = PADDED | if end { END_STREAM } else { 0 };
        self.frame(DATA, flags, 1, &payload).await;
    }

    /// Ends its body with trailers.
    pub(super) async fn trailers(&mut self, fields: &[(&str, &str)]) {
        let block = block(fields);
        self.frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)
            .await;
    }

    /// Reads until the stream has ended.
    pub(super) async fn ended(mut self) -> Ended {
        in_time("an answer", async {
            let (mut status, mut body) = (0, Vec::new());
            loop {
                let mut head = [0; 9];
                if self.0.read_exact(&mut head).await.is_err() {
                    return Ended::Reset;
                }
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let (kind, flags) = (head[3], head[4]);
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let mut payload = vec![0; length as usize];
                if self.0.read_exact(&mut payload).await.is_err() {
                    return Ended::Reset;
                }
                match kind {
                    SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]).await,
                    PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload).await,
                    GOAWAY => return Ended::Reset,
                    RST_STREAM if stream == 1 => return Ended::Reset,
                    HEADERS if stream == 1 && status == 0 => status = status_of(&payload),
                    DATA if stream == 1 => body.extend_from_slice(&payload),
                    _ => {}
                }
                if stream == 1 && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                    return Ended::Answered(status, body);
                }
            }
        })
        .await
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a small frame");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.write(&frame).await;
    }

    /// The other side may have ended the connection meanwhile, which is seen when its answer is read.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = in_time("writing", self.0.write_all(bytes)).await;
    }
}

/// Literal fields that are not indexed (RFC 7541, section 6.2.2).
fn block<'a>(fields: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a longer text takes a longer prefix");
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The status, which stands first, if it is one of the static table's (RFC 7541, appendix A).
fn status_of(block: &[u8]) -> u16 {
    match block.first() {
        Some(0x88) => 200,
        Some(0x89) => 204,
        Some(0x8b) => 304,
        Some(0x8c) => 400,
        Some(0x8e) => 500,
        _ => 0,
    }
}
