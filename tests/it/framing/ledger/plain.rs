//! HTTP/1.1, byte by byte and to the letter: there is one way to frame a request, and everything else is a stray.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::{Entry, Kind, Ledger, Temper, is_put_off};

/// Why no request could be read.
enum Fault {
    /// The connection ended where a request could begin.
    End,
    /// It ended within the request for this target.
    Cut(String),
    /// This is no request.
    Stray(String),
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, ledger: Ledger, temper: Temper) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let (target, body) = match request(&mut read).await {
            Ok(request) => request,
            Err(Fault::End) => return,
            Err(Fault::Cut(target)) => return ledger.enter(Entry::Cut(target)),
            Err(Fault::Stray(what)) => {
                ledger.enter(Entry::Stray(what));
                // As a server does: its answer is what the next user of the connection would get.
                let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
                let _ = write.write_all(refusal).await;
                continue;
            }
        };
        let first = ledger.enter_request(&target, body);
        let bytes = answer(&target, first, temper);
        if write.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
        if Kind::of(&target) == Kind::UntilClose && !is_put_off(&target, first) {
            drop(write);
            let mut rest = Vec::new();
            // What had come before an error counts.
            let _ = read.read_to_end(&mut rest).await;
            if !rest.is_empty() {
                ledger.enter(Entry::Stray(String::from_utf8_lossy(&rest).into_owned()));
            }
            return;
        }
    }
}

fn answer(target: &str, first: bool, temper: Temper) -> String {
    if temper == Temper::Busy {
        return "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy".to_owned();
    }
    if is_put_off(target, first) {
        return "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 14\r\n\
            Content-Length: 0\r\n\r\n"
            .to_owned();
    }
    let length = target.len();
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}");
    match Kind::of(target) {
        // The body that HEAD's answer has is part of the one byte sequence that follows the head.
        Kind::Length | Kind::HeadWithBody => whole,
        Kind::Chunked => format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{target}\r\n0\r\n\r\n"
        ),
        Kind::UntilClose => format!("HTTP/1.1 200 OK\r\n\r\n{target}"),
        Kind::NoContent => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        Kind::NotModified => {
            format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {length}\r\n\r\n")
        }
        Kind::Interim => {
            format!(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{whole}"
            )
        }
    }
}

async fn request(read: &mut BufReader<OwnedReadHalf>) -> Result<(String, Vec<u8>), Fault> {
    let line = match line(read).await {
        Some(line) if line.is_empty() => return Err(Fault::End),
        Some(line) => line,
        None => return Err(Fault::Stray("bytes that are no text".to_owned())),
    };
    let target = target(&line).ok_or_else(|| Fault::Stray(line.clone()))?;
    let cut = || Fault::Cut(target.clone());
    let stray = |what: &str| Fault::Stray(format!("{what:?} in the request for {target}"));
    let (mut length, mut chunked) = (None, false);
    loop {
        let field = self::line(read).await.ok_or_else(cut)?;
        match field.strip_suffix("\r\n") {
            Some("") => break,
            Some(field) => {
                let (name, value) = field.split_once(": ").ok_or_else(|| stray(field))?;
                match name.to_ascii_lowercase().as_str() {
                    "content-length" if length.is_none() => {
                        length = Some(value.parse::<usize>().map_err(|_| stray(field))?);
                    }
                    "transfer-encoding" if value == "chunked" && !chunked => chunked = true,
                    "content-length" | "transfer-encoding" => return Err(stray(field)),
                    _ => {}
                }
            }
            None => return Err(cut()),
        }
    }
    let mut body = Vec::new();
    match (chunked, length) {
        (true, Some(_)) => return Err(stray("framed twice")),
        (true, None) => loop {
            let size = self::line(read).await.ok_or_else(cut)?;
            let digits = size.strip_suffix("\r\n").ok_or_else(cut)?;
            let size = usize::from_str_radix(digits, 16).map_err(|_| stray(&size))?;
            let mut chunk = vec![0; size + 2];
            read.read_exact(&mut chunk).await.map_err(|_| cut())?;
            let data = chunk
                .strip_suffix(b"\r\n")
                .ok_or_else(|| stray("no CRLF"))?;
            body.extend_from_slice(data);
            if size == 0 {
                break;
            }
        },
        (false, length) => {
            body.resize(length.unwrap_or(0), 0);
            read.read_exact(&mut body).await.map_err(|_| cut())?;
        }
    }
    Ok((target, body))
}

/// The next line with its end, or whatever came before the connection's. `None`: it is no text.
async fn line(read: &mut BufReader<OwnedReadHalf>) -> Option<String> {
    let mut line = Vec::new();
    // What had come before an error counts.
    let _ = read.read_until(b'\n', &mut line).await;
    String::from_utf8(line).ok()
}

/// The target, if this is a request line and nothing else.
fn target(line: &str) -> Option<String> {
    let mut parts = line.strip_suffix(" HTTP/1.1\r\n")?.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_method && target.starts_with('/') && parts.next().is_none()).then(|| target.to_owned())
}
