//! What the kernel knows of a connection that pingora owns.

use std::sync::{Arc, Weak};

use pingora::protocols::SocketDigest;

use crate::proxy::transfer::{OpenSocket, Sent};

impl OpenSocket for SocketDigest {
    fn sent(&self) -> Option<Sent> {
        let info = self.tcp_info()?;
        Some(Sent {
            waiting: info.tcpi_notsent_bytes > 0 || info.tcpi_unacked > 0,
            acknowledged: info.tcpi_bytes_acked,
        })
    }
}

/// The socket of a connection that pingora's stream owns: gone means closed.
pub(super) fn watch(digest: &Arc<SocketDigest>) -> Weak<dyn OpenSocket> {
    let digest: Weak<SocketDigest> = Arc::downgrade(digest);
    digest
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use pingora::protocols::SocketDigest;

    use super::watch;
    use crate::proxy::transfer::{Awaited, Lateness, RequestTransfer};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_kernel_knows_how_far_the_other_end_has_come() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut near = TcpStream::connect(address).expect("a connection");
        let (mut far, _) = listener.accept().expect("a connection");
        let digest = Arc::new(SocketDigest::from_raw_fd(near.as_raw_fd()));
        let now = Instant::now();
        let mut transfer =
            RequestTransfer::begin(Some(watch(&digest)), SECOND, Some(now + 9 * SECOND));
        near.set_nonblocking(true).expect("an open socket");
        let chunk = vec![0; 1 << 20];
        let mut written = 0;
        while let Ok(count) = near.write(&chunk) {
            written += count;
        }
        assert_eq!(transfer.look(now), Lateness::NotYet(now + SECOND));
        // The kernels may be at it for a moment; then nothing moves any more.
        while transfer.look(now) != Lateness::Late(Awaited::Other) {}
        let mut left = vec![0; written];
        far.read_exact(&mut left).expect("all of it");
        let all_taken = Lateness::NotYet(now + 9 * SECOND);
        while transfer.look(now) != all_taken {}
        drop(digest);
        assert_eq!(transfer.look(now), all_taken, "the client may be awaited");
    }
}
