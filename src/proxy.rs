//! The pingora adapter: sockets, worker threads, and hooks that only call what the floors below decide.

pub mod connections;
pub mod exchange;
pub mod front_door;
pub mod head;
pub mod hooks;
pub mod listener;
pub mod reply;
pub mod workers;
