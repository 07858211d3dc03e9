//! What a connection begins with: HTTP/2's preface, anything else, or nothing.

use std::io;

use pingora::protocols::l4::stream::Stream as L4Stream;
use tokio::io::AsyncReadExt as _;

/// What a client with prior knowledge of HTTP/2 sends first (RFC 9113, section 3.4).
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// HTTP/1, or something that its parser will refuse.
    Http1,
    /// HTTP/2's preface.
    Http2,
    /// The client has closed without a word.
    Nothing,
}

impl Opening {
    /// Waits for the first octets, and puts them back. No more of them are waited for than it takes to tell: pingora
    /// would wait for the length of the whole preface, and a request can be shorter.
    pub(super) async fn of(stream: &mut L4Stream) -> io::Result<Self> {
        let mut octets = [0; H2_PREFACE.len()];
        let mut length = 0;
        while length < octets.len() && H2_PREFACE.starts_with(&octets[..length]) {
            match stream.read(&mut octets[length..]).await? {
                0 => break,
                count => length += count,
            }
        }
        stream.rewind(&octets[..length]);
        Ok(match &octets[..length] {
            [] => Self::Nothing,
            seen if seen == H2_PREFACE => Self::Http2,
            _ => Self::Http1,
        })
    }
}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4::stream::Stream as L4Stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::{H2_PREFACE, Opening};

    async fn pair() -> (TcpStream, L4Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        (client, L4Stream::from(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn a_short_request_is_told_from_the_preface_and_read_again() {
        for (octets, expected) in [
            (&b"G"[..], Opening::Http1),
            (b"GET / HTTP/1.0\r\n\r\n", Opening::Http1),
            (b"PRINT /a HTTP/1.1\r\n", Opening::Http1),
            (H2_PREFACE, Opening::Http2),
        ] {
            let (mut client, mut stream) = pair().await;
            client.write_all(octets).await.unwrap();
            assert_eq!(Opening::of(&mut stream).await.unwrap(), expected);
            let mut again = vec![0; octets.len()];
            stream.read_exact(&mut again).await.unwrap();
            assert_eq!(again, octets);
        }
    }

    #[tokio::test]
    async fn a_preface_in_pieces_is_waited_for() {
        let (mut client, mut stream) = pair().await;
        let opening = tokio::spawn(async move { Opening::of(&mut stream).await.unwrap() });
        for piece in H2_PREFACE.chunks(5) {
            client.write_all(piece).await.unwrap();
            client.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(opening.await.unwrap(), Opening::Http2);
    }

    #[tokio::test]
    async fn what_ends_before_it_can_be_told_is_left_to_the_parser() {
        let (client, mut stream) = pair().await;
        drop(client);
        assert_eq!(Opening::of(&mut stream).await.unwrap(), Opening::Nothing);
        let (mut client, mut stream) = pair().await;
        client.write_all(b"PRI * ").await.unwrap();
        drop(client);
        assert_eq!(Opening::of(&mut stream).await.unwrap(), Opening::Http1);
    }
}
