//! Routes: what a request must look like, and what is done with it.

pub mod cors;
pub mod guard;
pub mod nearest;
pub mod precedence;
pub mod router;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use regex::Regex;

use crate::edit::Edit;
use crate::host::HostPattern;
use crate::identity::Auth;
use crate::indexed::index;
use guard::Guard;

index!(
    /// The position of a route in its file.
    RouteIndex
);

index!(
    /// The position of a service in its file.
    ServiceIndex
);

/// A path that a route takes, as [`crate::request::path::NormalPath`] has it.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// This path and what is below it, on segment boundaries. No trailing slash; empty for `/`.
    Prefix(Box<str>),
    /// This path.
    Exact(Box<str>),
    /// Paths that the expression matches as a whole (it is anchored when compiled).
    Regex(Regex),
}

/// What a header's or query parameter's value must be.
#[derive(Clone, Debug)]
pub enum ValuePattern {
    /// This text.
    Exact(Box<str>),
    /// Matches the expression as a whole (it is anchored when compiled).
    Regex(Regex),
    /// Is there (`true`), or is not (`false`).
    Present(bool),
}

/// A header that a route asks for.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// Its name.
    pub name: HeaderName,
    /// What one of its values must be.
    pub value: ValuePattern,
}

/// A query parameter that a route asks for.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// Its name, decoded.
    pub name: Box<str>,
    /// What its first value must be, decoded as forms encode it.
    pub value: ValuePattern,
}

/// What a request must look like for a route to take it; everything stated must hold.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// Any of these; none stated: every host.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// Any of these; none stated: every method.
    pub methods: Vec<Method>,
    /// All of these.
    pub headers: Vec<HeaderMatch>,
    /// All of these.
    pub query: Vec<QueryMatch>,
}

/// What is done with a request that a route takes.
#[derive(Clone, Debug)]
pub enum Action {
    /// It goes to a service.
    Forward(Forward),
    /// It is answered with a redirect.
    Redirect(Redirect),
    /// It is answered here.
    Respond(Respond),
}

/// To a service.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Which one.
    pub service: ServiceIndex,
    /// Replaces the matched prefix (or the whole exact path), as it is sent: no trailing slash, empty for `/`.
    pub rewrite_prefix: Option<Box<str>>,
    /// Applied to the request after Serin's own edits.
    pub request_edits: Vec<Edit>,
    /// How long an answer may take to begin.
    pub timeout: RouteTimeout,
    /// Whether responses carry `x-serin-decision`.
    pub expose: bool,
}

/// How long an answer may take to begin on a route, over all attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteTimeout {
    /// The route says nothing: as long as the service's `timeouts.response` lets each attempt.
    #[default]
    Unset,
    /// So long at most.
    After(Duration),
    /// A gRPC call's may take as long as it likes, whatever the service says; others as if the route said nothing.
    Waived,
}

/// A redirect. The matched prefix is replaced by the path of `to`; the query is kept.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// A path, or a whole URL.
    pub to: Box<str>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// An answer of Serin's own.
#[derive(Clone, Debug)]
pub struct Respond {
    /// Its status.
    pub status: StatusCode,
    /// Its body, `text/plain; charset=utf-8`.
    pub body: Box<str>,
}

/// One entry of `routes`.
#[derive(Clone, Debug)]
pub struct Route {
    /// What logs call it: host and path pattern as in the file, as in `api.example.com/search`.
    pub name: Arc<str>,
    /// What a request must look like.
    pub matches: RouteMatch,
    /// What it asks of its users' tokens.
    pub auth: Auth,
    /// What is done with it.
    pub action: Action,
    /// What is let in.
    pub guard: Guard,
    /// Applied to every response that passes this route.
    pub response_edits: Vec<Edit>,
}
