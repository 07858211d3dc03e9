//! Requests that outlive the decision that they began under: whom they were decided for, and when each ends whose user
//! leaves its canary.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::context::schema::ContextSchema;
use crate::context::{Context, Moment};
use crate::decide::decide;
use crate::snapshot::{Service, Snapshot};

/// How long, at least, a request goes on, if the window is long enough for that: a short one has ended by then.
const SPARED: Duration = Duration::from_secs(1);

/// Whom a request was decided for, so that it can be decided again while it runs.
#[derive(Debug)]
pub struct Audience {
    context: Context<'static>,
    /// Says which property is in which slot of the context.
    vocabulary: Arc<ContextSchema>,
}

impl Audience {
    /// Keeps what flags saw of the user.
    pub fn of(snapshot: &Snapshot, context: Context<'_>) -> Self {
        Self {
            context: context.into_owned(),
            vocabulary: snapshot.vocabulary.clone(),
        }
    }

    /// Whether the user is meant for another deployment of the service now than for this one. `vocabulary` is that of the
    /// service's snapshot.
    pub fn is_moved(
        &self,
        vocabulary: &ContextSchema,
        service: &Service,
        deployment: &str,
        moment: Moment,
    ) -> bool {
        let decision = match self.has_slots_of(vocabulary) {
            true => decide(service, &self.context, moment),
            false => decide(service, &self.in_slots_of(vocabulary), moment),
        };
        *service.deployments.get(decision.assigned).name != *deployment
    }

    fn has_slots_of(&self, vocabulary: &ContextSchema) -> bool {
        let filled = self.context.properties.len();
        let own = self.vocabulary.names().iter().take(filled);
        own.eq(vocabulary.names().iter().take(filled))
    }

    fn in_slots_of(&self, vocabulary: &ContextSchema) -> Context<'_> {
        let value = |name: &Arc<str>| {
            let mut own = self.vocabulary.names().iter().zip(&self.context.properties);
            let (_, value) = own.find(|(own, _)| *own == name)?;
            value.as_deref().map(Cow::Borrowed)
        };
        Context {
            user_id: self.context.user_id.as_deref().map(Cow::Borrowed),
            session_id: self.context.session_id.as_deref().map(Cow::Borrowed),
            remote_address: self.context.remote_address,
            properties: vocabulary.names().iter().map(value).collect(),
        }
    }
}

/// How far the answer of a request has come whose user leaves its canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It has not begun.
    Unanswered,
    /// It has begun, and says how long it is.
    Bounded,
    /// It has begun, and may never end.
    Endless,
}

/// When a request ends, unless it has ended by itself before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its moment.
    pub at: Instant,
    /// When it ends whatever it is busy with.
    pub latest: Instant,
}

/// Spreads the moments at which requests end evenly over a window. How many there will be need not be known: each next
/// moment falls into one of the widest gaps between the earlier ones (multiples of the golden ratio, modulo one).
#[derive(Debug, Default)]
pub struct Spread(AtomicU64);

impl Spread {
    /// The golden ratio's fraction, of 2⁶⁴.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// When a request ends that is to end within the window from now on. What never ends by itself has any moment of it, an
    /// answer that says how long it is has one of its second half, and what has no answer yet has all of it.
    pub fn ending(&self, now: Instant, window: Duration, extent: Extent) -> Ending {
        let from = match extent {
            Extent::Endless => SPARED.min(window / 4),
            Extent::Bounded => window / 2,
            Extent::Unanswered => window,
        };
        let rest = window.saturating_sub(from);
        Ending {
            at: now + from + rest.mul_f64(self.share()),
            latest: now + window,
        }
    }

    fn share(&self) -> f64 {
        let place = self.0.fetch_add(Self::STEP, Ordering::Relaxed);
        // The upper 32 bits are finer than any clock that this is for.
        f64::from((place >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
