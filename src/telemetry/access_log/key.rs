//! The key for hashing user IDs where the configuration names none: the gateway makes it once and keeps it in
//! `state_dir`, so that a user has the same hash over restarts. Gateways that should hash alike need a key in their
//! configuration.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rand::Rng as _;

use crate::config::{Logging, UserIdPolicy};
use crate::durable;

const NAME: &str = "hash_key";

/// As long as the digest that the key is for.
const LENGTH: usize = 32;

type Key = [u8; LENGTH];

/// The key of a process. Clones share it.
#[derive(Clone, Debug)]
pub struct OwnKey {
    folder: PathBuf,
    known: Arc<OnceLock<Key>>,
}

impl OwnKey {
    /// The key in a folder. It is read, or made, by the first [`Self::put_in`] that needs it.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            known: Arc::default(),
        }
    }

    /// Puts the key into a logging policy that hashes user IDs and names no key. Reads or writes a small file the first
    /// time.
    pub fn put_in(&self, logging: &mut Logging) {
        if logging.user_id == UserIdPolicy::HashUnderOwnKey {
            let key = self.known.get_or_init(|| read_or_make(&self.folder));
            logging.user_id = UserIdPolicy::Hash(Box::new(*key));
        }
    }
}

fn read_or_make(folder: &Path) -> Key {
    let path = folder.join(NAME);
    let trouble = match fs::read(&path) {
        Ok(bytes) => match Key::try_from(bytes) {
            Ok(key) => return key,
            Err(bytes) => format!("it has {} bytes rather than {LENGTH}", bytes.len()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => error.to_string(),
    };
    let mut key = Key::default();
    rand::rng().fill_bytes(&mut key);
    let file = path.display();
    if !trouble.is_empty() {
        tracing::warn!(%file, trouble, "the key that user IDs are hashed under cannot be read; a new one takes its place");
    }
    if let Err(error) = durable::replace(&path, &key) {
        tracing::warn!(%file, %error, "the key that user IDs are hashed under is not stored: hashes change with the next start");
    }
    key
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{NAME, OwnKey};
    use crate::config::UserIdPolicy;
    use crate::publisher::tests::fixture;

    fn key(folder: &Path) -> UserIdPolicy {
        let mut logging = fixture::config("http://127.0.0.1:81", 1).logging;
        logging.user_id = UserIdPolicy::HashUnderOwnKey;
        OwnKey::in_folder(folder).put_in(&mut logging);
        logging.user_id
    }

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/state");
        let made = key(&state);
        assert!(matches!(&made, UserIdPolicy::Hash(key) if key.len() == 32));
        assert_eq!(key(&state), made);
        let file = state.join(NAME);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
        assert_ne!(key(folder.path()), made, "another gateway's");
    }

    #[test]
    fn a_broken_key_is_replaced_and_one_that_cannot_be_stored_serves() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), b"short").unwrap();
        let made = key(folder.path());
        assert!(matches!(made, UserIdPolicy::Hash(_)));
        assert_eq!(key(folder.path()), made);
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(key(&file.join("below")), UserIdPolicy::Hash(_)));
    }

    #[test]
    fn what_asks_for_another_thing_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut logging = fixture::config("http://127.0.0.1:81", 1).logging;
        logging.user_id = UserIdPolicy::Plain;
        OwnKey::in_folder(folder.path()).put_in(&mut logging);
        assert_eq!(logging.user_id, UserIdPolicy::Plain);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
