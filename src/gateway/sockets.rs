//! The sockets of a gateway: all of them are bound before anything else starts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::StartError;
use super::certificates::Certificates;
use crate::config::Process;
use crate::config::admin::AdminConfig;
use crate::proxy::listener::{self, BoundListener, Listener};

/// Those of the admin API, and of probes.
pub(super) struct AdminSockets {
    pub(super) api: Vec<TcpListener>,
    pub(super) probes: Vec<TcpListener>,
}

impl AdminSockets {
    pub(super) fn bind(admin: &AdminConfig) -> Result<Self, StartError> {
        Ok(Self {
            api: bind_all(&admin.addresses)?,
            probes: bind_all(&admin.probes)?,
        })
    }
}

/// Binds every socket that the configuration names.
pub(super) fn bind(process: &Process) -> Result<(Vec<TcpListener>, AdminSockets), StartError> {
    let addresses = process.listeners.iter().map(|listener| listener.address);
    let listeners = bind_all(&addresses.collect::<Vec<_>>())?;
    Ok((listeners, AdminSockets::bind(&process.admin)?))
}

pub(super) fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    let bind =
        |&address| listener::bind(address).map_err(|cause| StartError::Bind { address, cause });
    addresses.iter().map(bind).collect()
}

/// Where sockets are bound.
pub(super) fn addresses(sockets: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    sockets.iter().map(TcpListener::local_addr).collect()
}

/// The address of every listener: none of them is ever an upstream.
pub(super) fn own_addresses(
    sockets: &[TcpListener],
    admin: &AdminSockets,
) -> io::Result<Box<[SocketAddr]>> {
    let all = [sockets, &admin.api, &admin.probes];
    let all = all
        .into_iter()
        .map(addresses)
        .collect::<io::Result<Vec<_>>>()?;
    Ok(all.concat().into())
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
