//! What is told to people and machines: log lines, the access log, metrics, and a service manager's state.

pub mod access_log;
pub mod log;
pub mod metrics;
pub mod service_manager;
