//! The socket of a connection that pingora owns: what the kernel knows of it, and how it is shut down.

use std::os::fd::RawFd;
use std::sync::{Arc, Weak};

use nix::sys::socket::{Shutdown, shutdown};
use pingora::protocols::{Digest, SocketDigest};

use crate::proxy::deadlines::ConnectionAddrs;
use crate::proxy::transfer::{OpenSocket, Sent};

/// The socket of a connection to an upstream.
#[derive(Clone, Debug)]
pub(super) struct UpstreamSocket {
    pub(super) number: RawFd,
    /// pingora's stream owns it: gone means closed.
    pub(super) connection: Weak<SocketDigest>,
    /// What tells it from a later one with the same number, where it may be closed without our doing.
    pub(super) addrs: Option<ConnectionAddrs>,
}

impl UpstreamSocket {
    /// Of a connection that pingora tells of.
    pub(super) fn of(
        number: RawFd,
        digest: Option<&Digest>,
        addrs: Option<ConnectionAddrs>,
    ) -> Self {
        let digest = digest.and_then(|digest| digest.socket_digest.as_ref());
        Self {
            number,
            connection: digest.map(Arc::downgrade).unwrap_or_default(),
            addrs,
        }
    }

    /// Shuts a part of it down, if it is still open.
    pub(super) fn shut_down(&self, part: Shutdown) {
        let is_open = self.connection.strong_count() > 0;
        if is_open && self.addrs.is_none_or(|addrs| addrs.are_of(self.number)) {
            // An error is a socket that its peer has already reset.
            let _ = shutdown(self.number, part);
        }
    }
}

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
