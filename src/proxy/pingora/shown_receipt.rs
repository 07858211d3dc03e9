//! Whom a request is from, as receipts name users, and the receipt that it shows.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora::prelude::Session;

use super::head::{Fields, SplitTarget, client_ip, head};
use crate::proxy::run::RequestRun;
use crate::receipt::Receipt;
use crate::receipts::{Place, Receipts};

/// What a client's receipt says of it, read once for all attempts of a request.
pub(super) struct ShownReceipt {
    /// The user's ID: their own, else their session's.
    pub(super) user: String,
    /// The receipt that the client shows, if it is valid and this user's.
    pub(super) held: Option<Arc<Receipt>>,
    /// Whether the header field has it.
    in_header: bool,
}

impl ShownReceipt {
    /// Finds out who the user is, and reads and counts the receipt that the request shows. `None`: the user has no ID.
    pub(super) fn read(receipts: &Receipts, session: &Session, run: &RequestRun) -> Option<Self> {
        let upstream = run.upstream.as_ref()?;
        let request = session.req_header();
        let (fields, target) = (Fields(&request.headers), SplitTarget::of(request)?);
        let rules = &run.snapshot.identity;
        let head = head(request, &target, &fields, client_ip(session), rules);
        let context = rules.identify(&head);
        let known = context.user_id.or(context.session_id);
        let user = known.as_deref().or(upstream.plan.new_session.as_deref())?;
        let shown = receipts.held(&head, user, run.moment);
        let in_header = shown
            .as_ref()
            .is_some_and(|(_, place)| *place == Place::Header);
        Some(Self {
            user: user.to_owned(),
            held: shown.map(|(receipt, _)| receipt),
            in_header,
        })
    }

    /// The header field that a service may see: a valid receipt's. It may believe Serin's own fields, so it gets no other.
    pub(super) fn vouched<'a>(
        &self,
        receipts: &'a Receipts,
        session: &'a Session,
    ) -> Option<(&'a HeaderName, &'a HeaderValue)> {
        let name = receipts.header.as_ref().filter(|_| self.in_header)?;
        Some((name, session.req_header().headers.get(name)?))
    }
}
