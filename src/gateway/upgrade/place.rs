//! Where two processes find each other: a socket in `server.state_dir`.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::durable;

/// The socket's name.
const NAME: &str = "upgrade.sock";
/// The system takes paths of sockets of up to 107 bytes.
const LONGEST: usize = 100;

/// A socket that others find.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// Asks the process that is there.
pub(super) fn connect(state_dir: &Path) -> io::Result<UnixStream> {
    reached(state_dir, NAME, |path| UnixStream::connect(path))
}

impl Place {
    /// Makes the socket, in place of one that another process has left behind or leaves to this one.
    pub(super) fn make(state_dir: &Path) -> io::Result<Self> {
        durable::make_folder(state_dir)?;
        // Nobody finds it before it may be reached by this user alone.
        let beside = format!("{NAME}.{}", std::process::id());
        let path = state_dir.join(&beside);
        if let Err(error) = fs::remove_file(&path)
            && !durable::is_absence(&error)
        {
            return Err(error);
        }
        let listener = reached(state_dir, &beside, |path| UnixListener::bind(path))?;
        fs::set_permissions(&path, Permissions::from_mode(durable::FILE_MODE))?;
        let inode = fs::metadata(&path)?.ino();
        let named = state_dir.join(NAME);
        fs::rename(&path, &named)?;
        Ok(Self {
            listener,
            path: named,
            inode,
        })
    }

    /// Removes the socket, unless it is another process's by now.
    pub(super) fn remove(&self) {
        let is_own = |found: fs::Metadata| found.ino() == self.inode;
        if fs::metadata(&self.path).is_ok_and(is_own) {
            // What is left behind is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Does something with a socket's path, which the system wants to be short.
fn reached<T>(
    folder: &Path,
    name: &str,
    act: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let path = folder.join(name);
    if path.as_os_str().len() <= LONGEST {
        return act(&path);
    }
    let folder = File::open(folder)?;
    let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    act(Path::new(&short))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Place, connect};

    #[test]
    fn the_socket_is_found_in_any_folder_and_by_its_own_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        for state in ["state", &"deep/".repeat(40)] {
            let state = folder.path().join(state);
            assert!(connect(&state).is_err());
            let place = Place::make(&state).unwrap();
            let mode = fs::metadata(&place.path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            connect(&state).unwrap();
            // Another process takes its place.
            let next = Place::make(&state).unwrap();
            place.remove();
            connect(&state).unwrap();
            assert!(next.listener.accept().is_ok());
            next.remove();
            assert!(connect(&state).is_err());
            assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
        }
    }
}
