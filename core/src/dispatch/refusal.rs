//! Why requests go nowhere.

use std::borrow::Cow;

use http::StatusCode;

use crate::route::RouteIndex;

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 401, 403, 404, 413, 429, 431 or 508.
    pub status: StatusCode,
    /// In words that may be shown to the client.
    pub why: Cow<'static, str>,
    /// The route that would have taken it.
    pub route: Option<RouteIndex>,
    /// The challenge of a 401 that is about a token (`WWW-Authenticate`).
    pub challenge: Option<&'static str>,
}

impl Refusal {
    /// For what is not a request that could be routed.
    pub fn bad_request(why: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why, None)
    }

    /// For a request that has been here before (RFC 5842, section 7.2).
    pub fn looped() -> Self {
        let why =
            "this request has been through this gateway before: where it was sent leads back here";
        Self::new(StatusCode::LOOP_DETECTED, why, None)
    }

    /// For a request that comes too soon after others.
    pub fn too_many(route: RouteIndex) -> Self {
        let why = "too many requests; see Retry-After";
        Self::new(StatusCode::TOO_MANY_REQUESTS, why, Some(route))
    }

    pub(super) fn new(
        status: StatusCode,
        why: impl Into<Cow<'static, str>>,
        route: Option<RouteIndex>,
    ) -> Self {
        Self {
            status,
            why: why.into(),
            route,
            challenge: None,
        }
    }
}
