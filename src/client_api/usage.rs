//! What clients report: who they are, and how they used flags.

use std::collections::HashMap;

use http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::reply::Reply;
use crate::engine::Flag;
use crate::snapshot::Snapshot;
use crate::source::unleash::{ClientUses, Reported};

/// More than one report can truly hold: a broken or hostile client's number does not spoil the sum.
const MOST: u64 = 1_000_000_000;

/// The body of `POST …/client/metrics`, as far as it matters.
#[derive(Deserialize)]
struct Report {
    bucket: Option<ReportBucket>,
}

#[derive(Deserialize)]
struct ReportBucket {
    toggles: Option<HashMap<String, Counts>>,
}

#[derive(Deserialize)]
struct Counts {
    yes: Option<u64>,
    no: Option<u64>,
    variants: Option<HashMap<String, u64>>,
}

/// Takes a registration in. It is counted, and that is all: the flag server knows of the gateway alone.
pub(super) fn register(body: &[u8]) -> Reply {
    match serde_json::from_slice::<HashMap<String, IgnoredAny>>(body) {
        Ok(_) => Reply::empty(StatusCode::ACCEPTED),
        Err(_) => misread(),
    }
}

/// Adds a report to what flag servers will be told.
pub(super) fn report(snapshot: &Snapshot, uses: &ClientUses, body: &[u8]) -> Reply {
    let Ok(report) = serde_json::from_slice::<Report>(body) else {
        return misread();
    };
    let toggles = report.bucket.and_then(|bucket| bucket.toggles);
    for (name, counts) in toggles.unwrap_or_default() {
        if let Some(flag) = find(snapshot, &name)
            && let Some(source) = flag.origin.unleash_server()
        {
            uses.add(source, &flag.name, counts.of(flag));
        }
    }
    Reply::empty(StatusCode::ACCEPTED)
}

impl Counts {
    fn of(self, flag: &Flag) -> Reported {
        let mut reported = Reported {
            yes: self.yes.unwrap_or_default().min(MOST),
            no: self.no.unwrap_or_default().min(MOST),
            ..Reported::default()
        };
        for (name, count) in self.variants.unwrap_or_default() {
            let count = count.min(MOST);
            let mut variants = flag.every_variant();
            match variants.find(|variant| *variant.name == *name) {
                Some(variant) => {
                    reported.variants.insert(variant.name.clone(), count);
                }
                None if name == "disabled" => reported.without = count,
                None => {}
            }
        }
        reported
    }
}

fn find<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s Flag> {
    let flags = &snapshot.flags;
    let place = flags.binary_search_by(|flag| (*flag.name).cmp(name)).ok()?;
    flags.get(place).map(|flag| &**flag)
}

fn misread() -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, "the body is not what it should be")
}
