//! Lanes: what a service calls further down follows the decision that a gateway before it made, as the baggage of a
//! trusted proxy tells (`serin.<service>=<deployment>`).

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::Decision;
use super::named::Named;
use crate::canary::{LaneResult, ReasonKind};
use crate::config::attribution::Lanes;
use crate::context::Moment;
use crate::request::{RequestHead, without_blanks};
use crate::snapshot::Service;

/// What a request's baggage says of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane<'a> {
    /// The deployment that it names.
    pub deployment: Cow<'a, str>,
    /// The decision, if the lane is followed.
    pub decision: Result<Decision, NotFollowed>,
}

/// Why a lane is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// The service has no such deployment.
    Unknown,
    /// The deployment gets no users now.
    Withdrawn,
    /// `lanes: ignore`, or the sender is no trusted proxy.
    Ignored,
}

impl Lane<'_> {
    /// What metrics call it.
    pub fn result(&self) -> LaneResult {
        match self.decision {
            Ok(_) => LaneResult::Followed,
            Err(NotFollowed::Unknown) => LaneResult::Unknown,
            Err(NotFollowed::Withdrawn) => LaneResult::Withdrawn,
            Err(NotFollowed::Ignored) => LaneResult::Ignored,
        }
    }
}

/// What a request's baggage says of a service; `None`: nothing.
pub fn find<'a>(
    lanes: Lanes,
    service: &Service,
    head: &RequestHead<'a>,
    moment: Moment,
) -> Option<Lane<'a>> {
    let value = member(service, head)?;
    let decision = match lanes {
        Lanes::Follow if head.peer_trusted => follow(service, &value, moment),
        Lanes::Follow | Lanes::Ignore => Err(NotFollowed::Ignored),
    };
    Some(Lane {
        deployment: match value {
            Cow::Borrowed(value) => String::from_utf8_lossy(value),
            Cow::Owned(value) => String::from_utf8_lossy(&value).into_owned().into(),
        },
        decision,
    })
}

/// The decoded value of the service's member. Of several the last one counts: gateways add theirs at the end.
fn member<'a>(service: &Service, head: &RequestHead<'a>) -> Option<Cow<'a, [u8]>> {
    // Every deployment's own member begins with the service's key, encoded as keys are.
    let own = service.stable().baggage.as_bytes();
    let key = own.split(|&byte| byte == b'=').next()?;
    let mut found = None;
    head.headers.visit("baggage", &mut |field| {
        for member in field.split(|&byte| byte == b',') {
            // Properties of a member stand behind its value (W3C Baggage, section 3.2.1).
            let member = member.split(|&byte| byte == b';').next();
            let mut parts = member.unwrap_or_default().splitn(2, |&byte| byte == b'=');
            if parts.next().map(without_blanks) == Some(key)
                && let Some(value) = parts.next()
            {
                found = Some(Cow::from(percent_decode(without_blanks(value))));
            }
        }
    });
    found
}

fn follow(service: &Service, name: &[u8], moment: Moment) -> Result<Decision, NotFollowed> {
    let named = Named::find(service, name).ok_or(NotFollowed::Unknown)?;
    match named.withdrawal_at(moment) {
        Some(_) => Err(NotFollowed::Withdrawn),
        None => Ok(named.decision(ReasonKind::Lane)),
    }
}

#[cfg(test)]
mod tests;
