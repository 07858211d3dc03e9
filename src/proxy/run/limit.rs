//! What a request's dispatch asks for of its worker: the count of its route's rate limit, IDs by chance, figures of tokens.

use std::time::Instant;

use http::HeaderValue;

use crate::capacity::clients::client_of;
use crate::dispatch::{Gate, Refusal};
use crate::identity::token::ShownToken;
use crate::identity::{IdKind, UserKey};
use crate::proxy::throttle::{Asker, Throttle};
use crate::rate::Level;
use crate::request::{RequestHead, without_blanks};
use crate::route::RouteIndex;
use crate::route::guard::{Per, RateLimit};
use crate::snapshot::Snapshot;

/// For one request.
pub(super) struct WorkerGate<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) head: &'a RequestHead<'a>,
    pub(super) throttle: &'a Throttle,
    pub(super) fresh_id: fn() -> HeaderValue,
    /// When its head had arrived.
    pub(super) now: Instant,
    /// The bucket that it was counted in, afterwards.
    pub(super) level: Option<Level>,
}

impl Gate for WorkerGate<'_> {
    fn fresh_id(&mut self) -> String {
        (self.fresh_id)().to_str().unwrap_or_default().to_owned()
    }

    fn count(
        &mut self,
        index: RouteIndex,
        limit: &RateLimit,
        user: Option<UserKey>,
    ) -> Result<(), Refusal> {
        let Some(route) = self.snapshot.router.route(index) else {
            return Ok(());
        };
        let asker = self.asker(&limit.per, user);
        let taken = self
            .throttle
            .take(&route.name, &limit.rate, asker, self.now);
        let (Ok(level) | Err(level)) = taken;
        self.level = Some(level);
        if taken.is_ok() {
            return Ok(());
        }
        if let Some(meter) = self.snapshot.route_meter(index) {
            meter.rate_limited.inc();
        }
        Err(Refusal::too_many(index))
    }

    fn note(&mut self, token: &ShownToken) {
        self.snapshot.identity.tokens.count(token);
    }
}

impl WorkerGate<'_> {
    fn asker(&self, per: &Per, user: Option<UserKey>) -> Asker<'_> {
        let identity = &self.snapshot.identity;
        let address = || Asker::Address(client_of(identity.client_address(self.head)));
        match per {
            Per::Route => Asker::Anybody,
            Per::Address => address(),
            Per::Header(name) => {
                let value = self.head.headers.first(name.as_str()).map(without_blanks);
                let value = value.filter(|value| !value.is_empty());
                value.map_or_else(address, Asker::Value)
            }
            Per::User => {
                // An anonymous session is only as good as its cookie, which a client may throw away.
                let user = user.filter(|user| user.kind == IdKind::User);
                user.map_or_else(address, Asker::User)
            }
        }
    }
}
