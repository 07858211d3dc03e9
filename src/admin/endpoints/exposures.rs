//! The operations on exposures.

use axum::http::Method;
use axum::routing::{get, post};

use crate::admin::exposures;
use crate::admin::openapi::Operation;
use crate::admin::openapi::body::{Answer, Takes};
use crate::admin::openapi::parameter::Parameter;
use crate::config::admin::Role;

/// Which exposures are wanted.
const SEARCH: &[Parameter] = &[
    Parameter::query::<u64>(
        "after",
        "only those after this `sequence`, the oldest first",
    ),
    Parameter::query::<String>("user", "only this user's, by the ID as it is"),
    Parameter::query::<String>("flag", "only under this flag"),
    Parameter::query::<u16>(
        "limit",
        "at most so many, 1 to 1,000; 100 if it is left out",
    ),
];

/// Those of exposures.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/api/v1/exposures",
        is_probe: false,
        summary: "Who was served by what, as it was recorded last",
        role: Role::Viewer,
        takes: Takes::NOTHING.with(SEARCH),
        gives: Answer::json::<exposures::ExposuresView>(),
        errors: &[400, 404, 503],
        route: || get(exposures::list),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/exposures/stats",
        is_probe: false,
        summary: "How many users were recorded on which side, and what was lost",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<exposures::StatsView>(),
        errors: &[404, 503],
        route: || get(exposures::stats),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/exposures/forget",
        is_probe: false,
        summary: "Remove what is recorded of a user",
        role: Role::Admin,
        takes: Takes::json::<exposures::ForgetDocument>(),
        gives: Answer::json::<exposures::ForgottenView>(),
        errors: &[400, 404, 408, 413, 422, 500, 503],
        route: || post(exposures::forget),
    },
];
