//! Copies the last good flags of a source to what gateways share: a gateway that has nothing on its disk starts from them.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::stored::{self, RENEW, StoredSet};
use crate::state::{SharedText, SharedTexts, TextFailure};

/// Larger ones stand on disks alone: Redis has its data in memory.
const MAX_BYTES: usize = 16 << 20;
/// When a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Copies whatever comes, the latest of what has waited.
pub(super) async fn copy_all(
    texts: SharedTexts,
    mut inbox: watch::Receiver<Option<Arc<StoredSet>>>,
) {
    let mut is_failing = false;
    inbox.mark_changed();
    while inbox.changed().await.is_ok() {
        loop {
            let Some(latest) = inbox.borrow_and_update().clone() else {
                break;
            };
            let source = latest.source.clone();
            match copy(&texts, latest).await {
                Ok(()) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!(%source, "flags are stored in Redis again");
                    }
                    break;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%source, "flags cannot be stored in Redis: {error}; they are on the disk");
                    }
                }
            }
            tokio::select! {
                () = sleep_until(Instant::now() + RETRY) => {}
                more = inbox.changed() => if more.is_err() { return },
            }
        }
    }
}

async fn copy(texts: &SharedTexts, latest: Arc<StoredSet>) -> Result<(), TextFailure> {
    let encoding = latest.clone();
    let encoded = tokio::task::spawn_blocking(move || {
        let text = stored::encode(&encoding);
        // What is confirmed again is the same, although its text has another moment in it.
        let mut digest = Sha256::new();
        digest.update(&*encoding.url);
        digest.update(encoding.set.to_json());
        let digest = crate::digest::Digest(digest.finalize().into());
        (text, digest.to_string())
    });
    // An error here is a panic, which has been logged.
    let Ok((text, digest)) = encoded.await else {
        return Ok(());
    };
    if text.len() > MAX_BYTES {
        tracing::warn!(source = %latest.source, bytes = text.len(), "these flags are too large for Redis: they are on the disk alone");
        return Ok(());
    }
    let text = SharedText {
        name: &latest.source,
        text: &text,
        digest: &digest,
        at_unix_ms: latest.confirmed.unix_ms,
        lasts: RENEW,
    };
    texts.write(text).await
}
