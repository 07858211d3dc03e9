//! An upgrade: a new process takes over from the one that runs, and nobody notices.
//!
//! They find each other by a socket in `server.state_dir`, and talk in lines of JSON:
//!
//! | who | says | and then |
//! |---|---|---|
//! | the new one | [`Word::Hello`] | |
//! | the running one | [`Word::Sockets`], with the sockets themselves | serves as before |
//! | the new one | [`Word::Ready`], when it could take traffic | |
//! | the running one | [`Word::Yours`]: it writes nothing any more, and takes no orders | |
//! | the new one | [`Word::Serving`]: it has read what the other has written, and could accept | |
//! | the running one | [`Word::Agreed`]: it accepts nothing any more, and there is no way back | |
//! | the new one | [`Word::Settled`]: it accepts and writes, and the service manager knows it | |
//! | the running one | [`Word::Exposure`], for each that comes of its last requests | drains, and ends |
//!
//! Until it has agreed, the running one goes on as if nothing had happened whatever the new one does or leaves undone: nothing was
//! written meanwhile that it would have to know of. The one that writes has the [lock](writer_lock::WriterLock) of the folder: the
//! running one leaves it to the new one before it says [`Word::Yours`], and writes again only when it has it back.

mod arrival;
mod estate;
mod launcher;
mod line;
pub(super) mod metrics;
mod place;
mod predecessor;
mod successors;
mod writer_lock;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::inherited::Label;
use crate::attribution::document::ExposureDocument;
pub(super) use arrival::Arrival;
use estate::Belongings;
pub(super) use estate::Estate;
pub(super) use launcher::Launcher;
pub use predecessor::UpgradeError;
pub(super) use successors::Successors;

/// The only form of this conversation so far.
const PROTOCOL: u32 = 1;

/// How long a new process may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long either may take for a step that waits for nothing else.
const STEP: Duration = Duration::from_secs(5);

/// Why no process can take over from one of this ID; `None`: one can.
fn irreplaceable(pid: u32) -> Option<String> {
    let why = "process 1 of a container cannot be taken over from, since all others end with it: start another container";
    (pid == 1).then(|| why.to_owned())
}

/// What the two say to each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// Who comes.
    Hello {
        protocol: u32,
        version: String,
        pid: u32,
    },
    /// The sockets that come with this line, in their order, and the version of who says so; with `more`, others follow.
    Sockets {
        version: String,
        sockets: Vec<Label>,
        /// What keys of session tickets are derived from that are in no file.
        secret: [u8; 32],
        more: bool,
    },
    /// The new process could take traffic.
    Ready,
    /// It may have what there is.
    Yours(Box<Belongings>),
    /// It is about to take traffic, on these of the sockets.
    Serving { sockets: Vec<SocketAddr> },
    /// Both know that.
    Agreed,
    /// It is the one that is known now.
    Settled,
    /// Something to be recorded.
    Exposure(Box<ExposureDocument>),
    /// The conversation is over.
    Refused { why: String },
}

#[cfg(test)]
mod tests {
    use super::irreplaceable;

    #[test]
    fn the_first_process_of_a_container_stays() {
        let why = irreplaceable(1).expect("a reason");
        assert!(why.contains("container"), "{why}");
        assert_eq!(irreplaceable(2), None);
    }
}
