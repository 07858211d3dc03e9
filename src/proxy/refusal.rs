//! What is said to clients whose request pingora never sees, and how a connection is left so that it is heard.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, RETRY_AFTER};
use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::HttpSession;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::client::Left;
use super::failure::explanation;
use super::reply::COME_BACK;

/// How long a client may go on sending after its last answer. Closed at once, its connection would be reset, and the
/// answer could be lost on the way.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of it is read, and thrown away, at a time.
const SCRAP: usize = 16 * 1024;

/// How many clients are told at a time that there are too many connections; the others are only closed.
const TOLD_AT_A_TIME: usize = 256;

/// Refuses connections that are too many.
#[derive(Clone, Debug)]
pub(super) struct Doorman(Arc<Semaphore>);

impl Doorman {
    /// Tells [`TOLD_AT_A_TIME`] clients at a time, or `most` if that is less.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(TOLD_AT_A_TIME.min(most))))
    }

    /// Tells a client to come back later. Nobody waits for it but a task of its own.
    pub(super) fn turn_away(&self, socket: TcpStream) {
        let Ok(turn) = self.0.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            // Many clients cannot make sense of an answer that comes before their request.
            let _ = tokio::time::timeout(PATIENCE, socket.peek(&mut [0])).await;
            let refusal = Some(StatusCode::SERVICE_UNAVAILABLE);
            hear_out(Left { socket, refusal }).await;
            drop(turn);
        });
    }
}

/// Answers a request over HTTP/2 that its client may not have, before pingora sees it.
pub(super) fn refuse_stream(session: &mut HttpSession) -> StatusCode {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let header = ResponseHeader::build(status, Some(3)).and_then(|mut header| {
        header.insert_header(CONTENT_LENGTH, 0)?;
        header.insert_header(CACHE_CONTROL, "no-store")?;
        header.insert_header(RETRY_AFTER, COME_BACK)?;
        session.write_response_header(Box::new(header), true)
    });
    // An error is a client that has gone.
    if let Err(error) = header {
        tracing::debug!(%error, "a refusal could not be sent");
    }
    status
}

/// Says what is to be said, and reads on until the client has understood.
pub(super) async fn hear_out(left: Left) {
    let Left {
        mut socket,
        refusal,
    } = left;
    let to_the_end = async {
        if let Some(status) = refusal {
            socket.write_all(answer(status).as_bytes()).await?;
        }
        socket.shutdown().await?;
        let mut scrap = vec![0; SCRAP];
        while socket.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the client goes, breaks off or takes too long: it is done.
    let _ = tokio::time::timeout(PATIENCE, to_the_end).await;
}

fn answer(status: StatusCode) -> String {
    let name = status.canonical_reason().unwrap_or_default();
    let code = status.as_u16();
    let why = match status {
        StatusCode::SERVICE_UNAVAILABLE => "there are too many connections",
        _ => explanation(status),
    };
    let retry = match status {
        StatusCode::SERVICE_UNAVAILABLE => "retry-after: 1\r\n",
        _ => "",
    };
    let body = format!("{code} {name}: {why}\n");
    format!(
        "HTTP/1.1 {code} {name}\r\nconnection: close\r\n{retry}cache-control: no-store\r\n\
        content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
