//! Whom to compare with: users whom a flag's percentage asked and did not choose.

use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use crate::context::{Context, Moment};
use crate::engine::evaluation::{Evaluation, RingVerdict};
use crate::engine::trace::{Purpose, Trace};
use crate::engine::{Bucketing, Flag, Ring, RingIndex};
use crate::flag::Share;

/// A user whom percentages of a flag asked, and none chose.
#[derive(Debug)]
pub(super) struct Missed<'a> {
    /// The ring with the largest percentage; the first of several.
    pub(super) ring: &'a Ring,
    /// Which part of those who were asked as this user was the flag chose, from 0 to 1.
    chosen: f64,
}

/// Asks a flag again, and says which of its percentages did not choose the user. `None`: none asked, or the flag is on.
pub(super) fn missed<'a>(
    flag: &'a Flag,
    context: &'a Context<'_>,
    moment: Moment,
) -> Option<Missed<'a>> {
    let mut misses = Misses::default();
    if flag.evaluate(context, moment, &mut misses).on {
        return None;
    }
    let mut rings = misses.rings.iter();
    let first = *rings.next()?;
    let ring = rings.fold(first, |largest, ring| {
        if share(ring) > share(largest) {
            ring
        } else {
            largest
        }
    });
    Some(Missed {
        ring,
        chosen: chosen(&misses.rings),
    })
}

impl Missed<'_> {
    /// Whether the user is one of as many as the flag chose. Of the users who were asked alike the flag chose the part p, so that
    /// the part p / (1 - p) of the others is as many; from a half on, all others. Who that is, is told by a hash that has
    /// nothing to do with what the percentage goes by; those who are stay so while the percentage grows, unless it
    /// chooses them.
    pub(super) fn is_matched(&self, flag: &str, user: &str) -> bool {
        let wanted = self.chosen / (1.0 - self.chosen);
        wanted >= 1.0 || position(flag, user) < wanted
    }
}

/// A user's position among those whom a flag did not choose, from 0 up to 1.
fn position(flag: &str, user: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update(b"matched control\0");
    hash.update((flag.len() as u64).to_le_bytes());
    hash.update(flag);
    hash.update(user);
    let bytes = hash.finalize();
    let number = bytes.iter().take(4);
    let number = number.fold(0_u32, |number, &byte| number << 8 | u32::from(byte));
    f64::from(number) / (f64::from(u32::MAX) + 1.0)
}

/// Which part these rings choose together of those who meet the conditions of all: of rings that go by the same bucketing the
/// largest counts, different ones are independent.
fn chosen(rings: &[&Ring]) -> f64 {
    let mut largest: SmallVec<[(&Bucketing, Share); 4]> = SmallVec::new();
    for ring in rings {
        let bucketing = &ring.rollout.bucketing;
        match largest.iter_mut().find(|(known, _)| *known == bucketing) {
            Some((_, known)) => *known = (*known).max(share(ring)),
            None => largest.push((bucketing, share(ring))),
        }
    }
    let all = f64::from(Share::ALL.hundred_thousandths());
    let left = largest.iter().fold(1.0, |left, (_, share)| {
        left * (1.0 - f64::from(share.hundred_thousandths()) / all)
    });
    1.0 - left
}

fn share(ring: &Ring) -> Share {
    ring.rollout.share
}

/// Keeps the flag's own rings whose percentage did not choose the user, but not those of flags that it depends on.
#[derive(Debug, Default)]
struct Misses<'a> {
    depth: usize,
    asked: Option<&'a Ring>,
    rings: SmallVec<[&'a Ring; 4]>,
}

impl<'a> Trace<'a> for Misses<'a> {
    fn flag_begin(&mut self, _flag: &'a Flag) {
        self.depth += 1;
    }

    fn flag_end(&mut self, _evaluation: Evaluation) {
        self.depth -= 1;
    }

    fn ring_begin(&mut self, _index: RingIndex, ring: &'a Ring, purpose: Purpose) {
        self.asked = (self.depth == 1 && purpose == Purpose::Decide).then_some(ring);
    }

    fn ring_end(&mut self, verdict: RingVerdict<'a>) {
        if let (Some(ring), RingVerdict::Missed(placement)) = (self.asked.take(), verdict)
            && placement.id.is_some()
        {
            self.rings.push(ring);
        }
    }
}
