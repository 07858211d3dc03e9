//! The endpoints of a cluster at one time, and how requests are shared out among them.

use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, Range};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::endpoint::{Endpoint, Standing};
use super::{Cluster, Role};
use crate::digest::mix;

/// Where an endpoint is, and how much it is to be given (RFC 2782).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its address.
    pub address: SocketAddr,
    /// Endpoints of the lowest number are used while half of them are healthy.
    pub priority: u16,
    /// Its part of the requests, beside the others of its priority. One with 0 gets next to nothing, unless all have 0.
    pub weight: u16,
}

impl From<SocketAddr> for Placement {
    /// One among equals.
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            priority: 0,
            weight: 0,
        }
    }
}

/// The endpoints of a cluster: by priority, then by address.
#[derive(Debug, Default)]
pub struct Members {
    list: Vec<Arc<Endpoint>>,
    /// What belongs to each, in the same order.
    pub(super) places: Vec<Place>,
    /// How many are of the first priority.
    first: usize,
    equals: bool,
}

/// What belongs to an endpoint as a member of its cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// What users' hashes are mixed with: follows from the address, so that every gateway has the same.
    pub(super) seed: u64,
    pub(super) weight: u32,
    priority: u16,
}

/// What endpoints are fit for a request, as far as their health goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Which of them; empty: none.
    pub(super) scope: Range<usize>,
    /// Whether too few are healthy to do without the others.
    pub(super) panic: bool,
    /// Whether every one of them all is as healthy as can be.
    pub(super) all_well: bool,
    pub(super) role: Role,
}

impl Deref for Members {
    type Target = [Arc<Endpoint>];

    fn deref(&self) -> &[Arc<Endpoint>] {
        &self.list
    }
}

impl Members {
    pub(super) fn new(placements: &[Placement], old: &Self, cluster: &Weak<Cluster>) -> Self {
        let mut placements = placements.to_vec();
        // Of an address that is named twice, the better place stays.
        placements.sort_by_key(|place| (place.address, place.priority, u16::MAX - place.weight));
        placements.dedup_by_key(|place| place.address);
        placements.sort_by_key(|place| (place.priority, place.address));
        let weighted = placements.iter().any(|place| place.weight > 0);
        let alike = |place: &Placement| {
            placements.first().is_some_and(|first| {
                (first.priority, first.weight) == (place.priority, place.weight)
            })
        };
        let equals = placements.iter().all(alike);
        let is_first = |place: &Placement| {
            placements
                .first()
                .is_some_and(|first| first.priority == place.priority)
        };
        let endpoint = |place: &Placement| {
            let kept = old
                .iter()
                .find(|endpoint| endpoint.address == place.address);
            kept.cloned()
                .unwrap_or_else(|| Arc::new(Endpoint::new(place.address, cluster.clone())))
        };
        let place = |place: &Placement| Place {
            seed: seed(place.address),
            weight: match place.weight {
                _ if equals || !weighted => 1,
                0 => 1,
                weight => u32::from(weight) * WEIGHT_STEP,
            },
            priority: place.priority,
        };
        Self {
            list: placements.iter().map(endpoint).collect(),
            places: placements.iter().map(place).collect(),
            first: placements
                .iter()
                .take_while(|place| is_first(place))
                .count(),
            equals,
        }
    }

    /// Whether all have the same priority and weight.
    pub(super) fn are_equals(&self) -> bool {
        self.equals
    }

    /// Those that are used while all are healthy.
    pub(super) fn first(&self) -> Range<usize> {
        0..self.first
    }

    /// Looks at every endpoint's health. The first priority of which half are usable is used; if there is none, stable
    /// panics, and a canary uses the first that has any.
    pub(super) fn survey(&self, role: Role, now: Instant) -> Survey {
        let mut survey = Survey {
            scope: 0..0,
            panic: false,
            all_well: true,
            role,
        };
        let mut some: Option<Range<usize>> = None;
        let mut found = false;
        let mut start = 0;
        for group in self.places.chunk_by(|a, b| a.priority == b.priority) {
            let scope = start..start + group.len();
            start = scope.end;
            let mut usable = 0;
            for endpoint in self.list.get(scope.clone()).unwrap_or_default() {
                let standing = endpoint.standing(now);
                usable += usize::from(standing.is_usable());
                survey.all_well &= standing == Standing::Healthy;
            }
            if usable > 0 && !found {
                some.get_or_insert_with(|| scope.clone());
                if usable * 2 >= scope.len() {
                    found = true;
                    survey.scope = scope;
                }
            }
        }
        match role {
            _ if found => {}
            Role::Stable => {
                survey.panic = true;
                survey.scope = 0..self.list.len();
            }
            Role::Canary => survey.scope = some.unwrap_or_default(),
        }
        survey
    }
}

/// What a weight of 1 weighs, beside a weight of 0 among weights.
const WEIGHT_STEP: u32 = 16;

fn seed(address: SocketAddr) -> u64 {
    let bits = match address.ip().to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let (low, high) = (bits as u64, (bits >> 64) as u64);
    mix(mix(mix(low) ^ high) ^ u64::from(address.port()))
}
