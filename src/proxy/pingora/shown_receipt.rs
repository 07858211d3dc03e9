//! Whom a request is from, and the receipt that it shows.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora::prelude::Session;

use crate::proxy::run::RequestRun;
use crate::receipt::Receipt;
use crate::receipts::{Place, Receipts};
use crate::request::RequestHead;

/// What a client's receipt says of it, read once for all attempts of a request.
pub(super) struct ShownReceipt {
    /// The user's ID: their own, else their session's.
    pub(super) user: Box<str>,
    /// The receipt that the client shows, if it is valid and this user's.
    pub(super) held: Option<Arc<Receipt>>,
    /// Whether the header field has it.
    in_header: bool,
}

impl ShownReceipt {
    /// Reads and counts the receipt that the request shows. `None`: the user has no ID.
    pub(super) fn read(
        receipts: &Receipts,
        head: &RequestHead<'_>,
        run: &mut RequestRun,
    ) -> Option<Self> {
        let user = run.upstream.as_mut()?.plan.user_id.take()?;
        let shown = receipts.held(head, &user, run.moment);
        let place = shown.as_ref().map(|(_, place)| *place);
        Some(Self {
            user,
            held: shown.map(|(receipt, _)| receipt),
            in_header: place == Some(Place::Header),
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
