//! HTTP/2 frame by frame (RFC 9113), for what no client library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::wire::WireStream;

use super::in_time;

/// The types of frames (RFC 9113, section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of frames; ACK of SETTINGS and PING is the same bit as END_STREAM.
pub(crate) const END_STREAM: u8 = 1;
const ACK: u8 = END_STREAM;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// A frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A frame of a stream.
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        Self {
            kind,
            flags,
            stream,
            payload,
        }
    }

    /// The frame as it is sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a length");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// A request's field block without the dynamic table (RFC 7541): `method` is an entry of the static table.
fn block(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x80 | method, 0x86];
    for (name, value) in [(4, path), (1, "a.example.com")] {
        block.extend([name, u8::try_from(value.len()).expect("a short value")]);
        block.extend(value.as_bytes());
    }
    block
}

/// A GET request.
pub(crate) fn get(stream: u32, path: &str) -> Frame {
    Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, block(2, path))
}

/// The head of a POST request.
pub(crate) fn post(stream: u32, path: &str) -> Frame {
    Frame::new(HEADERS, END_HEADERS, stream, block(3, path))
}

/// The client's cancellation of a request.
pub(crate) fn cancel(stream: u32) -> Frame {
    Frame::new(RST_STREAM, 0, stream, 8_u32.to_be_bytes())
}

/// The head of a request with these fields beside the pseudo-header fields. Its stream goes on.
pub(crate) fn head(stream: u32, method: &str, path: &str, fields: &[(&str, &str)]) -> Frame {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "api.example.com"),
        (":path", path),
    ];
    let block = literals(pseudo.iter().chain(fields));
    Frame::new(HEADERS, END_HEADERS, stream, block)
}

/// A part of a body.
pub(crate) fn data(stream: u32, data: &[u8], end: bool) -> Frame {
    Frame::new(DATA, flag(END_STREAM, end), stream, data)
}

/// A part of a body with padding around it.
pub(crate) fn padded(stream: u32, data: &[u8], padding: u8, end: bool) -> Frame {
    let mut payload = vec![padding];
    payload.extend_from_slice(data);
    payload.resize(payload.len() + usize::from(padding), 0);
    Frame::new(DATA, PADDED | flag(END_STREAM, end), stream, payload)
}

/// Trailers, which end a body.
pub(crate) fn trailers(stream: u32, fields: &[(&str, &str)]) -> Frame {
    Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, literals(fields))
}

fn flag(flag: u8, is_set: bool) -> u8 {
    if is_set { flag } else { 0 }
}

/// Literal fields that are not indexed (RFC 7541, section 6.2.2).
fn literals<'a>(fields: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.extend(length(text.len()));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A text's length, with a prefix of 7 bits (RFC 7541, section 5.1).
fn length(length: usize) -> Vec<u8> {
    let Some(mut left) = length.checked_sub(127) else {
        return vec![u8::try_from(length).expect("a short text")];
    };
    let mut bytes = vec![127];
    while left >= 128 {
        bytes.push(u8::try_from(left % 128 + 128).expect("a byte"));
        left /= 128;
    }
    bytes.push(u8::try_from(left).expect("a byte"));
    bytes
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

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// With a whole answer: its status (0: one that has no short form in HPACK) and its body.
    Answered(u16, Vec<u8>),
    /// It was reset, or the connection was ended.
    Reset,
}

/// A connection that the test speaks frame by frame.
pub(crate) struct Frames(WireStream);

impl Frames {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = WireStream::connect_http2(address).await;
        let mut frames = Self(stream);
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.send(&[Frame::new(SETTINGS, 0, 0, [])]).await;
        frames
    }

    /// Sends frames in one piece.
    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        self.write(&bytes).await;
    }

    /// Sends bytes. The other side may have ended the connection meanwhile, which is seen when its answer is read.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = in_time("writing frames", self.0.write_all(bytes)).await;
    }

    /// The next frame that says something of a stream, or ends the connection; `None`: it was closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        in_time("a frame", async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.ok()?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; length as usize];
                self.0.read_exact(&mut payload).await.ok()?;
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let frame = Frame::new(head[3], head[4], stream, payload);
                match frame.kind {
                    DATA | HEADERS | RST_STREAM | GOAWAY => return Some(frame),
                    SETTINGS if frame.flags & ACK == 0 => {
                        self.send(&[Frame::new(SETTINGS, ACK, 0, [])]).await;
                    }
                    PING if frame.flags & ACK == 0 => {
                        self.send(&[Frame::new(PING, ACK, 0, frame.payload)]).await;
                    }
                    _ => {}
                }
            }
        })
        .await
    }

    /// Reads frames until one of this stream ends it, whichever way.
    pub(crate) async fn end_of(&mut self, stream: u32) -> Frame {
        loop {
            let frame = self.next().await.expect("an open connection");
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
            let ends = frame.kind == RST_STREAM || frame.flags & END_STREAM != 0;
            if frame.stream == stream && ends {
                return frame;
            }
        }
    }

    /// Reads a stream's answer to its end.
    pub(crate) async fn answer(&mut self, stream: u32) -> StreamEnd {
        let (mut status, mut body) = (0, Vec::new());
        while let Some(frame) = self.next().await {
            match frame.kind {
                GOAWAY => return StreamEnd::Reset,
                _ if frame.stream != stream => continue,
                RST_STREAM => return StreamEnd::Reset,
                HEADERS if status == 0 => status = status_of(&frame.payload),
                DATA => body.extend_from_slice(&frame.payload),
                _ => {}
            }
            if frame.flags & END_STREAM != 0 {
                return StreamEnd::Answered(status, body);
            }
        }
        StreamEnd::Reset
    }
}
