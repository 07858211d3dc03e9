//! The order that gateways agree on: since when each flag runs, in the store that they share. Of several that see a flag run the one that
//! is first to say so is right. Until that is known here, or while the store is away, each goes by what it has seen itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock;
use crate::publisher::PublisherHandle;
use crate::snapshot::seniority::{Seniority, Since};
use crate::state::{Expected, Kind, StateStore, StoreError, Write};

/// The member of a record: microseconds since 1970.
const SINCE: &str = "since_unix_us";
/// When it is tried again to say what could not be said.
const RETRY: Duration = Duration::from_secs(10);
/// How many flags are told of together.
const PIECE: usize = 500;

/// What gateways have agreed on so far.
pub(super) fn read(store: &StateStore) -> Since {
    let mut since = Since::new();
    store.each(Kind::Seniority, |key, record| {
        // What is none of these may be a later version's.
        if let Some((service, flag)) = key.split_once('/')
            && let Some(moment) = record.get(SINCE).and_then(Value::as_u64)
        {
            let flags = since.entry(service.into()).or_default();
            flags.insert(flag.into(), moment);
        }
    });
    since
}

/// Tells other gateways which flags this one has seen run, and has snapshots follow what they tell, until the process ends.
pub async fn share(
    store: StateStore,
    publisher: PublisherHandle,
    mut seen: watch::Receiver<Seniority>,
) {
    let mut told = store.subscribe(Kind::Seniority);
    let mut before = Seniority::default();
    loop {
        let latest = seen.borrow_and_update().clone();
        let is_told = match tell(&store, &before, &latest).await {
            Ok(()) => {
                before = latest;
                true
            }
            Err(error) => {
                tracing::debug!(%error, "which canary flags ran first cannot be shared yet");
                false
            }
        };
        if let Err(error) = publisher.publish_order().await {
            tracing::error!(
                "the order of canaries that gateways agreed on is not in force: {error}"
            );
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            Ok(()) = told.changed() => {}
            () = sleep(RETRY), if !is_told => {}
        }
    }
}

/// Says since when flags run of which nobody has said so, and that those do not which are in no source any more.
async fn tell(
    store: &StateStore,
    before: &Seniority,
    latest: &Seniority,
) -> Result<(), StoreError> {
    let since = read(store);
    let mut moment = u64::try_from(clock::now().unix_ms).unwrap_or_default() * 1000;
    let new = latest.lacking_in(&since).map(|(service, flag)| {
        // In the order in which they began here.
        moment += 1;
        Write::Put {
            key: key(service, flag),
            value: json!({ SINCE: moment }),
            expected: Expected::Absent,
        }
    });
    let mut writes: Vec<Write> = new.collect();
    for (service, flags) in before.services() {
        let remaining: BTreeSet<&Arc<str>> = latest.of(service).iter().collect();
        let gone = flags.iter().filter(|flag| !remaining.contains(flag));
        writes.extend(gone.map(|flag| Write::Remove {
            key: key(service, flag),
            expected: Expected::Any,
        }));
    }
    for piece in writes.chunks(PIECE) {
        match store.write(Kind::Seniority, piece.to_vec()).await {
            Ok(_) => {}
            // Another gateway was faster with one of them.
            Err(StoreError::Changed(_)) => one_by_one(store, piece).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn one_by_one(store: &StateStore, writes: &[Write]) -> Result<(), StoreError> {
    for write in writes {
        match store.write(Kind::Seniority, vec![write.clone()]).await {
            // Somebody else has said it first.
            Ok(_) | Err(StoreError::Changed(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn key(service: &Arc<str>, flag: &Arc<str>) -> String {
    format!("{service}/{flag}")
}
