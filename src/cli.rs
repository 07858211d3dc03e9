//! Commands: arguments to exit code.

pub mod check;
pub mod schema;
