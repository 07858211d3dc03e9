//! How one endpoint of several is chosen. No table is kept, and nothing is allocated: a choice walks the members, and
//! only where one is ejected, unhealthy, coming back, weighted or was tried.

use std::ops::Range;
use std::sync::Arc;

use super::endpoint::{Endpoint, Standing};
use super::members::{Members, Survey};
use super::{Balance, Choice, Role};
use crate::digest::mix;

impl Members {
    /// One of all, which are healthy.
    pub(super) fn any(
        &self,
        choice: &Choice<'_>,
        turn: impl Fn() -> u64,
    ) -> Option<&Arc<Endpoint>> {
        if !self.are_equals() {
            let weight = |index: usize| u64::from(self.weight(index));
            let index = self.choose(self.first(), choice, &turn, weight)?;
            return self.get(index);
        }
        let count = self.len() as u64;
        let index = match (choice.policy.balance, choice.user_hash) {
            _ if count < 2 => 0,
            (Balance::RoundRobin, _) => (turn() % count) as usize,
            (Balance::HashUser, Some(hash)) => self.home(hash, 0..self.len(), |_| true)?,
            (Balance::LeastRequests | Balance::HashUser, _) => {
                let (low, high) = halves(choice.random);
                let first = scaled(low, count) as usize;
                // Two different ones: the second is one of those that the first is not.
                let second = (first + 1 + scaled(high, count - 1) as usize) % self.len();
                let in_flight = |index: usize| self.get(index).map(|e| e.in_flight());
                if in_flight(second) < in_flight(first) {
                    second
                } else {
                    first
                }
            }
        };
        self.get(index)
    }

    /// One of those that are fit for it, rather not one that was tried.
    pub(super) fn fit(
        &self,
        survey: &Survey,
        choice: &Choice<'_>,
        turn: impl Fn() -> u64,
    ) -> Option<&Arc<Endpoint>> {
        let scope = || survey.scope.clone();
        let weight = |index: usize| {
            let standing = self.get(index).map(|e| e.standing(choice.now));
            u64::from(self.weight(index))
                * match standing {
                    _ if survey.panic => 1000,
                    Some(Standing::Healthy) => 1000,
                    Some(Standing::Warming(share)) => u64::from(share),
                    Some(Standing::Trial | Standing::Ejected | Standing::Unhealthy) | None => 0,
                }
        };
        let usable = |index: usize| {
            let usable = self
                .get(index)
                .is_some_and(|e| e.standing(choice.now).is_usable());
            if usable { self.weight(index).into() } else { 0 }
        };
        let is_fresh = |index: usize| {
            self.get(index)
                .is_some_and(|e| !choice.tried.contains(&e.address))
        };
        let fresh = |index: usize| if is_fresh(index) { weight(index) } else { 0 };
        let index = self
            .trial(survey, choice, is_fresh)
            .or_else(|| self.choose(scope(), choice, &turn, fresh))
            .or_else(|| self.choose(scope(), choice, &turn, weight))
            .or_else(|| match survey.role {
                // The only ones that are left are on trial, and have had their requests for now.
                Role::Stable => self.choose(scope(), choice, &turn, usable),
                Role::Canary => None,
            })?;
        self.get(index)
    }

    fn weight(&self, index: usize) -> u32 {
        self.places.get(index).map_or(0, |place| place.weight)
    }

    /// One on trial whose turn it is. A user who has an endpoint of his own tries none but that.
    fn trial(
        &self,
        survey: &Survey,
        choice: &Choice<'_>,
        is_fresh: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if survey.panic || survey.all_well {
            return None;
        }
        let standing = |index: usize| self.get(index).map(|e| e.standing(choice.now));
        let on_trial = |index: &usize| {
            standing(*index) == Some(Standing::Trial)
                && self
                    .get(*index)
                    .is_some_and(|e| e.outlier.take_trial(choice.user_hash, choice.now))
        };
        match (choice.policy.balance, choice.user_hash) {
            (Balance::HashUser, Some(hash)) => {
                let usable =
                    |index| is_fresh(index) && standing(index).is_some_and(Standing::is_usable);
                self.home(hash, survey.scope.clone(), usable)
                    .filter(on_trial)
            }
            _ => survey
                .scope
                .clone()
                .filter(|index| is_fresh(*index))
                .find(on_trial),
        }
    }

    /// One of the scope, by weight; those that weigh nothing are none.
    fn choose(
        &self,
        scope: Range<usize>,
        choice: &Choice<'_>,
        turn: impl Fn() -> u64,
        weight: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        if let (Balance::HashUser, Some(hash)) = (choice.policy.balance, choice.user_hash) {
            return self.home(hash, scope, |index| weight(index) > 0);
        }
        let total: u64 = scope.clone().map(&weight).sum();
        let at = |ticket: u64, but: Option<usize>| {
            let mut left = ticket;
            scope
                .clone()
                .filter(|index| Some(*index) != but)
                .find(|index| {
                    let own = weight(*index);
                    let found = left < own;
                    left = left.saturating_sub(own);
                    found
                })
        };
        if total == 0 {
            return None;
        }
        if choice.policy.balance == Balance::RoundRobin {
            return at(scaled(evenly(turn()), total), None);
        }
        let (low, high) = halves(choice.random);
        let first = at(scaled(low, total), None)?;
        let rest = total.saturating_sub(weight(first));
        let Some(second) = at(scaled(high, rest), Some(first)) else {
            return Some(first);
        };
        // Requests in flight for each part of the weight; multiplied out.
        let load = |one: usize, other: usize| {
            let in_flight = self.get(one).map_or(0, |e| e.in_flight());
            u128::from(in_flight) * u128::from(weight(other))
        };
        Some(if load(second, first) < load(first, second) {
            second
        } else {
            first
        })
    }

    /// The endpoint that a user belongs to (rendezvous hashing): of those that there may be, the one that is the best
    /// for this user. So one more, or one less, moves only the users that it gets, or had. It costs a walk, some two
    /// nanoseconds an endpoint, and no table.
    fn home(
        &self,
        hash: u64,
        scope: Range<usize>,
        may_be: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let places = self.places.get(scope.clone()).unwrap_or_default();
        let candidates = scope.zip(places).filter(|(index, _)| may_be(*index));
        let score = |seed: u64| mix(hash ^ seed);
        if self.are_equals() {
            let best = candidates.max_by_key(|(_, place)| score(place.seed));
            return best.map(|(index, _)| index);
        }
        // With weights: Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005), the logarithmic method.
        let weighted = |seed: u64, weight: u32| {
            let unit = ((score(seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            -f64::from(weight) / unit.ln()
        };
        candidates
            .map(|(index, place)| (index, weighted(place.seed, place.weight)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(index, _)| index)
    }
}

/// A number between 0 and `below`, for a number over the whole of 32 bits.
fn scaled(number: u32, below: u64) -> u64 {
    ((u128::from(number) * u128::from(below)) >> 32) as u64
}

fn halves(random: u64) -> (u32, u32) {
    (random as u32, (random >> 32) as u32)
}

/// Turns laid over 32 bits so that any few in a row are spread evenly: multiples of the golden ratio.
fn evenly(turn: u64) -> u32 {
    (turn as u32).wrapping_mul(0x9e37_79b9)
}

#[cfg(test)]
mod tests;
