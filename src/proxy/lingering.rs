//! How a connection ends whose client may still be sending: closed at once, it would be reset, and the client could lose
//! its last answer on the way (RFC 9112, section 9.6).

use std::io;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::explanation::explanation;
use super::transport::Transport;

/// How long a client may go on sending after its last answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How much of it is read, and thrown away, at a time.
const SCRAP: usize = 16 * 1024;

/// A connection whose requests have ended, and that is to be closed with care.
#[derive(Debug)]
pub struct Lingering {
    /// Still open.
    pub transport: Transport,
    /// The status to answer with if the client's last request head was incomplete.
    pub refusal: Option<StatusCode>,
}

/// Writes the last answer, if there is one, and reads on until the client has closed its side.
pub(super) async fn lingering_close(lingering: Lingering) {
    let Lingering {
        mut transport,
        refusal,
    } = lingering;
    let to_the_end = async {
        if let Some(status) = refusal {
            transport.write_all(answer(status).as_bytes()).await?;
        }
        transport.shutdown().await?;
        let mut scrap = vec![0; SCRAP];
        while transport.read(&mut scrap).await? > 0 {}
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
        StatusCode::BAD_REQUEST => "this listener speaks TLS: its addresses begin with https://",
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
