//! Listening sockets that this process did not open: those of the process that it takes over from, or those that systemd has opened
//! (socket activation, sd_listen_fds(3)).

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use serde::{Deserialize, Serialize};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// End users' requests.
    Traffic,
    /// The admin API.
    Admin,
    /// Probes and metrics alone.
    Probes,
}

/// What the other process says of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) role: Role,
    /// The address that the configuration has: its port may be 0.
    pub(super) stated: SocketAddr,
}

/// Sockets that wait to be asked for.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<InheritedSocket>,
    /// Where those are bound that were asked for.
    taken: Vec<SocketAddr>,
}

#[derive(Debug)]
struct InheritedSocket {
    /// `None`: systemd has opened it.
    label: Option<Label>,
    bound: SocketAddr,
    socket: TcpListener,
}

impl Inherited {
    /// The sockets that systemd has opened for this process; none, unless it has. To be called before there is any other thread: the
    /// variables that tell of them are removed, so that no child takes them for its own.
    ///
    /// # Errors
    /// When one is not a listening TCP socket.
    pub fn from_service_manager() -> io::Result<Self> {
        let mut opened = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..opened.len() {
            if let Some(socket) = opened.take_tcp_listener(index)? {
                sockets.add(None, socket)?;
            }
        }
        Ok(sockets)
    }

    /// Adds a socket of the process that this one takes over from.
    pub(super) fn add(&mut self, label: Option<Label>, socket: TcpListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.sockets.push(InheritedSocket {
            label,
            bound: socket.local_addr()?,
            socket,
        });
        Ok(())
    }

    /// The socket for an address of the configuration, if there is one.
    pub(super) fn take(&mut self, role: Role, stated: SocketAddr) -> Option<TcpListener> {
        let wanted = Label { role, stated };
        let found = self.sockets.iter().position(|socket| socket.is_for(wanted));
        let InheritedSocket { bound, socket, .. } = self.sockets.remove(found?);
        self.taken.push(bound);
        Some(socket)
    }

    /// Where those are bound that were asked for.
    pub(super) fn taken(&self) -> &[SocketAddr] {
        &self.taken
    }

    /// Closes those that nobody has asked for, and says so: the configuration has no listener there.
    pub(super) fn close_others(&mut self) {
        for InheritedSocket { bound, label, .. } in self.sockets.drain(..) {
            match label {
                None => tracing::warn!(
                    address = %bound,
                    "systemd has opened a socket that the configuration has no listener for"
                ),
                Some(_) => tracing::info!(
                    address = %bound,
                    "the configuration has no listener there any more"
                ),
            }
        }
    }
}

impl InheritedSocket {
    /// Where the configuration leaves the port open, the socket that was opened for the same words; else the one that is bound there,
    /// whatever it was for.
    fn is_for(&self, wanted: Label) -> bool {
        let stated = wanted.stated;
        if stated.port() == 0 {
            return self.label == Some(wanted);
        }
        // `ListenStream=8080` is `[::]:8080`, which takes IPv4 as well.
        let is_any = |address: SocketAddr| address.ip().is_unspecified();
        let is_everywhere = self.label.is_none() && is_any(stated) && is_any(self.bound);
        self.bound == stated || is_everywhere && self.bound.port() == stated.port()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::{Inherited, Label, Role};

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// A socket that is bound somewhere on this machine, and where.
    fn bound(at: &str) -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind(at).expect("a socket");
        let address = socket.local_addr().expect("an address");
        (socket, address)
    }

    #[test]
    fn a_socket_is_found_by_its_address_and_an_open_port_by_what_was_said_of_it() {
        let any = address("127.0.0.1:0");
        let mut inherited = Inherited::default();
        let ((first, at), (second, there)) = (bound("127.0.0.1:0"), bound("127.0.0.1:0"));
        let label = |role| Some(Label { role, stated: any });
        inherited.add(label(Role::Traffic), first).unwrap();
        inherited.add(label(Role::Admin), second).unwrap();
        assert!(inherited.take(Role::Probes, any).is_none());
        let admin = inherited.take(Role::Admin, any).expect("the second");
        assert_eq!(admin.local_addr().unwrap(), there);
        assert!(inherited.take(Role::Admin, any).is_none(), "it is taken");
        // The file has the port now that was free before.
        let traffic = inherited.take(Role::Traffic, at).expect("the first");
        assert_eq!(traffic.local_addr().unwrap(), at);
        assert_eq!(inherited.taken(), [there, at]);
    }

    #[test]
    fn what_systemd_opens_for_every_address_is_for_all_of_ipv4_too() {
        let (socket, at) = bound("[::]:0");
        let everywhere = SocketAddr::new(address("0.0.0.0:1").ip(), at.port());
        let loopback = SocketAddr::new(address("127.0.0.1:1").ip(), at.port());
        let mut opened = Inherited::default();
        opened
            .add(None, socket.try_clone().expect("a socket"))
            .unwrap();
        assert!(opened.take(Role::Traffic, loopback).is_none());
        assert!(opened.take(Role::Traffic, everywhere).is_some());
        // A file that says IPv4 now is not given IPv6 as well.
        let stated = at;
        let role = Role::Traffic;
        let mut handed_over = Inherited::default();
        handed_over
            .add(Some(Label { role, stated }), socket)
            .unwrap();
        assert!(handed_over.take(role, everywhere).is_none());
    }
}
