//! How clients used the flags that the gateway hands out in a server's place. The server gets it together with what the
//! gateway itself counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::meter_reader::Uses;

/// So many flags of a source are remembered at most while its server cannot be reached.
const MOST: usize = 20_000;

/// How clients used flags, by source and flag, until it is reported to their server.
#[derive(Debug, Default)]
pub struct ClientUses(Mutex<UsesBySource>);

/// By source, then by flag.
type UsesBySource = HashMap<Arc<str>, BTreeMap<Arc<str>, Uses>>;

/// How a client used a flag.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    /// How often it was on.
    pub yes: u64,
    /// How often it was off.
    pub no: u64,
    /// How often a variant was asked for, and which was had.
    pub variants: BTreeMap<Arc<str>, u64>,
    /// How often a variant was asked for, and none was had.
    pub without: u64,
}

impl ClientUses {
    /// Adds what a client reports. Names are to be the snapshot's: a client's own would never end.
    pub fn add(&self, source: &Arc<str>, flag: &Arc<str>, reported: Reported) {
        let mut sources = self.lock();
        let flags = sources.entry(source.clone()).or_default();
        if flags.len() >= MOST && !flags.contains_key(flag) {
            return;
        }
        let asked = reported.variants.values().sum::<u64>() + reported.without;
        flags.entry(flag.clone()).or_default().add(Uses {
            yes: reported.yes,
            no: reported.no,
            has_variants: asked > 0,
            plain: (reported.yes + reported.no).saturating_sub(asked),
            variants: reported.variants,
        });
    }

    /// Takes out what is to be reported to a server.
    pub(super) fn take(&self, source: &str) -> BTreeMap<Arc<str>, Uses> {
        self.lock().remove(source).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, UsesBySource> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientUses, Reported};

    #[test]
    fn reports_add_up_until_they_are_taken() {
        let uses = ClientUses::default();
        let (source, flag) = ("unleash".into(), "search.v2".into());
        let reported = Reported {
            yes: 3,
            no: 1,
            variants: [("canary".into(), 2)].into(),
            without: 1,
        };
        uses.add(&source, &flag, reported.clone());
        uses.add(&source, &flag, reported);
        let taken = uses.take("unleash");
        let sum = &taken["search.v2"];
        assert_eq!((sum.yes, sum.no, sum.plain), (6, 2, 2));
        assert_eq!(sum.variants["canary"], 4);
        assert!(uses.take("unleash").is_empty());
    }
}
