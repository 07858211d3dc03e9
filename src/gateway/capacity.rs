//! How many files the process may open: the gateway raises the bound as far as the system allows, and warns where
//! that does not suffice.

use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::watch;

use crate::capacity::OpenFiles;
use crate::proxy::metrics::ConnectionFigures;
use crate::snapshot::capacity::shortfalls;
use crate::snapshot::store::SnapshotStore;

/// Raises the soft bound on open files to the hard one. What was found stays where that is refused.
pub(super) fn raise() -> OpenFiles {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return OpenFiles::default();
    };
    let raised = soft >= hard || setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let number = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
    OpenFiles {
        found: number(soft),
        limit: number(if raised { hard } else { soft }),
    }
}

/// Logs how the files are shared out, and then warns of every snapshot that asks for more than there are.
pub(super) async fn warn(
    store: Arc<SnapshotStore>,
    connections: Arc<ConnectionFigures>,
    mut generation: watch::Receiver<u64>,
) {
    let files = connections.files;
    let mut told = Vec::new();
    let mut shared_out = None;
    loop {
        generation.mark_unchanged();
        {
            let snapshot = store.peek();
            let shares = connections.shares(snapshot.traffic.connections);
            if shared_out.replace(shares) != Some(shares) {
                tracing::info!(
                    found = files.found,
                    limit = files.limit,
                    reserve = shares.reserve,
                    connections = shares.clients,
                    upstream_connections = shares.upstreams,
                    "open files"
                );
            }
            let short = shortfalls(&snapshot, files);
            for shortfall in short.iter().filter(|short| !told.contains(*short)) {
                tracing::warn!("{shortfall}");
            }
            told = short;
        }
        if generation.changed().await.is_err() {
            return;
        }
    }
}
