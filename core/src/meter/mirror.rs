//! Copies of a service's requests: how many its shadow has, and what came of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::{Counter, ServiceMeter};
use crate::context::Moment;
use crate::mirror::MirrorResult;

/// How many copies of a service's requests are under way at a time.
pub const MOST: u32 = 64;

/// The figures of a service's mirror.
#[derive(Debug, Default)]
pub struct MirrorMeter {
    under_way: AtomicU32,
    results: [Counter; MirrorResult::ALL.len()],
    /// How often its log tells of differences.
    pub differences: Telling,
    /// How often its log tells of failures.
    pub failures: Telling,
}

impl MirrorMeter {
    /// What came of requests, with how often.
    pub fn results(&self) -> impl Iterator<Item = (MirrorResult, &Counter)> {
        MirrorResult::ALL.into_iter().zip(&self.results)
    }

    fn count(&self, result: MirrorResult) {
        if let Some(counter) = self.results.get(result as usize) {
            counter.inc();
        }
    }
}

/// One copy's place among those of its service. What came of the request is counted when it is dropped.
#[derive(Debug)]
pub struct MirrorPlace {
    meter: Arc<ServiceMeter>,
    /// What came of it so far.
    pub result: MirrorResult,
}

impl MirrorPlace {
    /// Takes a place for a request that has yet to come whole; `None`, and counted: there is none.
    pub fn take(meter: &Arc<ServiceMeter>) -> Option<Self> {
        let mirror = meter.mirror.used();
        let taken = mirror
            .under_way
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < MOST).then_some(count + 1)
            });
        if taken.is_err() {
            mirror.count(MirrorResult::Dropped);
            return None;
        }
        Some(Self {
            meter: meter.clone(),
            result: MirrorResult::Dropped,
        })
    }

    /// The figures that it is counted in.
    pub fn meter(&self) -> &MirrorMeter {
        self.meter.mirror.used()
    }
}

impl Drop for MirrorPlace {
    fn drop(&mut self) {
        let mirror = self.meter.mirror.used();
        mirror.count(self.result);
        mirror.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets one event a second be told, and counts the others.
#[derive(Debug, Default)]
pub struct Telling {
    /// The second of the last one that was told.
    last: AtomicI64,
    untold: AtomicU64,
}

impl Telling {
    /// Whether an event is to be told: then how many were not since the last one that was.
    pub fn tells(&self, now: Moment) -> Option<u64> {
        let second = now.unix_ms.div_euclid(1000);
        if self.last.swap(second, Ordering::Relaxed) == second {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MOST, MirrorPlace, Telling};
    use crate::context::Moment;
    use crate::meter::ServiceMeter;
    use crate::mirror::MirrorResult;

    fn counts(meter: &ServiceMeter) -> Vec<u64> {
        let mirror = meter.mirror.used();
        mirror.results().map(|(_, counter)| counter.get()).collect()
    }

    #[test]
    fn there_are_so_many_places_and_one_that_is_left_can_be_taken() {
        let meter = Arc::new(ServiceMeter::default());
        let mut places: Vec<_> = (0..MOST)
            .map(|_| MirrorPlace::take(&meter).expect("a place"))
            .collect();
        assert!(MirrorPlace::take(&meter).is_none());
        assert_eq!(counts(&meter), [0, 0, 0, 0, 1]);
        let mut left = places.pop().expect("one of them");
        left.result = MirrorResult::Differs;
        drop(left);
        assert_eq!(counts(&meter), [0, 1, 0, 0, 1]);
        places.push(MirrorPlace::take(&meter).expect("the place that was left"));
        drop(places);
        // None of them was ever sent.
        assert_eq!(counts(&meter), [0, 1, 0, 0, 1 + u64::from(MOST)]);
    }

    #[test]
    fn one_a_second_is_told_and_the_next_one_says_how_many_were_not() {
        let telling = Telling::default();
        let tells = |unix_ms| telling.tells(Moment { unix_ms });
        assert_eq!(tells(5_000), Some(0));
        assert_eq!((tells(5_001), tells(5_999)), (None, None));
        assert_eq!(tells(6_000), Some(2));
        assert_eq!(tells(9_000), Some(0));
    }
}
