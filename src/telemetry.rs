//! What goes out to people and machines: log lines, the access log, metrics, and messages to a service manager.

pub mod access_log;
pub mod log;
pub mod metrics;
pub mod service_manager;
