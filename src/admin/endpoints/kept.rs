//! The operations on flags and segments that Serin keeps itself.

use axum::http::Method;
use axum::routing::{delete, get, patch, put};

use crate::admin::kept::KeptView;
use crate::admin::kept::document::{FlagDocument, SegmentDocument, ShownFlag, ShownSegment};
use crate::admin::openapi::Operation;
use crate::admin::openapi::body::{Answer, NEW, Takes};
use crate::admin::openapi::parameter::Parameter;
use crate::admin::{flags, segments};
use crate::config::admin::Role;

const UNCHANGED: &[(u16, &str)] = &[(304, "The client has it already")];

const ONLY_IF: Parameter = Parameter::entity_tags(
    "If-Match",
    "`*`, or entity tags: only if there is one, or if it is one of these",
);
const UNLESS: Parameter = Parameter::entity_tags(
    "If-None-Match",
    "`*`, or entity tags: only if there is none, or if it is none of these",
);

/// How orders are meant.
const ON_TERMS: &[Parameter] = &[
    ONLY_IF,
    UNLESS,
    Parameter::query::<bool>("dry_run", "true: only say what would change"),
];
const UNLESS_KNOWN: &[Parameter] = &[UNLESS];

/// Those of flags, of their rings and of segments.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/api/v1/flags",
        is_probe: false,
        summary: "Every flag: who keeps it, its rings in short, its canaries",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<flags::FlagsView>(),
        errors: &[],
        route: || get(flags::list),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/flags/{name}",
        is_probe: false,
        summary: "One flag, as routes.yaml has it; conditions are in words where serin does not keep it",
        role: Role::Viewer,
        takes: Takes::NOTHING.with(UNLESS_KNOWN),
        gives: Answer::json::<ShownFlag>().or(UNCHANGED),
        errors: &[400, 404],
        route: || get(flags::show),
    },
    Operation {
        method: Method::PUT,
        path: "/api/v1/flags/{name}",
        is_probe: false,
        summary: "Keep a flag; with If-Match or If-None-Match only if it is the one that is expected; ?dry_run=true only says what would change",
        role: Role::Admin,
        takes: Takes::json::<FlagDocument>().with(ON_TERMS),
        gives: Answer::json::<KeptView<'static>>().or(NEW),
        errors: &[400, 408, 409, 412, 413, 422, 500, 503, 507],
        route: || put(flags::put),
    },
    Operation {
        method: Method::DELETE,
        path: "/api/v1/flags/{name}",
        is_probe: false,
        summary: "Keep a flag no more",
        role: Role::Admin,
        takes: Takes::NOTHING.with(ON_TERMS),
        gives: Answer::json::<KeptView<'static>>(),
        errors: &[400, 404, 409, 412, 422, 500, 503, 507],
        route: || delete(flags::delete),
    },
    Operation {
        method: Method::PATCH,
        path: "/api/v1/flags/{name}/rings/{ring}",
        is_probe: false,
        summary: "Open or close one ring, and leave the others as they are",
        role: Role::Operator,
        takes: Takes::json::<flags::RingDocument>().with(ON_TERMS),
        gives: Answer::json::<KeptView<'static>>(),
        errors: &[400, 404, 408, 409, 412, 413, 422, 500, 503, 507],
        route: || patch(flags::ring),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/segments",
        is_probe: false,
        summary: "Every segment: who keeps it, and who belongs to it",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<segments::SegmentsView>(),
        errors: &[503],
        route: || get(segments::list_all),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/segments/{name}",
        is_probe: false,
        summary: "One segment, as routes.yaml has it; in words where serin does not keep it",
        role: Role::Viewer,
        takes: Takes::NOTHING.with(UNLESS_KNOWN),
        gives: Answer::json::<ShownSegment>().or(UNCHANGED),
        errors: &[400, 404, 503],
        route: || get(segments::show),
    },
    Operation {
        method: Method::PUT,
        path: "/api/v1/segments/{name}",
        is_probe: false,
        summary: "Keep a segment; flags that use it follow at once",
        role: Role::Admin,
        takes: Takes::json::<SegmentDocument>().with(ON_TERMS),
        gives: Answer::json::<KeptView<'static>>().or(NEW),
        errors: &[400, 408, 409, 412, 413, 422, 500, 503, 507],
        route: || put(segments::put),
    },
    Operation {
        method: Method::DELETE,
        path: "/api/v1/segments/{name}",
        is_probe: false,
        summary: "Keep a segment no more that no flag uses",
        role: Role::Admin,
        takes: Takes::NOTHING.with(ON_TERMS),
        gives: Answer::json::<KeptView<'static>>(),
        errors: &[400, 404, 409, 412, 422, 500, 503, 507],
        route: || delete(segments::delete),
    },
];
