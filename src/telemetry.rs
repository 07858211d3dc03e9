//! telemetry
pub mod access_log;
