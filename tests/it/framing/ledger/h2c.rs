//! HTTP/2 in the clear. The library is as strict as the standard; what it complains of is a stray.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::net::TcpStream;

use super::{Entry, Kind, Ledger, Temper, is_put_off};

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, ledger: Ledger, temper: Temper) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(accepted) = connection.accept().await {
        match accepted {
            Ok((request, respond)) => {
                tokio::spawn(exchange(request, respond, ledger.clone(), temper));
            }
            // How the client ends a connection is its affair.
            Err(error) if error.is_library() => {
                return ledger.enter(Entry::Stray(error.to_string()));
            }
            Err(_) => return,
        }
    }
}

async fn exchange(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    ledger: Ledger,
    temper: Temper,
) {
    let (head, body) = request.into_parts();
    let target = head.uri.path().to_owned();
    let body = match collect(body).await {
        Ok(body) => body,
        Err(error) if error.is_library() => {
            return ledger.enter(Entry::Stray(format!("{error} in {target}")));
        }
        Err(_) => return ledger.enter(Entry::Cut(target)),
    };
    let first = ledger.enter_request(&target, body);
    if let Err(error) = answer(respond, &target, first, temper)
        && error.reason() != Some(Reason::CANCEL)
    {
        ledger.enter(Entry::Stray(format!("{error} in the answer for {target}")));
    }
}

async fn collect(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    body.trailers().await?;
    Ok(all)
}

fn answer(
    mut respond: SendResponse<Bytes>,
    target: &str,
    first: bool,
    temper: Temper,
) -> Result<(), h2::Error> {
    let head = |status: u16| Response::builder().status(status);
    let whole = |response: http::response::Builder| response.body(()).expect("a response");
    if temper == Temper::Busy {
        respond.send_response(whole(head(503)), true)?;
        return Ok(());
    }
    if is_put_off(target, first) {
        let head = head(200)
            .header("content-type", "application/grpc")
            .header("grpc-status", "14");
        respond.send_response(whole(head), true)?;
        return Ok(());
    }
    let kind = Kind::of(target);
    if kind == Kind::Interim {
        respond.send_informational(whole(head(103).header("link", "</a>")))?;
    }
    let mut response = head(kind.status());
    if !matches!(kind, Kind::Chunked | Kind::UntilClose | Kind::NoContent) {
        response = response.header("content-length", target.len());
    }
    let mut body = respond.send_response(whole(response), !kind.has_body())?;
    if kind.has_body() {
        body.send_data(Bytes::copy_from_slice(target.as_bytes()), true)?;
    }
    Ok(())
}
