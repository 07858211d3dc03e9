//! What is told to people and machines: log lines, the access log, metrics.

pub mod access_log;
pub mod log;
pub mod metrics;
