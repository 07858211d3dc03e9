//! A snapshot's flags in the form that clients get: everything that is the same for every user is written once.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::evaluation::FlagEvaluation;
use super::rendering::FlagRendering;
use super::subject::Subject;
use crate::canary::ReasonKind;
use crate::config::client_api::ClientApiConfig;
use crate::context::{Context, Moment};
use crate::decide::{Decision, decide};
use crate::engine::trace::Silent;
use crate::engine::{Flag, VariantRef};
use crate::indexed::Indexed;
use crate::route::ServiceIndex;
use crate::snapshot::{CandidateIndex, Snapshot};

/// A snapshot's flags in the form that clients get.
pub(super) struct FlagCatalog {
    /// Those that apps may see, by name.
    pub(super) entries: Vec<CatalogFlag>,
    /// `/api/client/features`: with segments at the top, and with segments inlined.
    pub(super) documents: [OnceLock<Document>; 2],
}

/// A document that is the same for everybody.
pub(super) struct Document {
    /// What it is a version of.
    pub(super) etag: Box<str>,
    /// The document.
    pub(super) body: Bytes,
}

/// One flag.
pub(super) struct CatalogFlag {
    pub(super) flag: Arc<Flag>,
    /// The service that it routes, and its place among that service's candidates.
    routes: Option<(ServiceIndex, CandidateIndex)>,
    pub(super) rendering: FlagRendering,
}

impl FlagCatalog {
    /// Of a snapshot.
    pub(super) fn of(snapshot: &Snapshot, config: &ClientApiConfig) -> Self {
        let mut routing: HashMap<*const Flag, (ServiceIndex, CandidateIndex)> = HashMap::new();
        for (service, of_service) in snapshot.services.entries() {
            for (candidate, of_flag) in of_service.candidates.entries() {
                routing.insert(Arc::as_ptr(&of_flag.flag), (service, candidate));
            }
        }
        let shown = snapshot
            .flags
            .iter()
            .filter(|flag| config.shows(&flag.name));
        Self {
            entries: shown
                .map(|flag| CatalogFlag {
                    routes: routing.get(&Arc::as_ptr(flag)).copied(),
                    rendering: FlagRendering::of(flag),
                    flag: flag.clone(),
                })
                .collect(),
            documents: Default::default(),
        }
    }

    /// The flag of this name, if apps may see it.
    pub(super) fn find(&self, name: &str) -> Option<&CatalogFlag> {
        let place = self
            .entries
            .binary_search_by(|entry| (*entry.flag.name).cmp(name));
        place.ok().and_then(|place| self.entries.get(place))
    }

    /// What every flag says of a user.
    pub(super) fn evaluations(
        &self,
        snapshot: &Snapshot,
        subject: &Subject<'_>,
        moment: Moment,
    ) -> Vec<FlagEvaluation> {
        let mut decisions = Decisions {
            snapshot,
            context: &subject.routing,
            moment,
            made: snapshot.services.iter().map(|_| None).collect(),
        };
        let entries = self.entries.iter();
        entries
            .map(|entry| entry.evaluation(&mut decisions, subject))
            .collect()
    }
}

impl CatalogFlag {
    /// What this flag alone says of a user.
    pub(super) fn alone(
        &self,
        snapshot: &Snapshot,
        subject: &Subject<'_>,
        moment: Moment,
    ) -> FlagEvaluation {
        let mut decisions = Decisions {
            snapshot,
            context: &subject.routing,
            moment,
            made: snapshot.services.iter().map(|_| None).collect(),
        };
        self.evaluation(&mut decisions, subject)
    }

    /// A flag that routes is on when it has the user: not when another flag of the service has them, and not when its
    /// canary was withdrawn and they are on stable after all.
    fn evaluation(
        &self,
        decisions: &mut Decisions<'_, '_>,
        subject: &Subject<'_>,
    ) -> FlagEvaluation {
        let Some((service, candidate)) = self.routes else {
            let context = subject.other();
            return self
                .flag
                .evaluate(context, decisions.moment, &mut Silent)
                .into();
        };
        let decision = decisions.of(service);
        let is_withdrawn = matches!(
            decision.reason.kind(),
            ReasonKind::Killed | ReasonKind::LeaseOver | ReasonKind::NotReady
        );
        let has_user = decision.candidate == Some(candidate) && !is_withdrawn;
        FlagEvaluation {
            on: has_user,
            variant: decision.variant.filter(|_| has_user),
            randomised: decision.randomised,
            missing_id: decision.reason.kind() == ReasonKind::NoIdentity,
        }
    }
}

/// What is decided about a user, service by service, as far as it is asked for.
struct Decisions<'a, 'c> {
    snapshot: &'a Snapshot,
    context: &'a Context<'c>,
    moment: Moment,
    made: Indexed<ServiceIndex, Option<Decision>>,
}

impl Decisions<'_, '_> {
    fn of(&mut self, service: ServiceIndex) -> Decision {
        let (context, moment) = (self.context, self.moment);
        let decide = || decide(self.snapshot.services.get(service), context, moment);
        match self.made.get_mut(service) {
            Some(made) => *made.get_or_insert_with(decide),
            None => decide(),
        }
    }
}

/// The version of one user's answer: it begins with the snapshot's digest, and is another whenever an answer is. The
/// answers themselves are part of it, since conditions on the time can change them while all else stays the same.
pub(super) fn version(
    snapshot: &Snapshot,
    subject: &Subject<'_>,
    evaluations: &[FlagEvaluation],
    more: &[u8],
) -> String {
    let mut hash = Sha256::new();
    hash.update(snapshot.digest.0);
    add_context(&mut hash, &subject.routing);
    add_context(&mut hash, subject.other());
    let place = |index: usize| u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes();
    for evaluation in evaluations {
        hash.update([u8::from(evaluation.on), u8::from(evaluation.missing_id)]);
        let (ring, variant) = match evaluation.variant {
            None | Some(VariantRef::Off) => continue,
            Some(VariantRef::Flag(variant)) => (0, variant),
            Some(VariantRef::Ring(ring, variant)) => (ring.position() + 1, variant),
        };
        hash.update(place(ring));
        hash.update(place(variant.position() + 1));
    }
    hash.update(more);
    let hash: [u8; 32] = hash.finalize().into();
    let mut etag = String::with_capacity(52);
    etag.push('"');
    push_hex(&mut etag, snapshot.digest.0.iter().take(8));
    etag.push(':');
    push_hex(&mut etag, hash.iter().take(16));
    etag.push('"');
    etag
}

/// Appends bytes in hexadecimal.
pub(super) fn push_hex<'a>(text: &mut String, bytes: impl Iterator<Item = &'a u8>) {
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

fn add_context(hash: &mut Sha256, context: &Context<'_>) {
    let mut add = |text: Option<&str>| match text {
        Some(text) => {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        None => hash.update([0xff]),
    };
    add(context.user_id.as_deref());
    add(context.session_id.as_deref());
    for property in &context.properties {
        add(property.as_deref());
    }
    match context.remote_address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
}
