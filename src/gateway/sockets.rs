//! The sockets of a gateway: all of them are bound before anything else starts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::StartError;
use super::certificates::Certificates;
use super::inherited::{Inherited, Label, Role};
use crate::config::Process;
use crate::proxy::listener::{self, BoundListener, Listener};

/// Those of the admin API, and of probes.
pub(super) struct AdminSockets {
    pub(super) api: Vec<TcpListener>,
    pub(super) probes: Vec<TcpListener>,
}

/// Every socket of the configuration, in its order.
pub(super) struct Sockets {
    pub(super) traffic: Vec<TcpListener>,
    pub(super) admin: AdminSockets,
}

impl Sockets {
    /// Takes what is inherited, and binds the others.
    pub(super) fn open(process: &Process, inherited: &mut Inherited) -> Result<Self, StartError> {
        let mut open = |role, addresses: &[SocketAddr]| -> Result<Vec<TcpListener>, StartError> {
            let socket = |&address| match inherited.take(role, address) {
                Some(socket) => Ok(socket),
                None => bind(address),
            };
            addresses.iter().map(socket).collect()
        };
        let listeners = process.listeners.iter().map(|listener| listener.address);
        let sockets = Self {
            traffic: open(Role::Traffic, &listeners.collect::<Vec<_>>())?,
            admin: AdminSockets {
                api: open(Role::Admin, &process.admin.addresses)?,
                probes: open(Role::Probes, &process.admin.probes)?,
            },
        };
        inherited.close_others();
        Ok(sockets)
    }

    /// A second handle on each socket, to be handed over one day.
    pub(super) fn second(&self, process: &Process) -> io::Result<Vec<(Label, TcpListener)>> {
        let (traffic, admin) = (&process.listeners, &process.admin);
        let traffic = traffic.iter().map(|listener| listener.address);
        let traffic = traffic.map(|stated| (Role::Traffic, stated));
        let api = admin.addresses.iter().map(|&stated| (Role::Admin, stated));
        let probes = admin.probes.iter().map(|&stated| (Role::Probes, stated));
        let labels = traffic.chain(api).chain(probes);
        let sockets = [&self.traffic, &self.admin.api, &self.admin.probes];
        let both = labels.zip(sockets.into_iter().flatten());
        both.map(|((role, stated), socket)| Ok((Label { role, stated }, socket.try_clone()?)))
            .collect()
    }

    /// The address of every listener: none of them is ever an upstream.
    pub(super) fn own_addresses(&self) -> io::Result<Box<[SocketAddr]>> {
        let all = [&self.traffic, &self.admin.api, &self.admin.probes];
        let all = all.into_iter().map(|sockets| addresses(sockets));
        let all = all.collect::<io::Result<Vec<_>>>()?;
        Ok(all.concat().into())
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    listener::bind(address).map_err(|cause| StartError::Bind { address, cause })
}

/// Where sockets are bound.
pub(super) fn addresses(sockets: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    sockets.iter().map(TcpListener::local_addr).collect()
}

/// Gives sockets that are bound in the configuration's order what the configuration says of them.
pub(super) fn identified(
    process: &Process,
    sockets: Vec<TcpListener>,
    certificates: &Certificates,
) -> io::Result<Vec<BoundListener>> {
    let stated = process.listeners.iter().zip(&certificates.listeners);
    let all = sockets.into_iter().zip(stated);
    all.map(|(socket, (config, tls))| {
        let listener = Arc::new(Listener {
            tls: tls.clone(),
            proxy_protocol: config.proxy_protocol,
            http2: config.http2,
            ..Listener::plain(socket.local_addr()?)
        });
        Ok(BoundListener { listener, socket })
    })
    .collect()
}

/// The configuration may have left the ports open.
pub(super) fn tell(kind: &str, addresses: &[SocketAddr]) {
    for address in addresses {
        tracing::info!(kind, %address, "listening");
    }
}
