//! Copies of a service's requests: how many its shadow has, and what came of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::{Counter, ServiceMeter};
use crate::context::Moment;
use crate::mirror::MirrorResult;

/// How many copies of a service's requests are under way at a time.
pub const MOST: u32 = 64;
/// How many more wait for their bodies.
pub const MOST_WAITING: u32 = 64;

/// The figures of a service's mirror.
#[derive(Debug, Default)]
pub struct MirrorMeter {
    under_way: AtomicU32,
    waiting: AtomicU32,
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

    fn count_of(&self, stage: Stage) -> (&AtomicU32, u32) {
        match stage {
            Stage::Waiting => (&self.waiting, MOST_WAITING),
            Stage::UnderWay => (&self.under_way, MOST),
        }
    }

    /// Takes one of the places of this stage. Whether there was any.
    fn take(&self, stage: Stage) -> bool {
        let (count, most) = self.count_of(stage);
        let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < most).then_some(count + 1)
        });
        taken.is_ok()
    }

    fn leave(&self, stage: Stage) {
        self.count_of(stage).0.fetch_sub(1, Ordering::Relaxed);
    }

    fn count(&self, result: MirrorResult) {
        if let Some(counter) = self.results.get(result as usize) {
            counter.inc();
        }
    }
}

/// Where a copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its body has yet to come whole, at its client's pace.
    Waiting,
    /// It is whole.
    UnderWay,
}

/// One copy's place among those of its service. What came of the request is counted when it is dropped.
#[derive(Debug)]
pub struct MirrorPlace {
    meter: Arc<ServiceMeter>,
    stage: Stage,
    /// What came of it so far.
    pub result: MirrorResult,
}

impl MirrorPlace {
    /// Takes a place for a request, which has a body that has yet to come or none; `None`, and counted: there is none.
    pub fn take(meter: &Arc<ServiceMeter>, has_body: bool) -> Option<Self> {
        let mirror = meter.mirror.used();
        let stage = match has_body {
            true => Stage::Waiting,
            false => Stage::UnderWay,
        };
        if !mirror.take(stage) {
            mirror.count(MirrorResult::Dropped);
            return None;
        }
        Some(Self {
            meter: meter.clone(),
            stage,
            result: MirrorResult::Dropped,
        })
    }

    /// The request is whole: its copy takes a place among those under way. Whether there is any.
    #[must_use]
    pub fn set_out(&mut self) -> bool {
        let mirror = self.meter.mirror.used();
        if self.stage == Stage::UnderWay {
            return true;
        }
        let taken = mirror.take(Stage::UnderWay);
        if taken {
            mirror.leave(self.stage);
            self.stage = Stage::UnderWay;
        }
        taken
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
        mirror.leave(self.stage);
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

    use super::{MOST, MOST_WAITING, MirrorPlace, Telling};
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
            .map(|_| MirrorPlace::take(&meter, false).expect("a place"))
            .collect();
        assert!(MirrorPlace::take(&meter, false).is_none());
        assert_eq!(counts(&meter), [0, 0, 0, 0, 1]);
        let mut left = places.pop().expect("one of them");
        left.result = MirrorResult::Differs;
        drop(left);
        assert_eq!(counts(&meter), [0, 1, 0, 0, 1]);
        places.push(MirrorPlace::take(&meter, false).expect("the place that was left"));
        drop(places);
        // None of them was ever sent.
        assert_eq!(counts(&meter), [0, 1, 0, 0, 1 + u64::from(MOST)]);
    }

    #[test]
    fn those_that_wait_for_their_bodies_take_no_place_of_those_that_are_whole() {
        let meter = Arc::new(ServiceMeter::default());
        let mut waiting: Vec<_> = (0..MOST_WAITING)
            .map(|_| MirrorPlace::take(&meter, true).expect("a place"))
            .collect();
        assert!(MirrorPlace::take(&meter, true).is_none());
        let mut whole: Vec<_> = (0..MOST)
            .map(|_| MirrorPlace::take(&meter, false).expect("a place"))
            .collect();
        assert!(whole[0].set_out(), "it is under way already");
        assert!(!waiting[0].set_out(), "all places are taken");
        whole.pop();
        assert!(waiting[0].set_out());
        waiting.push(MirrorPlace::take(&meter, true).expect("the place that was left"));
        assert!(MirrorPlace::take(&meter, false).is_none());
        drop((waiting, whole));
        for has_body in [true, false] {
            let all: Vec<_> = (0..MOST)
                .filter_map(|_| MirrorPlace::take(&meter, has_body))
                .collect();
            assert_eq!(all.len(), MOST as usize, "every place is left in the end");
        }
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
