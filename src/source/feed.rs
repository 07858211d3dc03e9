//! What following a flag server takes, whichever product it is.
//!
//! A [`follower`] polls the server, or is sent changes over a stream where the server offers that (`sse`); `schedule` says when.
//! The [`removal_guard`] keeps flags that a suspiciously small answer lacks, and the [`backup`] has what is in force on disk
//! (`stored`), and in Redis (`shared_copies`), to start from. What differs from product to product is a [`flag_server::FlagServer`].

pub(super) mod backoff;
pub(super) mod backup;
pub(super) mod flag_server;
pub(super) mod follower;
pub(super) mod http;
pub(super) mod refreshed;
pub(super) mod removal_guard;
mod schedule;
mod shared_copies;
pub(super) mod sse;
pub(super) mod stored;
pub(super) mod stored_sets;
