//! The pingora adapter: sockets, worker threads, and hooks that only call what the floors below decide.

pub mod connections;
pub mod deadlines;
pub mod exchange;
mod failure;
pub mod front_door;
pub mod head;
pub mod hooks;
mod intake;
pub mod listener;
mod opening;
mod outcome;
mod peer;
mod reply;
pub mod workers;
