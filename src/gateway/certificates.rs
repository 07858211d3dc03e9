//! The certificates of all listeners.

use std::sync::Arc;

use super::StartError;
use crate::certificates::{OwnSecret, Owner, ServerTls, upstream};
use crate::config::Process;
use crate::config::tls::ListenerTls;
use crate::snapshot::store::SnapshotStore;

/// What each listener speaks TLS with.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// The admin API; `None`: plain HTTP.
    pub(super) admin: Option<Arc<ServerTls>>,
    /// The listeners that traffic is taken on, in the configuration's order; `None`: plain HTTP.
    pub(super) listeners: Vec<Option<Arc<ServerTls>>>,
}

impl Certificates {
    /// Reads all files that the configuration names. `own` is for the keys of tickets.
    pub(super) fn open(process: &Process, own: &OwnSecret) -> Result<Self, StartError> {
        let admin = process.admin.tls.clone();
        let admin = admin.map(|tls| open(Owner::Admin, tls, &[b"http/1.1"], own));
        let listeners = process.listeners.iter().map(|listener| {
            let protocols: &[&[u8]] = match listener.http2 {
                true => &[b"h2", b"http/1.1"],
                false => &[b"http/1.1"],
            };
            let owner = Owner::Listener(listener.address);
            let tls = listener.tls.clone();
            tls.map(|tls| open(owner, tls, protocols, own)).transpose()
        });
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            admin: admin.transpose()?,
        })
    }

    /// Those that there are.
    pub(super) fn all(&self) -> Arc<[Arc<ServerTls>]> {
        let listeners = self.listeners.iter().flatten();
        listeners.chain(&self.admin).cloned().collect()
    }

    /// Reads files again when they change, by tasks on the runtime that this is called on.
    pub(super) fn follow(&self, store: &Arc<SnapshotStore>) {
        for tls in self.all().iter() {
            tokio::spawn(tls.clone().follow());
        }
        tokio::spawn(upstream::follow(store.clone()));
    }
}

fn open(
    owner: Owner,
    tls: ListenerTls,
    protocols: &[&[u8]],
    own: &OwnSecret,
) -> Result<Arc<ServerTls>, StartError> {
    ServerTls::open(owner, tls, protocols, own).map_err(|problems| {
        let problems = problems.iter().map(ToString::to_string);
        StartError::Certificates(problems.collect::<Vec<_>>().join("\n"))
    })
}
