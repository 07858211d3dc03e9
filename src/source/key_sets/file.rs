//! Keys in a file, which is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::{fail, take};
use crate::durable::read_small;
use crate::tokens::keys;
use crate::tokens::store::KeyStore;

/// How often the file is looked at. Notifications of changes do not come from every file system, and reading some kilobytes
/// costs next to nothing.
const LOOK: Duration = Duration::from_secs(1);

/// Reads the file for the first time.
pub(super) fn read_first(path: &Path, store: &KeyStore) {
    judge(store, read(path));
}

/// Reads the file again whenever it has changed, for as long as anybody needs its keys.
pub(super) async fn follow(path: PathBuf, store: Weak<KeyStore>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut judged) = (None, None);
    while store.strong_count() > 0 {
        ticks.tick().await;
        let file = path.clone();
        // A file system that hangs keeps a thread, and nobody else.
        let Ok(content) = spawn_blocking(move || read(&file)).await else {
            continue;
        };
        let Some(store) = store.upgrade() else {
            return;
        };
        // It is not judged while it is being written: when it is the same at the look after.
        let is_settled = last.replace(content.clone()).as_ref() == Some(&content);
        if is_settled && judged.as_ref() != Some(&content) {
            judged = Some(content.clone());
            judge(&store, content);
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    read_small(path).map_err(|error| format!("it cannot be read: {error}"))
}

fn judge(store: &KeyStore, content: Result<Vec<u8>, String>) {
    let taken = content.and_then(|content| take(store, keys::read(&content)));
    if let Err(trouble) = taken {
        fail(store, &trouble);
    }
}
