//! Finds the route of a request.
/// Finds a route.
#[derive(Debug, Default)]
pub struct Router {}
