//! What Serin decides, on what, and why: floors F0 to F2 of the house (`src/lib.rs` has them all).
//!
//! Nothing here knows a runtime, a socket, a clock or a lock: time and chance are arguments. `serin` re-exports every module, so
//! that a path such as `crate::decide` reads the same on every floor.

pub mod canary;
pub mod capacity;
pub mod channel;
pub mod cluster;
pub mod context;
pub mod digest;
pub mod edit;
pub mod flag;
pub mod host;
pub mod hygiene;
pub mod identity;
pub mod indexed;
pub mod meter;
pub mod mirror;
pub mod overrides;
pub mod quarantine;
pub mod rate;
pub mod receipt;
pub mod request;
pub mod route;
pub mod signature;
pub mod spelling;

pub mod config;
pub mod engine;

pub mod attempts;
pub mod decide;
pub mod dispatch;
pub mod exposure;
pub mod forward;
pub mod record;
pub mod served;
pub mod snapshot;
pub mod streams;
pub mod trace;
